"""Clauses of the contract, and the levels of trust that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from ciris_store_core.capabilities import Capability

F = TypeVar("F", bound=Callable[..., Any])

DOES_NOT_APPLY = "does not apply: "
"""Beginning of the reason to skip a test that has nothing to look at in this store, such as the modes of its file."""


class Level(StrEnum):
    """Level of trust in a backend. A level is reached if all of its tests ran and passed."""

    CORE = "core"
    DURABLE = "durable"
    CONCURRENT = "concurrent"
    MULTI_INSTANCE = "multi_instance"
    OPERABLE = "operable"

    @property
    def promise(self) -> str:
        """Return the promise of a backend of this level, for reports."""
        return _PROMISES[self]


_PROMISES: Mapping[Level, str] = {
    Level.CORE: "One thread gets the results that the contract promises.",
    Level.DURABLE: "Acknowledged writes survive a reopening of the store and a kill -9.",
    Level.CONCURRENT: "The promises hold with many threads in one process.",
    Level.MULTI_INSTANCE: "The promises hold with many processes.",
    Level.OPERABLE: "Damage and misconfiguration are reported as such, and the store can be inspected.",
}

LEVEL_NEEDS: Mapping[Level, Capability] = {
    Level.DURABLE: Capability.DURABLE,
    Level.MULTI_INSTANCE: Capability.MULTI_PROCESS,
}
"""Capability that a whole level requires."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Clause that a test verifies."""

    id: str
    """Aggregate, method and promise: ``tasks.claim_next.order``. Unique among the tests."""
    level: Level
    needs: Capability | None = None
    """Capability that the clause requires, in addition to that of its level."""

    @property
    def optional_without(self) -> frozenset[Capability]:
        """Return the capabilities that the clause requires. Without one of them it does not apply."""
        return frozenset(each for each in (self.needs, LEVEL_NEEDS.get(self.level)) if each is not None)


def clause(id: str, level: Level = Level.CORE, *, needs: Capability | None = None) -> Callable[[F], F]:
    """Mark a test with its clause. The docstring of the test states what a user loses if it fails."""

    def mark(test: F) -> F:
        test.clause = Clause(id, level, needs)  # type: ignore[attr-defined]
        return test

    return mark
