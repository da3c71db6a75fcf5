"""SQL that lists streams, and their encrypted entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from ciris_store_core.contract.streams import StreamStore
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.models.paths import index_key, path_of
from ciris_store_core.models.streams import StoredEntry, StreamInfo, StreamKey, StreamQuery
from ciris_store_core.sql.name_ranges import Range, prefix_range, text_prefix_range
from ciris_store_core.sql.payloads import key_of_row, read_key
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import fill_in, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.codec import Codec
    from ciris_store_core.sql.executor import SqlExecutor

INFO_ONE = "SELECT {stream_columns} FROM {streams} WHERE path = ? AND name = ?"

INFO = "SELECT {stream_columns} FROM {streams} WHERE (path, name) IN {keys2}"

COUNT = "SELECT count(*) FROM {streams} {where}"

FIND = "SELECT {stream_columns} FROM {streams} {where} ORDER BY {order} LIMIT ?"

# A cross join keeps SQLite from reading all encrypted entries first and sorting them.
FIND_ENCRYPTED = """
SELECT s.path, s.name, s.long_name, e.position, e.entry_id, e.kind, e.created_at, e.format, e.media_type, e.key_id,
    e.secret_refs, e.searchable, e.body, e.data
FROM {streams} s CROSS JOIN {stream_entries} e
{where} ORDER BY s.path, s.name, e.position LIMIT ?
"""

_LONG_NAME = 2
_KEY = itemgetter(0, 1)


class SqlStreamListing:
    """Part of the store of streams that reads lists of them."""

    executor: SqlExecutor
    codec: Codec
    _read: Callable[[Row], StoredEntry]

    def info(self, streams: Sequence[StreamKey]) -> list[StreamInfo]:
        """Return the facts of these streams."""
        if not streams:
            return []
        keys = [(index_key(path_of(stream[0])), index_key(stream[1])) for stream in streams]
        if len(keys) == 1:
            rows = self.executor.rows(INFO_ONE, keys[0])
        else:
            rows = self.executor.rows(INFO, (self.codec.json_in(keys),))
        return read_all(rows, self._info, "stream", _name_of)

    def find(self, query: StreamQuery) -> ResultPage[StreamInfo]:
        """Return the streams of a query, in its order."""
        conditions, params, sure = self._conditions(query)
        if sure:
            return self._page(query, conditions, params, query.after, query.limit)
        return self._judged(query, conditions, params)

    def count(self, query: StreamQuery) -> int:
        """Return the number of streams that ``find`` would find."""
        conditions, params, sure = self._conditions(query)
        if sure:
            return int(self.executor.rows(fill_in(COUNT, where=where_clause(conditions)), params)[0][0])
        return StreamStore.count(self, query)  # type: ignore[arg-type]

    def _conditions(self, query: StreamQuery) -> Range:
        conditions, params, sure = prefix_range("path", query.prefix)
        more, values, sure_of_name = text_prefix_range("name", query.name_prefix)
        conditions, params = conditions + more, params + values
        if query.updated_from is not None:
            conditions.append("updated_at >= ?")
            params.append(self.codec.time_in(query.updated_from))
        return conditions, params, sure and sure_of_name

    def find_encrypted(
        self, key_id: str, after: tuple[StreamKey, int] | None, limit: int
    ) -> list[tuple[StreamKey, StoredEntry]]:
        """Return entries that are encrypted under a key, in the order of streams and positions."""
        conditions, params = ["e.stream_number = s.number", "e.key_id = ?"], list[Any]([key_id])
        if after is not None:
            stream, position = after
            conditions.append("(s.path, s.name, e.position) > (?, ?, ?)")
            params += [index_key(path_of(stream[0])), index_key(stream[1]), position]
        rows = self.executor.rows(fill_in(FIND_ENCRYPTED, where=where_clause(conditions)), (*params, limit))
        return read_all(rows, self._encrypted, "encrypted entry of a stream", _name_of)

    def _encrypted(self, row: Row) -> tuple[StreamKey, StoredEntry]:
        return StreamKey(*read_key(row[0], row[1], row[2])), self._read(row[3:])

    def _info(self, row: Row) -> StreamInfo:
        path, name, long_name, first, last, created_at, updated_at = row
        namespace, name = read_key(path, name, long_name)
        return StreamInfo.trusted(
            {
                "namespace": namespace,
                "name": name,
                "length": last - first + 1,
                "first_position": first,
                "last_position": last,
                "created_at": self.codec.time_out(created_at),
                "updated_at": self.codec.time_out(updated_at),
            }
        )

    def _page(
        self, query: StreamQuery, conditions: list[str], params: list[Any], after: SortKey | None, limit: int
    ) -> ResultPage[StreamInfo]:
        columns = "path, name" if query.order == "name" else "updated_at, path, name"
        if after is not None:
            *times, path, name = after
            marks = "?, ?" if query.order == "name" else "?, ?, ?"
            conditions = [*conditions, f"({columns}) {'<' if query.descending else '>'} ({marks})"]
            params = [*params, *map(self.codec.time_in, times), path, name]
        order = columns.replace(",", " DESC,") + " DESC" if query.descending else columns
        statement = fill_in(FIND, where=where_clause(conditions), order=order)
        rows = self.executor.rows(statement, (*params, limit + 1))
        return read_page(rows, self._info, limit, self._sort_key(query.order), _name_of)

    def _judged(self, query: StreamQuery, conditions: list[str], params: list[Any]) -> ResultPage[StreamInfo]:
        """Return a page of the streams whose names begin as the query says, where the index holds only a part."""
        found: ResultPage[StreamInfo] = ResultPage([])
        prefix, name_prefix, after = query.prefix, query.name_prefix or "", query.after
        while True:
            page = self._page(query, conditions, params, after, query.limit)
            found.corrupt += page.corrupt
            for info in page.items:
                if info.namespace[: len(prefix)] == prefix and info.name.startswith(name_prefix):
                    if len(found.items) == query.limit:
                        found.next_after = _key_of(found.items[-1], query.order)
                        return found
                    found.items.append(info)
            if page.next_after is None:
                return found
            after = page.next_after

    def _sort_key(self, order: Literal["name", "updated"]) -> Callable[[Row], SortKey]:
        time = self.codec.time_out
        if order == "name":
            return _KEY
        return lambda row: (time(row[6]), *_KEY(row))


def _key_of(info: StreamInfo, order: Literal["name", "updated"]) -> SortKey:
    key = (index_key(path_of(info.namespace)), index_key(info.name))
    return key if order == "name" else (info.updated_at, *key)


def _name_of(row: Row) -> str:
    return key_of_row(row, _LONG_NAME)
