"""Which clause of the contract a test holds, and which level of trust the clause belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from ciris_store_core.capabilities import Capability

F = TypeVar("F", bound=Callable[..., Any])


class Level(StrEnum):
    """How far a backend can be trusted. A level is reached when all of its tests ran and passed."""

    CORE = "core"
    DURABLE = "durable"
    CONCURRENT = "concurrent"
    MULTI_INSTANCE = "multi_instance"
    OPERABLE = "operable"

    @property
    def promise(self) -> str:
        """What a backend of this level promises, for reports."""
        return _PROMISES[self]


_PROMISES: Mapping[Level, str] = {
    Level.CORE: "One thread gets the answers that the contract promises.",
    Level.DURABLE: "What was acknowledged is there when the store is opened again, also after a kill -9.",
    Level.CONCURRENT: "The promises hold among many threads of one process.",
    Level.MULTI_INSTANCE: "The promises hold among many processes.",
    Level.OPERABLE: "Damage and misconfiguration are shown for what they are, and one can look inside.",
}

LEVEL_NEEDS: Mapping[Level, Capability] = {
    Level.DURABLE: Capability.DURABLE,
    Level.MULTI_INSTANCE: Capability.MULTI_PROCESS,
}
"""The capability without which a whole level does not apply."""


@dataclass(frozen=True, slots=True)
class Clause:
    """The clause that a test holds."""

    id: str
    """Aggregate, method and promise: ``tasks.claim_next.order``. No two tests have the same."""
    level: Level
    needs: Capability | None = None
    """The clause applies only to backends that declare this, beside what its level needs."""

    @property
    def optional_without(self) -> frozenset[Capability]:
        """The capabilities without any of which the clause does not apply."""
        return frozenset(each for each in (self.needs, LEVEL_NEEDS.get(self.level)) if each is not None)


def clause(id: str, level: Level = Level.CORE, *, needs: Capability | None = None) -> Callable[[F], F]:
    """Mark a test with its clause. The test's docstring says what a user loses when it fails."""

    def mark(test: F) -> F:
        test.clause = Clause(id, level, needs)  # type: ignore[attr-defined]
        return test

    return mark
