"""Hands the corpus to stores of every kind and compares what they say.

Each case that writes is run twice: alone, as most callers do, and in a transaction that is undone, so that what it
stored can be looked at by itself. The reference backend goes first; the others have to agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from numbers import Integral, Real
from typing import Any

from ciris_store_core import (
    ANY_OCCURRENCE,
    AccessDenied,
    ManualClock,
    RetryPolicy,
    Store,
    StoreError,
    TestSeams,
    open_store,
)
from ciris_store_core.conformance.factories import T0
from ciris_store_core.models import SearchHit
from ciris_store_core.models.base import Record
from tests.reliability.calls import METHODS
from tests.reliability.cases import Case, value_at
from tests.reliability.filling import Home, fill

MakeUrl = Callable[[], str]
"""Gives the URL of an empty store, at each call."""

_NEW = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
"""Ids that the store makes, and hashes over them."""


class _Undo(Exception):
    """Ends a transaction whose effects were looked at."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one case."""

    answer: Any
    """In a form that can be compared; the class of the error, if it was refused."""
    refused: bool
    state: Any = None
    """Records stored afterwards, within the transaction; None if they were not read."""
    problem: str | None = None
    """Fault of the case by itself, without comparison of stores."""


@dataclass
class Findings:
    """Attempts, and the faults found in them."""

    cases: int = 0
    calls: int = 0
    accepted: int = 0
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: Findings) -> Findings:
        self.cases += other.cases
        self.calls += other.calls
        self.accepted += other.accepted
        self.wrong += other.wrong
        return self


class Subject:
    """A kind of store, opened anew for each method."""

    def __init__(self, name: str, make_url: MakeUrl) -> None:
        self.name = name
        self._make_url = make_url

    def open(self) -> Store:
        """A new store with a record of each kind in it."""
        clock = ManualClock(T0)
        store = open_store(
            self._make_url(), testing=TestSeams(clock=clock, server_clock=clock), retry=RetryPolicy(attempts=1)
        )
        fill(store, clock)
        return store


def compare(cases: list[Case], reference: Subject, others: Iterable[Subject]) -> Findings:
    """Run the cases of one method on all; what the reference refuses must change nothing, anywhere."""
    found = Findings(len(cases))
    expected = run_all(cases, reference, found)
    found.accepted = sum(not each.refused for each, _ in expected.outcomes)
    for other in others:
        actual = run_all(cases, other, found)
        for case, ours, theirs in zip(cases, expected.outcomes, actual.outcomes, strict=True):
            if (ours[0].answer, ours[0].state, ours[1]) != (theirs[0].answer, theirs[0].state, theirs[1]):
                found.wrong.append(f"{case}: {reference.name} {_short(ours)}, {other.name} {_short(theirs)}")
        if expected.end != actual.end:
            found.wrong.append(f"{cases[0].method}: {reference.name} and {other.name} hold something else in the end")
    return found


def _short(outcome: Any) -> str:
    return repr(outcome)[:600]


@dataclass
class Run:
    """All cases of one method on one store."""

    outcomes: list[tuple[Outcome, Any]]
    """Of each case: in a transaction, and what it said alone."""
    end: Any
    """Records that are stored after all."""


def run_all(cases: list[Case], subject: Subject, found: Findings) -> Run:
    """Run each case in a transaction that is undone, then all alone: first those that are refused."""
    part, in_transaction = cases[0].method.partition(".")[0], cases[0].writes and cases[0].method not in ALONE
    with subject.open() as store:
        before = state_of(store)
        texts = [repr(each) for each in changed_by(store, part)] if in_transaction else []
        outcomes = [undone(store, case, texts) if in_transaction else alone(store, case) for case in cases]
        found.wrong += [f"{subject.name} {each.problem} {case}" for case, each in zip(cases, outcomes, strict=True)
                        if each.problem]  # fmt: skip
        said: dict[int, Any] = {}
        for refused in (True, False):
            for number, case in enumerate(cases):
                if in_transaction and outcomes[number].refused is refused:
                    said[number] = alone(store, case).answer
            # A denial leaves its record in the audit trail.
            quiet = cases[0].method not in ALONE and AccessDenied.__name__ not in said.values()
            if refused and quiet and state_of(store) != before:
                found.wrong.append(f"{subject.name} kept something of a refused {cases[0].method}")
        found.calls += len(cases) + len(said)
        return Run([(each, said.get(number)) for number, each in enumerate(outcomes)], state_of(store))


def alone(store: Home, case: Case) -> Outcome:
    """Outcome of the call."""
    try:
        return Outcome(plain(case.run(store)), False)
    except StoreError as error:
        return Outcome(type(error).__name__, True)
    except Exception as error:
        return Outcome(type(error).__name__, True, problem=f"raises {error!r:.200} for")


