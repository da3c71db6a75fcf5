"""``python -m tests.mutants``: plant every fault, print caught/planted, and list the faults that escaped."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress

from tests.mutants import catalogue
from tests.mutants.planting import NO_FAULT, Fault, clauses_of
from tests.mutants.running import Outcomes, run


def problems(faults: Sequence[Fault], outcomes: Outcomes) -> list[str]:
    """Return the problems of the faults and of the suite, one line each."""
    found = [f"the sound backend fails {clause}" for name, clause in outcomes.failed if name == NO_FAULT.name]
    found += [f"the sound backend did not run {clause}" for clause in sorted(_not_run(outcomes))]
    found += [f"the fault {name} is broken itself: {why}" for name, why in outcomes.accidents.items()]
    for fault in faults:
        found += [f"ESCAPED: {fault.name} from {clause}" for clause in outcomes.escaped(fault)]
        found += [
            f"{fault.name} names {each}, which is no clause" for each in set(fault.clauses) - set(outcomes.clauses)
        ]
    return found


def uncovered(faults: Sequence[Fault], outcomes: Outcomes) -> list[str]:
    """Return the clauses without a fault."""
    return sorted(set(outcomes.clauses) - clauses_of(faults) - set(catalogue.EXEMPT))


def _not_run(outcomes: Outcomes) -> set[str]:
    ran = {clause for name, clause in outcomes.ran if name == NO_FAULT.name}
    return set(outcomes.clauses) - ran - set(catalogue.EXEMPT) - set(catalogue.NOT_ON_THE_REFERENCE)


def main(arguments: Sequence[str]) -> int:
    """Plant the named faults, or all. Return 0 if none escapes."""
    console = Console()
    faults = [fault for fault in catalogue.FAULTS if not arguments or fault.name in arguments]
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{len(faults)} faults", total=None)
        outcomes = run(faults, lambda done, total: bar.update(task, completed=done, total=total))
    wrong = problems(faults, outcomes)
    wrong += [] if arguments else [f"no fault is planted for {clause}" for clause in uncovered(faults, outcomes)]
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
