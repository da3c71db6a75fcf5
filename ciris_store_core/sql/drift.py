"""Drift of a schema: parts that its migrations made and that are missing, and foreign triggers and views."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ciris_store_core.models.operations import Finding, Severity
from ciris_store_core.sql.migrate import Migration

_MADE = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*CREATE (?P<kind>(?:UNIQUE )?INDEX|(?:VIRTUAL )?TABLE|VIEW|TRIGGER) (?P<name>\{?\w+\}?)",
    re.IGNORECASE,
)
_DROPPED = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*DROP (?:INDEX|TABLE|VIEW|TRIGGER) (?:IF EXISTS )?(\{?\w+\}?)", re.IGNORECASE
)


def expected(migrations: Iterable[Migration]) -> dict[str, str]:
    """Return the statement that creates each table, index, view and trigger of a schema, by name."""
    found: dict[str, str] = {}
    for migration in migrations:
        for statement in migration.statements:
            if made := _MADE.match(statement):
                found[made["name"].strip("{}")] = statement
            elif dropped := _DROPPED.match(statement):
                found.pop(dropped[1].strip("{}"), None)
    return found


def missing(
    migrations: Sequence[Migration], applied: Iterable[int], there: Iterable[str], spelled: Callable[[str], str]
) -> Iterator[Finding]:
    """Yield a finding for each object of an applied migration that is missing. ``there``: names of what exists."""
    done, present = set(applied), set(there)
    for name, statement in expected(each for each in migrations if each.version in done).items():
        if name not in present:
            kind = _kind(statement)
            severity = Severity.WARNING if kind == "index" else Severity.ERROR
            yield Finding(
                f"missing_{kind}", severity, f"the {kind} {name} is missing", spelled(statement) + ";", {"name": name}
            )


def foreign(migrations: Iterable[Migration], there: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """Yield a finding for each trigger and view that no migration makes, and that touches the store's tables.

    ``there``: kind (``trigger`` or ``view``), name and table of each that exists. A trigger that the store doesn't know
    can change, copy or suppress writes, so it is a warning; a view only reads.
    """
    own = expected(migrations)
    for kind, name, table in there:
        if name not in own:
            severity = Severity.WARNING if kind == "trigger" else Severity.INFO
            summary = f"the {kind} {name!a} on {table!a} was made by no migration of this store"
            fix = f"find out who made the {kind}, and drop it if it is not meant to be there"
            yield Finding(f"foreign_{kind}", severity, summary, fix, {"name": name, "table": table})


def _kind(statement: str) -> str:
    made = _MADE.match(statement)
    assert made is not None
    return made["kind"].lower().split()[-1]
