"""Insertion of new records, for the stores of all aggregates whose first column is the id."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import AlreadyExists
from ciris_store_core.sql.statements import leave_out_nulls

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# Only the calls that add these kinds have the parameter ``exist_ok``.
_REPEATABLE = frozenset({"task", "thought", "correlation"})


def insert_new(executor: SqlExecutor, statement: str, existing: str, kind: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose first value is their id; raise ``AlreadyExists``, and write nothing, if one of the ids exists.

    ``statement`` is an INSERT that does nothing for an id that exists; ``existing`` selects those of some ids that do.
    """
    if len(rows) == 1:
        if not executor.insert_new(statement, rows[0]):
            raise already_exists(kind, [rows[0][0]])
    elif rows:
        with executor.atomic():
            # Asked first, so that the error can name the ids: the count of rows below tells only that one exists.
            found = executor.rows(existing, (executor.codec.texts_in([row[0] for row in rows]),))
            if found:
                raise already_exists(kind, [row[0] for row in found])
            statement, rows = leave_out_nulls(statement, rows)
            if executor.dialect.locks_rows:
                # An insert waits for an uncommitted row of the same key. In one order, two callers that insert the same
                # ids wait for each other in a line, never in a circle.
                rows.sort(key=itemgetter(0))
            # A row that another transaction committed since the question above is passed over, not stored.
            if executor.insert(statement, rows) != len(rows):
                raise AlreadyExists(
                    f"another caller added one of the same {kind}s just now", kind=kind, hint="Read them and decide."
                )


def already_exists(kind: str, ids: Sequence[str]) -> AlreadyExists:
    """Return the error for records whose ids exist."""
    key = ids[0] if len(ids) == 1 else None
    again = f", or call {kind}s.add(..., exist_ok=True) to accept an identical record" if kind in _REPEATABLE else ""
    message = f"{kind} {', '.join(map(repr, ids))} already exists"
    return AlreadyExists(message, kind=kind, key=key, hint=f"Use another id{again}.")
