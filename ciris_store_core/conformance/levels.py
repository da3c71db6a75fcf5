"""Which clause of the contract a test holds, and which level of trust the clause belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from ciris_store_core.capabilities import Capability

F = TypeVar("F", bound=Callable[..., Any])


class Level(StrEnum):
    """How far a backend can be trusted. A level is reached when all of its tests ran and passed."""

    CORE = "core"
    """One thread gets the answers that the contract promises."""

    DURABLE = "durable"
    """What was acknowledged is there when the store is opened again."""

    CONCURRENT = "concurrent"
    """The promises hold among many threads of one process."""

    MULTI_INSTANCE = "multi_instance"
    """The promises hold among many processes and hosts."""

    OPERABLE = "operable"
    """Damage and misconfiguration are shown for what they are, and one can look inside."""


@dataclass(frozen=True, slots=True)
class Clause:
    """The clause that a test holds."""

    id: str
    """Aggregate, method and promise: ``tasks.claim_next.order``. No two tests have the same."""
    level: Level
    needs: Capability | None = None
    """The clause applies only to backends that declare this."""


def clause(id: str, level: Level = Level.CORE, *, needs: Capability | None = None) -> Callable[[F], F]:
    """Mark a test with its clause. The test's docstring says what a user loses when it fails."""

    def mark(test: F) -> F:
        test.clause = Clause(id, level, needs)  # type: ignore[attr-defined]
        return test

    return mark
