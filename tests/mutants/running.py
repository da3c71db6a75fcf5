"""Runner of the mutants: one pytest session runs, for each planted fault, the tests of the clauses that it breaks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core.conformance import Clause, Level
from ciris_store_core.errors import StoreError
from tests.mutants.planting import NO_FAULT, Fault

HERE = Path(__file__).parent

DETERMINISTIC = (Level.CORE, Level.OPERABLE)
"""Levels whose tests have one thread: a second run would give the same outcome."""


@dataclass
class Outcomes:
    """Outcomes by fault and clause."""

    runs: int = 1
    """Number of times that each fault meets a test that races."""
    failed: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    caught: set[tuple[str, str, int]] = field(default_factory=set)
    """Fault, clause and number of each run in which a test of the clause failed."""
    ran: set[tuple[str, str]] = field(default_factory=set)
    accidents: dict[str, str] = field(default_factory=dict)
    """Faults whose own code raised an unintended error."""
    clauses: dict[str, Clause] = field(default_factory=dict)
    """All clauses of the suite."""

    def add(self, other: Outcomes) -> None:
        """Add the outcomes of other faults."""
        for key, messages in other.failed.items():
            self.failed[key] += messages
        self.caught |= other.caught
        self.ran |= other.ran
        self.accidents |= other.accidents
        self.clauses |= other.clauses

    def escaped(self, fault: Fault) -> list[str]:
        """Return the clauses whose tests did not catch the fault."""
        return [clause for clause in fault.clauses if self.misses(fault, clause)]

    def misses(self, fault: Fault, clause: str) -> int:
        """Return the number of runs in which no test of the clause caught the fault."""
        known = self.clauses.get(clause)
        runs = 1 if known is None else runs_of(known, self.runs)
        return sum((fault.name, clause, number) not in self.caught for number in range(runs))


def runs_of(clause: Clause, runs: int) -> int:
    """Return how often the tests of a clause are run with each of its faults."""
    return 1 if clause.level in DETERMINISTIC else runs


class Plugin:
    """Pytest plugin that plants the faults and records the outcomes."""

    def __init__(
        self, faults: Sequence[Fault], progress: Callable[[int, int], None], *, runs: int, whole: bool, sound: bool
    ) -> None:
        self.outcomes = Outcomes(runs)
        self._sound = [(NO_FAULT, 0)] if sound else []
        self._whole = whole
        self._progress = progress
        self._done = self._total = 0
        self._by_clause: dict[str, list[Fault]] = defaultdict(list)
        for fault in faults:
            for clause in fault.clauses:
                self._by_clause[clause].append(fault)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on the sound backend and on each mutant that breaks its clause."""
        clause = getattr(metafunc.function, "clause", None)
        if clause is None or "harness" not in metafunc.fixturenames:
            return
        self.outcomes.clauses[clause.id] = clause
        runs = range(runs_of(clause, self.outcomes.runs))
        planted = [*self._sound, *((fault, run) for fault in self._by_clause[clause.id] for run in runs)]
        metafunc.parametrize("harness", planted, indirect=True, ids=[f"{fault.name}-{run}" for fault, run in planted])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests of clauses without a fault, unless the sound backend must pass all tests."""
        if not self._whole:
            items[:] = [item for item in items if self._by_clause[_clause_of(item).id]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool | None:
        """Leave out further tests of a clause that has caught the fault in this run: most have several parameters."""
        fault, run = item.callspec.params["harness"]
        if fault is NO_FAULT or (fault.name, _clause_of(item).id, run) not in self.outcomes.caught:
            return None
        item.session._setupstate.teardown_exact(nextitem)  # as the test would do at its end
        self._count()
        return True

    def _count(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests."""
        self._total = len(session.items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: pytest.CallInfo[Any]) -> Any:
        """Record the outcome of a test."""
        report = yield
        (fault, run), clause = item.callspec.params["harness"], _clause_of(item).id
        if report.when == "call" and not report.skipped:
            self.outcomes.ran.add((fault.name, clause))
        if report.failed:
            self.outcomes.caught.add((fault.name, clause, run))
            self._record_failure(fault, clause, report.when, call.excinfo)
        if report.when == "teardown":
            self._count()
        return report

    def _record_failure(self, fault: Fault, clause: str, when: str, caught: Any) -> None:
        self.outcomes.failed[fault.name, clause].append(str(caught.value))
        in_fault = HERE.parent in Path(caught.traceback[-1].path).parents
        meant = isinstance(caught.value, (StoreError, AssertionError)) or caught.typename == "Failed"
        if fault is not NO_FAULT and (when != "call" or (in_fault and not meant)):
            self.outcomes.accidents[fault.name] = f"{when}: {caught.exconly()}"


def _clause_of(item: Any) -> Clause:
    clause: Clause = item.obj.clause
    return clause


def run(
    faults: Sequence[Fault],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    runs: int = 1,
    whole: bool = True,
    sound: bool = True,
) -> Outcomes:
    """Run the mutants. ``progress`` gets the number of tests done and the total.

    Args:
        faults: Planted faults.
        progress: Callback.
        runs: Number of times that a fault meets each test that races. A fault that one of them misses escapes.
        whole: Whether the sound backend must pass all tests of the suite, or only those that the faults meet.
        sound: Whether the sound backend meets any test.
    """
    plugin = Plugin(faults, progress, runs=runs, whole=whole, sound=sound)
    arguments = [
        str(HERE / "cases.py"),
        "-q",
        "--tb=no",
        "--no-header",
        "--no-summary",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
    ]
    arguments += ["-o", "addopts=--import-mode=importlib", "-o", "timeout=60", "--rootdir", str(HERE.parent.parent)]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        code = pytest.main(arguments, plugins=[plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {code!r}. Run `pytest tests/mutants/cases.py` to see why.")
    return plugin.outcomes


def run_part(names: Sequence[str], runs: int, whole: bool, sound: bool) -> Outcomes:
    """Run the faults of these names, in a process of their own."""
    from tests.mutants.catalogue import FAULTS

    wanted = set(names)
    return run([fault for fault in FAULTS if fault.name in wanted], runs=runs, whole=whole, sound=sound)


def run_parts(
    faults: Sequence[Fault], progress: Callable[[int, int], None], *, runs: int, whole: bool, workers: int
) -> Outcomes:
    """Run the mutants in several processes. The sound backend meets the tests in a part of its own."""
    parts = [[fault.name for fault in faults[number::workers]] for number in range(workers)]
    outcomes = Outcomes(runs)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        tasks = [pool.submit(run_part, [], 1, True, True)] if whole else []
        tasks += [pool.submit(run_part, part, runs, False, not whole) for part in parts if part]
        for number, task in enumerate(as_completed(tasks), 1):
            outcomes.add(task.result())
            progress(number, len(tasks))
    return outcomes
