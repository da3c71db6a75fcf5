"""Retries of whole transactions after retryable errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ciris_store_core.errors import InvalidArgument, StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Number of runs of a transaction and delays between them.

    Only an error marked ``retryable`` leads to another run: its transaction was rolled back.
    """

    attempts: int = 5
    """Runs in total; 1 disables retries."""
    first_delay: float = 0.02
    """Seconds before the second run; doubled each time. Jitter shortens every delay by up to half."""
    longest_delay: float = 1.0
    """Upper bound of a single delay, in seconds."""
    budget: float = 10.0
    """Seconds after the first failure within which a further run may start."""
    sleep: Callable[[float], object] = time.sleep
    """Sleeps for the given number of seconds."""
    monotonic: Callable[[], float] = time.monotonic
    """Clock of the budget."""

    def __post_init__(self) -> None:
        """Refuse a policy that would never run, or never wait."""
        if self.attempts < 1 or self.first_delay < 0 or self.longest_delay < 0 or self.budget < 0:
            raise InvalidArgument("the attempts of a RetryPolicy must be at least 1, and its delays at least 0")

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after that many failures, jitter included."""
        full = min(self.longest_delay, self.first_delay * 2.0 ** (failures - 1))
        return full * random.uniform(0.5, 1.0)

    def again(self, call: Callable[[], T], error: StoreError) -> T:
        """Run ``call`` until it succeeds, after a first run that failed with ``error``, or raise its last error."""
        started = self.monotonic()
        for failures in range(1, self.attempts):
            self.sleep(self.pause(error, failures, started))
            try:
                return call()
            except StoreError as next_error:
                error = next_error
        raise error

    def pause(self, error: StoreError, failures: int, started: float) -> float:
        """Return the seconds to wait before the next run; raise ``error`` if there is to be none.

        ``started``: when the first run failed, by ``monotonic``.
        """
        delay = self.delay(failures)
        if not error.retryable or error.waited or failures >= self.attempts:
            raise error
        if self.monotonic() - started + delay > self.budget:
            raise error
        return delay
