"""Run both suites on every store and saver, and write docs/integrations/langgraph-suite.md.

python contrib/langgraph/suite_page.py
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langgraph.checkpoint.conformance import checkpointer_test, validate

from ciris_store_langgraph.conformance import Outcome, Subject, check, upstream
from ciris_store_langgraph.conformance.clauses import Kind, clauses_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs/integrations/langgraph-suite.md"
PACKAGES = ["langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres"]
SIGNS = {"passed": "yes", "failed": "**no**", "skipped": "-"}
HEAD = """# The suite for LangGraph's stores and checkpointers

LangGraph has no suite for `BaseStore`, and its suite for checkpointers tests no races, restarts or crashes. The extra
`ciris-store-langgraph[conformance]` has one for each. A file of tests needs one import, one factory and one line:

<!-- not run: a sketch; the adapter's own tests do the same -->
```py
from ciris_store_langgraph.conformance import store_suite

@contextmanager
def my_store(place: Path) -> Iterator[BaseStore]:
    yield MyStore(place / "my.db")

test_my_store = store_suite(my_store)
```

The factory opens a store at a directory, and finds there what it stored before. `saver_suite` does the same for a
checkpointer. A second factory opens the async class, if it is another one. `durable=False` leaves out restarts and
crashes.

`python contrib/langgraph/suite_page.py` wrote the tables, with
{versions}. "-" means that a clause does not apply.
"""

OWN = """Tests passed, of how many, of langgraph-checkpoint-conformance {version}. This release has no tests of
`get_delta_channel_history`, the ninth capability: the clauses C25 and C26 below test it.
""".format(version=version("langgraph-checkpoint-conformance"))


def outcomes(kind: Kind, subject: Subject, only: str | None) -> list[Outcome]:
    """Run every clause on a subject."""
    found = []
    for clause in clauses_of(kind):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            if only is None or clause.number == only:
                found.append(check(clause, subject, Path(place)))
                if found[-1].result == "failed":
                    print(clause.number, repr(found[-1].error)[:150], flush=True)
    return found


def table(kind: Kind, subjects: dict[str, Subject], only: str | None) -> list[str]:
    """Return the table of a suite, and of what it says."""
    found = {}
    for name, subject in subjects.items():
        print(name, flush=True)
        found[name] = outcomes(kind, subject, only)
    lines = [f"| clause | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for row in zip(*found.values(), strict=True):
        lines.append(f"| {row[0].clause.number} | {' | '.join(SIGNS[each.result] for each in row)} |")
    counts = [str(sum(each.result == "failed" for each in column)) for column in found.values()]
    lines += [f"| failed | {' | '.join(counts)} |", "", "| clause | promise | without it |", "|---|---|---|"]
    lines += [f"| {each.number} | {each.title} | {each.breaks} |" for each in clauses_of(kind)]
    return lines


async def capabilities(name: str, subject: Subject) -> dict[str, str]:
    """Return the result of LangGraph's own suite, by capability: tests passed, of how many."""

    @checkpointer_test(name=name)
    async def saver() -> AsyncIterator[Any]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            async with subject.opened_async(Path(place)) as opened:
                yield opened

    report = await validate(saver)
    return {
        capability: "-"
        if found.passed is None
        else f"{found.tests_passed} of {found.tests_passed + found.tests_failed}"
        for capability, found in report.results.items()
    }


def own_suite(subjects: dict[str, Subject]) -> list[str]:
    """Return the table of LangGraph's own suite."""
    found = {name: asyncio.run(capabilities(name, subject)) for name, subject in subjects.items()}
    lines = [f"| capability | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for capability in next(iter(found.values())):
        lines.append(f"| `{capability}` | {' | '.join(each[capability] for each in found.values())} |")
    return lines


def main() -> None:
    """Write the page; with the number of a clause, print only its results."""
    from tests.support.pgserver import shared_server

    server, made, only = shared_server(), list[str](), (sys.argv[1:] or [None])[0]

    def new_database() -> str:
        made.append(server.create_database())
        return made[-1]

    upstream.new_database = new_database
    try:
        lines = [HEAD.format(versions=", ".join(f"{each} {version(each)}" for each in PACKAGES))]
        if only is None:
            lines += ["## LangGraph's own suite\n", OWN, *own_suite(upstream.SAVERS), ""]
        lines += ["## Stores\n", *table("store", upstream.STORES, only), ""]
        lines += ["## Checkpointers\n", *table("saver", upstream.SAVERS, only)]
    finally:
        for url in made:
            server.drop_database(url)
    if only is None:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