def undone(store: Store, case: Case, before: list[str]) -> Outcome:
    """Outcome of the call in a transaction, and its changes of the records that existed ``before``."""
    part = case.method.partition(".")[0]
    outcome = Outcome(None, False)
    with suppress(_Undo), store.transaction() as tx:
        outcome = alone(tx, case)
        texts = {repr(each): each for each in changed_by(tx, part)}
        new = [each for text, each in texts.items() if text not in before]
        gone = [number for number, text in enumerate(before) if text not in texts]
        problem = outcome.problem
        if outcome.refused and (new or gone):
            problem = "kept something of the refused"
        elif not outcome.refused and _is_to_be_kept(case) and not any(_holds(each, case) for each in new):
            problem = "does not keep"
        outcome = Outcome(outcome.answer, outcome.refused, (plain(new), gone), problem)
        raise _Undo
    return outcome


# --- what is stored ---------------------------------------------------------------------------


def state_of(home: Home) -> Any:
    """Every record of the store."""
    return plain([list(read(home)) for read in (_graph, _correlations, _audit, _work, _coordination, _payloads)])


def changed_by(home: Home, part: str) -> list[Any]:
    """The records of the kinds that the methods of a part can change."""
    if part == "handle":
        return [*_work(home), *_coordination(home)]
    reads: dict[str, Callable[[Home], Iterator[Any]]] = {
        "graph": _graph, "correlations": _correlations, "audit": _audit, "occurrences": _coordination,
        "leases": _coordination, "documents": _payloads, "streams": _payloads,
    }  # fmt: skip
    return list(reads.get(part, _work)(home))


def _graph(home: Home) -> Iterator[Any]:
    yield from home.graph.find(include_expired=True, limit=1000).items
    yield from home.graph.find_edges(limit=1000).items


def _correlations(home: Home) -> Iterator[Any]:
    yield from home.correlations.find(limit=10_000).items


def _audit(home: Home) -> Iterator[Any]:
    yield from home.audit.scan()


def _work(home: Home) -> Iterator[Any]:
    yield from home.tasks.find(occurrence_id=ANY_OCCURRENCE, limit=10_000).items
    yield from home.thoughts.find(occurrence_id=ANY_OCCURRENCE, limit=10_000).items


def _coordination(home: Home) -> Iterator[Any]:
    yield from home.occurrences.find(alive_only=False)
    yield from home.leases.find(held_only=False)


def _payloads(home: Home) -> Iterator[Any]:
    yield from home.documents.find(limit=1000).items
    for info in home.streams.find(limit=1000).items:
        yield info
        yield from home.streams.read(info.namespace, info.name, limit=1000).items


# --- whether it was kept ------------------------------------------------------------------------

ALONE = {"leases.lock", "correlations.buffered"}
"""Methods that no transaction may call."""
_SET_BY_THE_STORE = {"revision", "secret_refs", "updated_at"}
_NOT_LOOKED_FOR = {*_SET_BY_THE_STORE, "expected_revision", "insert", "ttl", "value"}
"""Those, conditions of a write, times rounded to microseconds, and values of documents, which other tests read back."""


def _is_to_be_kept(case: Case) -> bool:
    """Return True if the item stands in a field of a record that is stored as it is."""
    method = case.method.partition(".")[2]
    in_record = len(case.path) > 1 and method.startswith(("add", "put")) and method != "add_metrics"
    in_changes = method.startswith("update") and case.path[0] not in METHODS[case.method].arguments
    return (in_record or in_changes) and case.path[-1] not in _NOT_LOOKED_FOR


def _holds(record: Record, case: Case) -> bool:
    path = case.path if "update" in case.method else case.path[1:]
    return bool(plain(value_at(record, path)) == plain(normal(case.item.value, value_at(record, path))))


def normal(given: Any, stored: Any) -> Any:
    """Return the expected stored form of a value: times in UTC, -0.0 as 0.0, whole numbers as floats where one is."""
    if isinstance(stored, datetime) and isinstance(given, str):
        given = datetime.fromisoformat(given)
    if isinstance(given, str) and isinstance(stored, tuple):
        return [given]  # a namespace of one segment
    if isinstance(given, datetime):
        return datetime.combine(given.date(), given.timetz()).astimezone(UTC)  # of the class itself
    if isinstance(given, Integral) and not isinstance(given, bool):
        return float(given) if isinstance(stored, float) else int(given)
    if isinstance(given, Real) and not isinstance(given, bool):
        return float(given) + 0.0
    if isinstance(given, dict):
        known = stored if isinstance(stored, dict) else {}
        return {key: normal(value, known.get(key)) for key, value in given.items()}
    if isinstance(given, list):
        return [normal(value, None) for value in given]
    if isinstance(stored, Enum) and isinstance(given, str):
        return type(stored)(given.lower())
    return given


# --- comparing ----------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value in a form that can be compared: 1, 1.0 and True are kept apart, the order of keys is not."""
    if isinstance(value, SearchHit):
        return plain(value.node)  # every backend has a scale of its own
    if isinstance(value, Record):
        return type(value).__name__, plain({**value.__dict__, **(value.__pydantic_extra__ or {})})
    if isinstance(value, dict):
        return sorted((repr(plain(key)), plain(each)) for key, each in value.items())
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, str):
        return "made by the store" if _NEW.fullmatch(value) else value
    if hasattr(value, "__dataclass_fields__"):
        return [plain(getattr(value, name)) for name in value.__dataclass_fields__]
    if isinstance(value, bool | int | float | bytes | datetime | None):
        return type(value).__name__, repr(value)
    return repr(value)
