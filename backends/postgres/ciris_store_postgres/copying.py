"""COPY: the fastest way in for many new rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import Conflict

if TYPE_CHECKING:
    from .session import PostgresSession

ROWS_TO_COPY = 2
"""From how many rows on COPY is used: measured, it takes a third of the time of INSERT even for two."""

_ROWS_PER_READ = 200

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def copy_new(session: PostgresSession, statement: str, rows: Iterator[Sequence[Any]], what: str) -> None:
    """Store rows by a COPY ... FROM STDIN; one that exists is a Conflict, and nothing is written."""
    with session.savepoint() if session.in_transaction else nullcontext():
        try:
            session.copy(statement, CopySource(rows))
        except Conflict as error:
            raise Conflict(f"a {what} of one of these ids exists: nothing of the call was written") from error


class CopySource:
    """A file of rows for COPY, written while the server reads.

    Values are texts, numbers, booleans, datetimes and None.
    """

    def __init__(self, rows: Iterator[Sequence[Any]]) -> None:
        """Takes the rows when they are needed."""
        self._rows = rows

    def read(self, _size: int = -1) -> bytes:
        """The next rows; nothing at the end."""
        return "".join(map(_line, islice(self._rows, _ROWS_PER_READ))).encode()


def _line(row: Sequence[Any]) -> str:
    fields = ["\\N" if v is None else v.translate(_ESCAPES) if type(v) is str else str(v) for v in row]
    return "\t".join(fields) + "\n"
