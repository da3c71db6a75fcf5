"""The SQL of documents on SQLite: one statement to write one, and indexes on parts of values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic_core import from_json

from ciris_store_core.models.document_filters import Condition, Filter, ValuePath
from ciris_store_core.models.documents import DocumentQuery, StoredDocument
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.sql.document_filters import conjuncts
from ciris_store_core.sql.document_listing import Judge
from ciris_store_core.sql.documents import SqlDocumentStore
from ciris_store_core.sql.name_ranges import prefix_range
from ciris_store_core.sql.rows import Row
from ciris_store_core.sql.statements import fill_in
from ciris_store_sqlite.document_conditions import SOUND_VALUE, among_damaged, around, path_text

INDEX_NUMBER = "SELECT number FROM document_indexes WHERE value_path = ?"

MAKE_INDEX = "INSERT INTO document_indexes (value_path) VALUES (?) RETURNING number"

# A damaged text ends the statement: a document that is missing in the index would not be found.
FILL_INDEX = f"""
INSERT INTO document_parts (path, key, index_number, value)
SELECT d.path, d.key, ?, CASE j.type WHEN 'text' THEN substr(j.atom, 1, 200) ELSE j.atom END
FROM {{documents}} d, json_tree({SOUND_VALUE}, ?) j
WHERE d.format = 'json' AND j.parent IS NULL AND j.type IN ('text', 'integer', 'real')
"""

EMPTY_INDEX = "DELETE FROM document_parts WHERE index_number = ?"

DROP_INDEX = "DELETE FROM document_indexes WHERE number = ?"

WITH_PART = "(path, key) IN (SELECT path, key FROM document_parts WHERE index_number = ? AND {value} {range})"

INDEXED_CHARACTERS = 200
"""Characters of a text that an index holds; the triggers repeat the number."""


class SqliteDocumentStore(SqlDocumentStore):
    """Document store that writes one document in one statement."""

    upserts = True

    # --- indexes ------------------------------------------------------------------------------

    def create_index(self, path: ValuePath) -> None:
        """Index the part that a path leads to, unless its keys have characters that SQLite's paths do not take."""
        text = path_text(path)
        if text is None or self.executor.rows(INDEX_NUMBER, (text,)):
            return
        with self.executor.atomic():
            if not self.executor.rows(INDEX_NUMBER, (text,)):  # made since the question above
                [(number,)] = self.executor.rows(MAKE_INDEX, (text,))
                self.executor.run(FILL_INDEX, (number, text))

    def drop_index(self, path: ValuePath) -> None:
        with self.executor.atomic():
            for row in self.executor.rows(INDEX_NUMBER, (path_text(path),)):
                self.executor.run(EMPTY_INDEX, row)
                self.executor.run(DROP_INDEX, row)

    # --- lists --------------------------------------------------------------------------------

    def find(self, query: DocumentQuery) -> ResultPage[StoredDocument]:
        with self._seeing_indexes(query):
            return super().find(query)

    def count(self, query: DocumentQuery) -> int:
        with self._seeing_indexes(query):
            return super().count(query)

    def delete_matching(self, query: DocumentQuery) -> int:
        with self.executor.atomic():
            return super().delete_matching(query)

    def _seeing_indexes(self, query: DocumentQuery) -> AbstractContextManager[None]:
        """Return a transaction if the query may use an index, which another caller could drop in the middle."""
        if query.filter is None or self.executor.cursor.connection.in_transaction or not any(_served(query.filter)):
            return nullcontext()
        return self.executor.transaction(write=False)

    def _among_damaged(self, condition: str, *, listing: bool) -> str:
        return among_damaged(condition, listing=listing)

    def _mapper_for(self, query: DocumentQuery) -> Callable[[Row], StoredDocument]:
        return self._read if query.filter is None else self._read_sound

    def _read_sound(self, row: Row) -> StoredDocument:
        """Return the document of a row that a filter found; raise ValueError if it was damaged, and so not judged."""
        document = self._read(row)
        from_json(document.payload.filtered_text or "", allow_inf_nan=False)
        return document

    def _conditions(self, query: DocumentQuery, *, listing: bool = False) -> tuple[list[str], list[Any], Judge | None]:
        conditions, params, judge = super()._conditions(query, listing=listing)
        for path, value, bound in _served(query.filter) if query.filter is not None else ():
            rows = self.executor.rows(INDEX_NUMBER, (path,))
            if rows:
                below, ends, _ = prefix_range("path", query.prefix)
                ranges = "".join(f" AND {condition}" for condition in below)
                conditions.append(fill_in(WITH_PART, value=value, range=ranges))
                params += [rows[0][0], *bound, *ends]
                break
        return conditions, params, judge


def _served(condition: Filter) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield the path of each condition that an index can serve, with a test of the indexed value that it implies."""
    for part in conjuncts(condition):
        if isinstance(part, Condition) and part.operator in ("eq", "in"):
            path = path_text(part.path)
            test = _value_test(part.operand if part.operator == "in" else (part.operand,))
            if path is not None and test is not None:
                yield path, *test


def _value_test(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
    if not all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in operands):
        return None
    if len(operands) == 1 and isinstance(operands[0], float):
        return "value BETWEEN ? AND ?", around(operands[0])
    if any(isinstance(each, float) for each in operands):
        return None
    held = [each[:INDEXED_CHARACTERS] if isinstance(each, str) else each for each in operands]
    if len(held) == 1:
        return "value = ?", (held[0],)
    return "value IN (SELECT value FROM json_each(?))", (json.dumps(held),)
