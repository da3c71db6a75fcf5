"""COPY: the fastest way in for many new rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import AlreadyExists

if TYPE_CHECKING:
    from ciris_store_postgres.session import PostgresSession

ROWS_TO_COPY = 2
"""From how many rows on COPY is used: measured, it takes a third of the time of INSERT even for two."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def copy_new(session: PostgresSession, statement: str, rows: Iterator[Sequence[Any]], what: str) -> None:
    """Store rows by a COPY ... FROM STDIN; one that exists raises ``AlreadyExists``, and nothing is written."""
    with session.savepoint() if session.in_transaction else nullcontext():
        try:
            # Written out before: the driver calls an error of COPY whatever is raised while it reads, an interrupt too.
            session.copy(statement, BytesIO("".join(map(_line, rows)).encode()))
        except AlreadyExists as error:
            raise AlreadyExists(
                f"a {what} of one of these ids already exists", kind=what, hint="Read them, or use other ids."
            ) from error


def _line(row: Sequence[Any]) -> str:
    """A row for COPY. Values are texts, numbers, booleans, datetimes and None."""
    fields = ["\\N" if v is None else v.translate(_ESCAPES) if type(v) is str else str(v) for v in row]
    return "\t".join(fields) + "\n"
