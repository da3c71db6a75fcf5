"""Recorder of the outcomes that pytest reports, by clause, evaluated at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.catalogue import Entry, Selection, catalogue
from ciris_store_core.conformance.levels import DOES_NOT_APPLY, Clause
from ciris_store_core.conformance.results import ClauseResult, Status, needs_of
from ciris_store_core.errors import InvalidArgument

CLAUSE = "clause"
MODULES_THAT_LEAVE_RECORDS = (
    "coordination",
    "secrets",
    "audit",
    "records",
    "transactions",
    "backends",
    "processes",
    "crashes",
    "interleavings",
    "interleaved_records",
    "deadlocks",
    "injected",
    "lifecycle",
    "costs",
)
"""Modules whose tests write leases, audit entries and access logs, which the contract cannot delete."""
LINES_KEPT = 60
"""Lines of a failure that a report keeps."""


@dataclass(slots=True)
class Case:
    """Outcome of one run of one test."""

    outcome: str = "skipped"
    """``passed``, ``failed`` or ``skipped``."""
    why: str = "it did not complete"
    seconds: float = 0.0
    complete: bool = False
    retries: int = 0
    """Transactions that the test ran again."""


@dataclass(slots=True)
class Progress:
    """Progress of a run."""

    done: int
    total: int
    failed: int
    clause: str


@dataclass
class Recorder:
    """Pytest plugin that records the outcome of each test of the suite."""

    selection: Selection | None = None
    """Selected tests; the others are deselected. None leaves the selection to pytest's own options."""
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Clauses whose absence is accepted, each with the reason."""
    progress: Callable[[Progress], None] | None = None
    cases: dict[str, dict[str, Case]] = field(default_factory=dict)
    """Outcomes by clause, then by test."""
    overridden: dict[str, str] = field(default_factory=dict)
    """Clauses whose test was overridden, each with the overriding test."""
    problems: list[str] = field(default_factory=list)
    """Errors of the collection."""
    total: int = 0

    # --- hooks --------------------------------------------------------------------------------

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect tests outside the selection, and record which tests override those of the suite."""
        check_waivers(self.waivers)
        chosen = [item for item in items if self._is_chosen(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        # Tests that leave undeletable records behind run last, so that a shared store serves all the others first.
        items[:] = sorted(chosen, key=_leaves_records) if self.selection is not None else chosen
        for item in items:
            self._note_override(item)
        self.total = sum(_clause(item) is not None for item in items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record that a module could not be collected."""
        if report.failed:
            self.problems.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of a phase of a test."""
        clause = dict(report.user_properties).get(CLAUSE)
        if not isinstance(clause, str):
            return
        case = self.cases.setdefault(clause, {}).setdefault(report.nodeid, Case())
        _add_phase(case, report)
        if report.when == "teardown":
            case.complete = True
            case.retries = int(str(dict(report.user_properties).get("retries", 0)))
            self._show_progress(clause)

    # --- helpers ------------------------------------------------------------------------------

    def _is_chosen(self, item: pytest.Item) -> bool:
        if self.selection is None:
            return True
        clause = _clause(item)
        return clause is not None and clause.id in catalogue() and self.selection.takes(catalogue()[clause.id])

    def _note_override(self, item: pytest.Item) -> None:
        clause = _clause(item)
        if clause is None or not isinstance(item, pytest.Function):
            return
        entry = catalogue().get(clause.id)
        if entry is not None and _location(item.function) != _location(entry.test):
            self.overridden[clause.id] = item.nodeid

    def _show_progress(self, clause: str) -> None:
        if self.progress is not None:
            done = [case for cases in self.cases.values() for case in cases.values() if case.complete]
            self.progress(Progress(len(done), self.total, sum(case.outcome == "failed" for case in done), clause))

    # --- at the end ---------------------------------------------------------------------------

    def results(self, capabilities: Collection[Capability]) -> list[ClauseResult]:
        """Return the result of every clause of the suite, run or not."""
        return [self._evaluate(entry, capabilities) for entry in catalogue().values()]

    def _evaluate(self, entry: Entry, capabilities: Collection[Capability]) -> ClauseResult:
        clause = entry.clause
        cases = list(self.cases.get(clause.id, {}).values())
        ran = [case for case in cases if case.outcome != "skipped"]
        status, why = self._status(entry, cases, capabilities)
        # A failure cannot be waived: the test ran, and its outcome is known.
        if status == Status.NOT_RUN and clause.id in self.waivers:
            status, why = Status.WAIVED, f"waived: {self.waivers[clause.id]} ({why})"
        return ClauseResult(
            clause.id,
            clause.level,
            entry.module,
            entry.loses,
            status,
            why,
            needs_of(clause.level, clause.needs),
            tests=len(ran),
            passed=sum(case.outcome == "passed" for case in ran),
            seconds=round(sum(case.seconds for case in cases), 4),
            retries=sum(case.retries for case in cases),
        )

    def _status(self, entry: Entry, cases: list[Case], capabilities: Collection[Capability]) -> tuple[Status, str]:
        failed = [case for case in cases if case.outcome == "failed"]
        skipped = [case for case in cases if case.outcome == "skipped"]
        if failed:
            return Status.FAILED, failed[0].why
        if entry.clause.id in self.overridden:
            return Status.NOT_RUN, f"overridden by {self.overridden[entry.clause.id]}"
        missing = [each.value for each in Capability if each in entry.clause.optional_without - set(capabilities)]
        if missing and len(skipped) == len(cases):
            return Status.NOT_APPLICABLE, f"not declared: {', '.join(missing)}"
        if skipped and len(skipped) == len(cases) and DOES_NOT_APPLY in skipped[0].why:
            return Status.NOT_APPLICABLE, skipped[0].why.rpartition(DOES_NOT_APPLY)[2]
        if skipped:
            return Status.NOT_RUN, f"skipped: {skipped[0].why}"
        if len(cases) < entry.cases:
            return Status.NOT_RUN, f"{len(cases)} of {entry.cases} tests ran" if cases else "not selected"
        return Status.PASSED, ""


def parse_waivers(texts: Iterable[str]) -> dict[str, str]:
    """Parse texts like ``CLAUSE=reason``. Raise ``InvalidArgument`` if a reason is missing."""
    waivers = {id.strip(): reason.strip() for id, _, reason in (text.partition("=") for text in texts)}
    if not all(waivers.values()):
        raise InvalidArgument("a waiver has no reason. Write CLAUSE=reason.")
    return waivers


def check_waivers(waivers: Iterable[str]) -> None:
    """Raise ``pytest.UsageError`` for waivers of unknown clauses."""
    unknown = sorted(set(waivers) - catalogue().keys())
    if unknown:
        raise pytest.UsageError(f"the suite has no clause {', '.join(unknown)}: a report lists them all")


def _add_phase(case: Case, report: pytest.TestReport) -> None:
    case.seconds += report.duration
    if report.failed or (report.skipped and hasattr(report, "wasxfail")):
        # An expected failure (xfail) counts as a failure. The first failure is kept: a test that failed often fails
        # again during teardown.
        case.why = case.why if case.outcome == "failed" else _shorten(report.longreprtext)
        case.outcome = "failed"
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        case.why = reason.removeprefix("Skipped: ")
    elif report.when == "call":
        case.outcome, case.why = "passed", ""


def _location(test: Callable[..., object]) -> tuple[str, str]:
    return test.__module__, test.__qualname__


def _leaves_records(item: pytest.Item) -> bool:
    clause = _clause(item)
    return clause is not None and catalogue()[clause.id].module in MODULES_THAT_LEAVE_RECORDS


def _shorten(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > LINES_KEPT:
        lines = [*lines[:5], "...", *lines[-LINES_KEPT:]]
    return "\n".join(line[:500] for line in lines)


def _clause(item: pytest.Item) -> Clause | None:
    clause = getattr(getattr(item, "obj", None), "clause", None)
    return clause if isinstance(clause, Clause) else None
