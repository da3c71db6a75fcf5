"""Reading of databases that another program wrote, which a backend may offer beside its stores.

``BackendSpec.open_foreign`` opens one. It is no part of an open store, and knows nothing of the records.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self


class ForeignDatabase(ABC):
    """A database of another program, open for reading.

    - All reads see the database as it was at one moment, however long the reading takes.
    - Nothing changes: neither the database nor, of a file, the folder that it is in.
    - Belongs to one thread. Driver errors are raised translated.
    - Names of tables and columns are those that ``tables`` and ``columns`` returned.
    """

    @abstractmethod
    def tables(self) -> list[str]:
        """The names of all tables, ascending."""

    @abstractmethod
    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, in its order; empty if there is no such table."""

    @abstractmethod
    def count(self, table: str) -> int:
        """Return the number of rows of the table."""

    @abstractmethod
    def rows(self, table: str, columns: Sequence[str], order: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield all rows, ascending by the columns of ``order``, as they are read.

        - Values are None, ``int``, ``float``, ``bool``, ``str``, ``bytes`` or ``datetime``; JSON comes as text. Bytes
          of a text that are not UTF-8 come as lone surrogates.
        - One iterator at a time.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the database. Idempotent."""

    def __enter__(self) -> Self:
        """Return the database."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
