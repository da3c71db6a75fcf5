"""``python -m tests.reliability``: runs the long counts and rewrites the table of ``docs/reliability.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from tests.reliability import page
from tests.reliability.soak import ALL, Result, forget, run, saved


def arguments_of(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability", description="the promises under fire, for long"
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which, by default all: {', '.join(ALL)}")
    parser.add_argument("--fresh", action="store_true", help="also what passed in an earlier run")
    parser.add_argument("--cores", type=float, default=os.cpu_count() or 1, help="how many to keep busy (%(default)s)")
    parser.add_argument("--page", action="store_true", help="only write the table of what was run")
    options = parser.parse_args(given)
    if unknown := set(options.rows) - set(ALL):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return options


def main(given: Sequence[str]) -> int:
    """Run what is left to run; 0 if everything passed."""
    options, console = arguments_of(given), Console(highlight=False)
    if options.fresh:
        forget()
    wanted = options.rows or list(ALL)
    passed = {name for name, result in saved().items() if result.passed}
    left = [] if options.page else [name for name in wanted if name not in passed or name in options.rows]
    console.print(f"{len(left)} of {len(ALL)} rows to run")

    def tell(result: Result) -> None:
        page.write(saved())
        console.print(f"{'passed' if result.passed else 'FAILED'} {result.row} in {result.seconds:.0f} s", markup=False)
        for each in result.records:
            kind = ", control" if each["control"] else ""
            console.print(
                f"  {each['subject']}{kind}: {each['done']:,}, {each['wrong']:,} wrong {each['note']}", markup=False
            )

    run(left, options.cores, tell)
    page.write(saved())
    done = [result for name, result in saved().items() if name in wanted]
    failed = [result for result in done if not result.passed]
    for result in failed:
        console.rule(result.row)
        console.print(result.output, markup=False)
    console.print(f"{len(done) - len(failed)} rows passed, {len(failed)} failed: see docs/reliability.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
