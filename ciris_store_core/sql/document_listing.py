"""SQL that lists documents: by prefix, filter and order, and by namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.contract.documents import DocumentStore
from ciris_store_core.errors import Corrupt
from ciris_store_core.models.document_filters import Filter, matches
from ciris_store_core.models.documents import DocumentKey, DocumentOrder, DocumentQuery, Namespace, StoredDocument
from ciris_store_core.models.paging import CorruptRow, ResultPage, SortKey
from ciris_store_core.models.paths import index_key
from ciris_store_core.models.payloads import Payload
from ciris_store_core.sql.document_filters import split_filter
from ciris_store_core.sql.name_ranges import prefix_range, text_prefix_range
from ciris_store_core.sql.namespaces import SqlNamespaces
from ciris_store_core.sql.payloads import FORMATS, key_of_row, read_key, read_refs, short_path
from ciris_store_core.sql.rows import MAPPER_ERRORS, Row, read_all, read_page
from ciris_store_core.sql.statements import LIVE, fill_in, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

GET = "SELECT {document_columns} FROM {documents} d WHERE path = ? AND key = ?"

GET_MANY = "SELECT {document_columns} FROM {documents} d WHERE (path, key) IN {keys2}"

GET_LIVE = f"{GET} AND {LIVE}"

GET_MANY_LIVE = f"{GET_MANY} AND {LIVE}"

FIND = "SELECT {document_columns} FROM {documents} d {where} ORDER BY {order} LIMIT ?"

COUNT = "SELECT count(*) FROM {documents} d {where}"

# Picked once: a subquery with a lock may run again for each row. A row that another transaction changed meanwhile is
# checked against the conditions again when it is locked (READ COMMITTED).
DELETE_MATCHING = """
DELETE FROM {documents} WHERE (path, key) IN (
    WITH picked AS MATERIALIZED (
        SELECT path, key FROM {documents} d {where} ORDER BY path, key LIMIT ? {for_update}
    )
    SELECT path, key FROM picked
)
"""

FIND_ENCRYPTED = "SELECT {document_columns} FROM {documents} d {where} ORDER BY path, key LIMIT ?"

ROWS_AT_ONCE = 500
"""Rows that are read together where Python judges which of them are found."""

_ORDERS: dict[DocumentOrder, str] = {
    "key": "path, key", "created": "created_at, path, key", "updated": "updated_at, path, key"
}  # fmt: skip

_LONG_NAME = 8
_KEY = itemgetter(0, 1)

Judge = Callable[[StoredDocument], bool]


class SqlDocumentListing(SqlNamespaces, DocumentStore):
    """Part of the store of documents that reads lists of them."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec
        self._read = self._mapper()

    def _mapper(self) -> Callable[[Row], StoredDocument]:
        time = self.codec.time_out

        def read(row: Row) -> StoredDocument:
            (path, key, revision, created_at, updated_at, expires_at, ttl, form, long_name, media_type, key_id, refs,
             metadata, searchable, body, data) = row  # fmt: skip
            namespace, key = read_key(path, key, long_name)
            # A value without body and data is corrupt, and bytes(None) an error of the mapper.
            value = body if body is not None else bytes(data)
            return StoredDocument(
                namespace, key, Payload(FORMATS[form], value, searchable, media_type, key_id, read_refs(refs)),
                time(created_at), time(updated_at), revision, None if expires_at is None else time(expires_at),
                None if ttl is None else float(ttl),  # SQLite gives whole numbers of RETURNING as integers
                from_json(metadata) if metadata else None,
            )  # fmt: skip

        return read

    def read_documents(self, rows: Sequence[Row]) -> list[StoredDocument]:
        """Return the documents of rows; raise ``Corrupt`` if one cannot be read."""
        return read_all(rows, self._read, "document", _name_of)

    def _key(self, key: tuple[Namespace, str]) -> tuple[str, str]:
        return short_path(key[0]), index_key(key[1])

    def get(self, keys: Sequence[DocumentKey], now: datetime | None) -> list[StoredDocument]:
        if not keys:
            return []
        bound: tuple[Any, ...]
        if len(keys) == 1:
            statement, bound = GET if now is None else GET_LIVE, self._key(keys[0])
        else:
            statement = GET_MANY if now is None else GET_MANY_LIVE
            bound = (self.codec.json_in([self._key(key) for key in keys]),)
        if now is not None:
            bound = (*bound, self.codec.time_in(now))
        return self.read_documents(self.executor.rows(statement, bound))

    # --- lists --------------------------------------------------------------------------------

    def find(self, query: DocumentQuery) -> ResultPage[StoredDocument]:
        conditions, params, judge = self._conditions(query, listing=True)
        if judge is not None:
            return self._judged_page(query, conditions, params, judge)
        rows = self._rows(query, conditions, params, query.after, query.limit + 1)
        return read_page(rows, self._mapper_for(query), query.limit, self._sort_key(query.order), _name_of)

    def count(self, query: DocumentQuery) -> int:
        conditions, params, judge = self._conditions(query)
        if judge is not None:
            return len([_sound(found) for _, found in self._judged(_of_all(query), conditions, params, judge)])
        row = self.executor.row(fill_in(COUNT, where=where_clause(conditions)), params)
        return row[0] if row else 0

    def delete_matching(self, query: DocumentQuery) -> int:
        conditions, params, judge = self._conditions(query)
        if judge is None:
            statement = fill_in(DELETE_MATCHING, where=where_clause(conditions))
            return self.executor.run(statement, (*params, query.limit))
        with self.executor.atomic():
            page = self._judged_page(_of_all(query), conditions, params, judge)
            for row in page.corrupt:
                _sound(row)
            found = page.items
            # Judged again under the lock: another transaction may have written one of them since it was read.
            meant = {(document.id, document.revision) for document in found}
            locked = self.lock([document.id for document in found])
            return self.delete([each.id for each in locked if (each.id, each.revision) in meant], query.now)

    def find_encrypted(self, key_id: str, after: DocumentKey | None, limit: int) -> list[StoredDocument]:
        conditions, params = ["key_id = ?"], [key_id]
        if after is not None:
            conditions.append("(path, key) > (?, ?)")
            params += self._key(after)
        statement = fill_in(FIND_ENCRYPTED, where=where_clause(conditions))
        return self.read_documents(self.executor.rows(statement, (*params, limit)))

    def _mapper_for(self, query: DocumentQuery) -> Callable[[Row], StoredDocument]:
        """Return the mapper of the rows that a query finds: a backend may refuse values that no filter can judge."""
        return self._read

    def _among_damaged(self, condition: str, *, listing: bool) -> str:
        """Return the condition on a value for a database that may hold a damaged one.

        In a listing a damaged value meets it, and ``_mapper_for`` refuses it. Otherwise it ends the statement.
        """
        return condition

    def _conditions(self, query: DocumentQuery, *, listing: bool = False) -> tuple[list[str], list[Any], Judge | None]:
        conditions, params, sure = prefix_range("path", query.prefix)
        more, values, sure_of_key = text_prefix_range("key", query.key_prefix)
        conditions, params = conditions + more, params + values
        if query.now is not None:
            conditions.append(LIVE)
            params.append(self.codec.time_in(query.now))
        if query.updated_from is not None:
            conditions.append("updated_at >= ?")
            params.append(self.codec.time_in(query.updated_from))
        rest = None
        if query.filter is not None:
            conditions.append("format = 'json'")
            compiled, rest = split_filter(query.filter, self.executor.dialect)
            for text, bound in compiled:
                conditions.append(self._among_damaged(text, listing=listing))
                params += bound
        if sure and sure_of_key and rest is None:
            return conditions, params, None
        return conditions, params, _judge(query, rest)

    def _rows(
        self, query: DocumentQuery, conditions: Sequence[str], params: Sequence[Any], after: SortKey | None, limit: int
    ) -> list[Row]:
        columns = _ORDERS[query.order]
        conditions, params = list(conditions), list(params)
        if after is not None:
            marks = "?, ?" if query.order == "key" else "?, ?, ?"
            conditions.append(f"({columns}) {'<' if query.descending else '>'} ({marks})")
            *times, path, key = after
            params += [*map(self.codec.time_in, times), path, key]
        return self.executor.rows(_find(tuple(conditions), columns, query.descending), (*params, limit))

    def _sort_key(self, order: DocumentOrder) -> Callable[[Row], SortKey]:
        time = self.codec.time_out
        if order == "key":
            return _KEY
        column = 3 if order == "created" else 4
        return lambda row: (time(row[column]), *_KEY(row))

    def _judged_page(
        self, query: DocumentQuery, conditions: Sequence[str], params: Sequence[Any], judge: Judge
    ) -> ResultPage[StoredDocument]:
        page: ResultPage[StoredDocument] = ResultPage([])
        sort_key, last = self._sort_key(query.order), None
        for row, document in self._judged(query, conditions, params, judge):
            if len(page.items) == query.limit:
                page.next_after = last
                return page
            if isinstance(document, CorruptRow):
                page.corrupt.append(document)
            else:
                page.items.append(document)
            last = sort_key(row)
        return page

    def _judged(
        self, query: DocumentQuery, conditions: Sequence[str], params: Sequence[Any], judge: Judge
    ) -> Iterator[tuple[Row, StoredDocument | CorruptRow]]:
        """Yield the rows that meet the conditions and that the judge finds, with their documents, and corrupt rows."""
        sort_key, after = self._sort_key(query.order), query.after
        while True:
            rows = self._rows(query, conditions, params, after, ROWS_AT_ONCE)
            for row in rows:
                try:
                    found = judge(document := self._read(row))
                except MAPPER_ERRORS as error:
                    yield row, CorruptRow(_name_of(row), f"{type(error).__name__}: the stored row cannot be read")
                    continue
                if found:
                    yield row, document
            if len(rows) < ROWS_AT_ONCE:
                return
            after = sort_key(rows[-1])


