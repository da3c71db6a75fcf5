"""``python -m tests.mutants``: plant every fault, print caught/planted, and list the faults that escaped.

With ``--runs 3``, tests that race meet each fault three times. A fault that luck catches, in some of the runs, escapes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.progress import Progress, TaskID

from tests.mutants import catalogue
from tests.mutants.planting import NO_FAULT, Fault, clauses_of
from tests.mutants.running import Outcomes, run, run_parts

LEAST = 2
"""Planted faults that each clause must have."""


def problems(faults: Sequence[Fault], outcomes: Outcomes, *, whole: bool = True) -> list[str]:
    """Return the problems of the faults and, if the ``whole`` suite was to run, of the suite, one line each."""
    found = [f"the sound backend fails {clause}" for name, clause in outcomes.failed if name == NO_FAULT.name]
    found += [f"the sound backend did not run {clause}" for clause in sorted(_not_run(outcomes)) if whole]
    found += [f"the fault {name} is broken itself: {why}" for name, why in outcomes.accidents.items()]
    for fault in faults:
        found += [f"ESCAPED: {_escape(fault, clause, outcomes)}" for clause in outcomes.escaped(fault)]
        found += [
            f"{fault.name} names {each}, which is no clause" for each in set(fault.clauses) - set(outcomes.clauses)
        ]
    return found


def _escape(fault: Fault, clause: str, outcomes: Outcomes) -> str:
    luck = (
        f", in {outcomes.misses(fault, clause)} of {outcomes.runs} runs" if outcomes.failed[fault.name, clause] else ""
    )
    return f"{fault.name} from {clause}{luck}"


def uncovered(faults: Sequence[Fault], outcomes: Outcomes) -> list[str]:
    """Return the clauses with fewer faults than two, and how many they have, one line each.

    A single fault shows that a test can fail. The second wrong implementation shows whether its data can tell.
    """
    planted = Counter(clause for fault in faults for clause in set(fault.clauses))
    few = [clause for clause in outcomes.clauses if planted[clause] < LEAST and clause not in catalogue.EXEMPT]
    return [f"{clause} has {planted[clause]} planted faults of {LEAST}" for clause in sorted(few)]


def _not_run(outcomes: Outcomes) -> set[str]:
    ran = {clause for name, clause in outcomes.ran if name == NO_FAULT.name}
    return set(outcomes.clauses) - ran - set(catalogue.EXEMPT) - set(catalogue.NOT_ON_THE_REFERENCE)


def main(arguments: Sequence[str]) -> int:
    """Plant the named faults, or all. Return 0 if none escapes."""
    options = _parser().parse_args(arguments)
    console = Console()
    faults = [fault for fault in catalogue.FAULTS if _is_wanted(fault, options)]
    some = bool(options.faults or options.clause)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{len(faults)} faults", total=None)
        show = partial(_show, bar, task)
        if options.workers > 1:
            outcomes = run_parts(faults, show, runs=options.runs, whole=not some, workers=options.workers)
        else:
            outcomes = run(faults, show, runs=options.runs, whole=not some)
    wrong = problems(faults, outcomes, whole=not some)
    wrong += [] if some else uncovered(faults, outcomes)
    for line in wrong:
        console.print(line, markup=False, highlight=False)
    caught = sum(not outcomes.escaped(fault) for fault in faults)
    covered = len(clauses_of(faults) & set(outcomes.clauses))
    console.print(
        f"{caught}/{len(faults)} caught/planted, for {covered} of {len(outcomes.clauses)} clauses", highlight=False
    )
    for clause, why in catalogue.EXEMPT.items():
        console.print(f"  exempt: {clause}: {why}", markup=False, highlight=False)
    return 1 if wrong or not faults else 0


def _show(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("faults", nargs="*", help="names of faults; by default all")
    parser.add_argument("--clause", action="append", default=[], help="only faults of this clause, or of its parts")
    parser.add_argument("--runs", type=int, default=1, help="how often each fault meets a test that races")
    parser.add_argument("--workers", type=int, default=1, help="number of processes that share the faults")
    return parser


def _is_wanted(fault: Fault, options: argparse.Namespace) -> bool:
    in_clause = any(each == name or each.startswith(f"{name}.") for each in fault.clauses for name in options.clause)
    return fault.name in options.faults or in_clause or not (options.faults or options.clause)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
