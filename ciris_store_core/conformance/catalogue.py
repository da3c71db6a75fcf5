"""Every clause that the suite holds, and the modules that it can be asked for by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from ciris_store_core.conformance.levels import Clause, Level
from ciris_store_core.errors import InvalidArgument

GROUPS: Mapping[str, tuple[str, ...]] = {
    "graph": ("graph_nodes", "graph_listing", "graph_edges", "updates", "traversal", "search", "words"),
    "telemetry": ("correlations", "locks", "aggregation"),
    "multi_occurrence": ("claims", "coordination", "processes"),
}
"""Names for several modules at once."""

QUICK = (Level.CORE, Level.CONCURRENT)


@dataclass(frozen=True, slots=True)
class Entry:
    """A clause and the test that holds it."""

    clause: Clause
    module: str
    test: Callable[..., Any]
    loses: str
    cases: int
    """How many times the test runs, each with other parameters."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tests are to run: those of the modules and levels named; all where none is."""

    modules: frozenset[str] = frozenset()
    levels: frozenset[Level] = frozenset()

    @classmethod
    def of(cls, modules: Iterable[str] = (), levels: Iterable[Level] = ()) -> Selection:
        """Take the names of modules and groups; an unknown one is ``InvalidArgument``."""
        wanted: set[str] = set()
        for name in modules:
            wanted.update(_modules_of(name))
        return cls(frozenset(wanted), frozenset(levels))

    def takes(self, entry: Entry) -> bool:
        """Whether the entry's test is to run."""
        return (not self.modules or entry.module in self.modules) and (
            not self.levels or entry.clause.level in self.levels
        )

    def __str__(self) -> str:
        """For reports."""
        parts = [*sorted(self.modules), *(level.value for level in Level if level in self.levels)]
        return ", ".join(parts) or "all"


def module_names() -> list[str]:
    """What a run can be limited to: groups first, then modules."""
    # Read from the folder: pytest must be the first to import the suite, so that failing assertions show their values.
    files = (Path(__file__).parent / "suite").glob("[a-z]*.py")
    return [*GROUPS, *sorted(file.stem for file in files)]


def _modules_of(name: str) -> tuple[str, ...]:
    plain = name.lower().replace("-", "_")
    if plain in GROUPS:
        return GROUPS[plain]
    if plain not in module_names():
        raise InvalidArgument(f"the suite has no module {name!r}: use one of {', '.join(module_names())}")
    return (plain,)


@cache
def catalogue() -> Mapping[str, Entry]:
    """Every clause by its id."""
    return {entry.clause.id: entry for entry in _entries()}


def _entries() -> Iterator[Entry]:
    # Imported here: the suite's tests look things up in this package too.
    from ciris_store_core.conformance import suite

    for name in suite.__all__:
        for _, test in inspect.getmembers(getattr(suite, name), inspect.isfunction):
            clause = getattr(test, "clause", None)
            if isinstance(clause, Clause):
                module = test.__module__.rpartition(".")[2]
                yield Entry(clause, module, test, inspect.getdoc(test) or "", _cases(test))


def _cases(test: Callable[..., Any]) -> int:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    return prod(len(list(mark.args[1])) for mark in marks)
