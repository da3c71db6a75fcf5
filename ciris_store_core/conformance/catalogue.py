"""Catalogue of the suite's clauses, and the modules by which they can be selected."""

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
    "graph": (
        "graph_nodes", "graph_get_delete", "graph_listing", "graph_edges", "updates", "traversal", "search", "words",
    ),
    "telemetry": ("correlations", "locks", "aggregation", "percentiles"),
    "work": ("tasks", "task_listing", "thoughts", "thought_listing"),
    "multi_occurrence": ("claims", "coordination", "processes"),
}  # fmt: skip
"""Groups of modules that can be selected by one name."""

QUICK = (Level.CORE, Level.CONCURRENT)


@dataclass(frozen=True, slots=True)
class Entry:
    """Clause and its test."""

    clause: Clause
    module: str
    test: Callable[..., Any]
    loses: str
    cases: int
    """Number of times that the test runs, each with other parameters."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Selection of tests by module and level. An empty set selects all."""

    modules: frozenset[str] = frozenset()
    levels: frozenset[Level] = frozenset()

    @classmethod
    def of(cls, modules: Iterable[str] = (), levels: Iterable[Level] = ()) -> Selection:
        """Return the selection of modules and groups. Raise ``InvalidArgument`` for an unknown name."""
        wanted: set[str] = set()
        for name in modules:
            wanted.update(_modules_of(name))
        return cls(frozenset(wanted), frozenset(levels))

    def takes(self, entry: Entry) -> bool:
        """Return True if the entry's test is selected."""
        return (not self.modules or entry.module in self.modules) and (
            not self.levels or entry.clause.level in self.levels
        )

    def __str__(self) -> str:
        """Return the selection as text, for reports."""
        parts = [*sorted(self.modules), *(level.value for level in Level if level in self.levels)]
        return ", ".join(parts) or "all"


def module_names() -> list[str]:
    """Return the names that a run can be limited to: groups first, then modules."""
    # The names are read from the folder. Pytest must be the first to import the suite, or failing assertions show no
    # values.
    files = (Path(__file__).parent / "suite").glob("[a-z]*.py")
    return [*GROUPS, *sorted(file.stem for file in files)]


def _modules_of(name: str) -> tuple[str, ...]:
    plain = name.lower().replace("-", "_")
    if plain in GROUPS:
        return GROUPS[plain]
    if plain not in module_names():
        raise InvalidArgument(f"the suite has no module {name!r}. Use one of {', '.join(module_names())}.")
    return (plain,)


@cache
def catalogue() -> Mapping[str, Entry]:
    """Return every clause by its id."""
    return {entry.clause.id: entry for entry in _entries()}


def _entries() -> Iterator[Entry]:
    # Imported here, since the tests of the suite import this package.
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
