"""Running a whole transaction again after an error that says it may be."""

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
    """How often to run a transaction again, and how long to wait in between.

    Only errors marked ``retryable`` are met with another attempt: nothing of that transaction was kept.
    """

    attempts: int = 5
    """Runs in all; 1 switches retries off."""
    first_delay: float = 0.02
    """Seconds before the second run; doubled each time. Every wait is shortened at random by up to half."""
    longest_delay: float = 1.0
    """Seconds that no single wait exceeds."""
    budget: float = 10.0
    """Seconds after the first failure past which no further run is started."""
    sleep: Callable[[float], object] = time.sleep
    """Waits for so many seconds."""
    monotonic: Callable[[], float] = time.monotonic
    """Measures the budget."""

    def __post_init__(self) -> None:
        """Refuse what would never run or never end."""
        if self.attempts < 1 or self.first_delay < 0 or self.longest_delay < 0 or self.budget < 0:
            raise InvalidArgument("a RetryPolicy needs at least 1 attempt, and no delay below 0")

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures, jitter included."""
        full = min(self.longest_delay, self.first_delay * 2.0 ** (failures - 1))
        return full * random.uniform(0.5, 1.0)

    def again(self, call: Callable[[], T], error: StoreError) -> T:
        """Go on after the first run failed with ``error``: run ``call`` until it succeeds, or raise its last error."""
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