@lru_cache(maxsize=256)
def _find(conditions: tuple[str, ...], columns: str, descending: bool) -> str:
    order = columns.replace(",", " DESC,") + " DESC" if descending else columns
    return fill_in(FIND, where=where_clause(conditions), order=order)


def _judge(query: DocumentQuery, rest: Filter | None) -> Judge:
    prefix, key_prefix = query.prefix, query.key_prefix or ""

    def judge(document: StoredDocument) -> bool:
        if document.namespace[: len(prefix)] != prefix or not document.key.startswith(key_prefix):
            return False
        if rest is None:
            return True
        return matches(rest, from_json(document.payload.filtered_text or "", allow_inf_nan=False))

    return judge


def _of_all(query: DocumentQuery) -> DocumentQuery:
    """Return the query from the first document on, in the order of keys."""
    return replace(query, after=None, order="key", descending=False)


def _sound(found: StoredDocument | CorruptRow) -> StoredDocument:
    """Return the document; raise ``Corrupt`` for a corrupt row, of which nothing tells whether the query means it."""
    if isinstance(found, CorruptRow):
        raise Corrupt(f"the stored document {found.key!r} cannot be read. Restore it from a backup, or delete it.")
    return found


def _name_of(row: Row) -> str:
    return key_of_row(row, _LONG_NAME)
