"""Context that all resources of a store share: clocks, validation, and the occurrence in whose name it acts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.tasks import SHARED_OCCURRENCE
from ciris_store_core.secrets.crypto import SecretCrypto
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.validation.json_values import plain_number
from ciris_store_core.validation.validator import Validator

SYNC_SECONDS = 10.0


class AnyOccurrence(Enum):
    """Type of ``ANY_OCCURRENCE``."""

    ANY_OCCURRENCE = "any"

    def __repr__(self) -> str:
        """Return the public name."""
        return "ANY_OCCURRENCE"


ANY_OCCURRENCE: Final = AnyOccurrence.ANY_OCCURRENCE
"""As ``occurrence_id``, selects the records of all owners."""

Owner = str | Literal[AnyOccurrence.ANY_OCCURRENCE] | None
"""An occurrence's id, ``ANY_OCCURRENCE``, or None: the store's own occurrence, by default ``"default"``."""


def is_reserved(identifier: str) -> bool:
    """Return whether an id has the form ``__…__``, which only the store itself uses."""
    return identifier.startswith("__") and identifier.endswith("__")


class ServerTime:
    """Cached time of the database server.

    The server is asked once in ten seconds; in between, the host's monotonic clock carries its time on, which is as
    exact as an answer over the network. An injected clock is asked every time, so that tests can move it.
    """

    def __init__(
        self, ask: Callable[[], datetime], clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take ``ask``, which returns the server's time, and the store's ``clock``."""
        self._ask = ask
        self._monotonic = monotonic
        self._cached = type(clock) is SystemClock
        self._synced: tuple[float, datetime] | None = None

    def now(self) -> datetime:
        """Return the server's time, aware, in UTC."""
        synced = self._synced
        if not self._cached or synced is None:
            return self.ask()
        elapsed = self._monotonic() - synced[0]
        return synced[1] + timedelta(seconds=elapsed) if elapsed < SYNC_SECONDS else self.ask()

    def ask(self) -> datetime:
        """Ask the server for its time now."""
        answer = self._ask()
        # Counted from the arrival of the answer, so the time lags slightly and no lease looks expired too soon.
        self._synced = (self._monotonic(), answer)
        return answer


@dataclass(frozen=True, slots=True)
class StoreContext:
    """Context shared by all resources of one handle."""

    clock: Clock
    server_now: Callable[[], datetime]
    check: Validator
    crypto: SecretCrypto
    capabilities: frozenset[Capability]
    occurrence_id: str
    """Owner of records in calls that name none."""
    clock_given: bool = False
    """Whether the caller gave the clock for one call, so that it alone dates changes."""
    bound: bool = False
    """Refuse any other owner than ``occurrence_id``."""
    signer: SigningKey | None = None
    """Key that signs audit entries and anchors."""
    upcasters: Upcasters = field(default_factory=Upcasters)
    """Functions that bring the attributes of older nodes up to date."""
    document_secrets: Mapping[tuple[str, ...], SecretsMode] = field(default_factory=dict)
    """Treatment of secrets in documents and streams, by prefix of their namespace."""

    def changed_at(self) -> datetime:
        """Return the time of a change. It is never before the server's, by which other hosts judge its age.

        A clock that the caller gave for this call decides alone.
        """
        now = self.clock.now()
        return now if self.clock_given else max(now, self.server_now())

    def bind(self, occurrence_id: str) -> StoreContext:
        """Return a copy that is bound to one occurrence."""
        return replace(self, occurrence_id=self.identity(occurrence_id, "occurrence_id"), bound=True)

    def owner(self, occurrence_id: Owner) -> str | None:
        """Return the owner to look up; None for all."""
        if occurrence_id is None:
            return self.occurrence_id
        if occurrence_id is not ANY_OCCURRENCE:
            return self.one_owner(occurrence_id, "occurrence_id")
        if self.bound:
            raise self.other_owner(ANY_OCCURRENCE)
        return None

    def one_owner(self, occurrence_id: str, name: str) -> str:
        """Return the owner; raise ``InvalidArgument`` if this handle is bound to another."""
        owner = self.check.ident(occurrence_id, name)
        if self.bound and owner != self.occurrence_id:
            raise self.other_owner(owner)
        return owner

    def other_owner(self, occurrence_id: Any) -> InvalidArgument:
        """Return the error for another owner than that of this handle."""
        return InvalidArgument(
            f"this handle is bound to occurrence {self.occurrence_id!r}, not {occurrence_id!r}. Use the store itself."
        )

    def identity(self, occurrence_id: str, name: str) -> str:
        """Return the id of a running occurrence; refuse ``__shared__`` and every other ``__…__``."""
        owner = self.check.ident(occurrence_id, name)
        if owner == SHARED_OCCURRENCE:
            raise InvalidArgument(
                f"{name}: {SHARED_OCCURRENCE!r} is the namespace of shared tasks, which no occurrence runs under. "
                "Choose an id of its own."
            )
        if is_reserved(owner):
            raise InvalidArgument(f"{name}: {owner!a} is reserved, as all of the form __...__ are. Choose another id.")
        return owner

    def span(self, seconds: float, name: str = "ttl_seconds") -> timedelta:
        """Return a positive span of at most ten years, given in seconds."""
        return _span(seconds, name, "seconds", 315_576_000)

    def hours(self, hours: float, name: str) -> timedelta:
        """Return a positive span of at most ten years, given in hours."""
        return _span(hours, name, "hours", 87_660)

    def days(self, days: float, name: str) -> timedelta:
        """Return a positive span of at most ten years, given in days."""
        return _span(days, name, "days", 3_652.5)


def _span(value: float, name: str, unit: str, most: float) -> timedelta:
    number = plain_number(value)
    if number is None or not 0 < number <= most:
        raise InvalidArgument(f"{name} must be more than 0 and at most ten years, in {unit}")
    return timedelta(**{unit: number})
