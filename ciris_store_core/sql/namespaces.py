"""SQL that lists the namespaces of documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.models.documents import Namespace, NamespaceQuery
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.paths import below, index_key, namespace_of, path_of
from ciris_store_core.sql.name_ranges import prefix_range, sure_part
from ciris_store_core.sql.statements import LIVE, fill_in

if TYPE_CHECKING:
    from ciris_store_core.sql.codec import Codec
    from ciris_store_core.sql.executor import SqlExecutor

# Each step of the recursion is one lookup in the primary key, where DISTINCT would read all documents.
PATHS = """
WITH RECURSIVE paths (path) AS (
    SELECT (SELECT path FROM {documents} WHERE {start} AND {range} ORDER BY path LIMIT 1)
    UNION ALL
    SELECT (SELECT d.path FROM {documents} d WHERE d.path > paths.path AND {range} ORDER BY d.path LIMIT 1)
    FROM paths WHERE paths.path IS NOT NULL
)
SELECT path FROM paths WHERE path IS NOT NULL LIMIT ?
"""

LONG_NAMES = "SELECT path, max(long_name) FROM {documents} WHERE path {in_texts} GROUP BY path"

PATHS_AT_ONCE = 200


class SqlNamespaces:
    """Part of the store of documents that lists namespaces."""

    executor: SqlExecutor
    codec: Codec

    def namespaces(self, query: NamespaceQuery) -> ResultPage[Namespace]:
        """Return the namespaces that hold a document, each once."""
        page: ResultPage[Namespace] = ResultPage([])
        last = "" if query.after is None else query.after[0]
        for group in self._groups(query):
            shown = {index_key(path_of(namespace)): namespace for namespace in group}
            for key in sorted(shown):
                if key <= last:
                    continue
                if len(page.items) == query.limit:
                    page.next_after = (last,)
                    return page
                page.items.append(shown[key])
                last = key
        return page

    def _groups(self, query: NamespaceQuery) -> Iterator[list[Namespace]]:
        """Yield the matching namespaces, shortened, in groups that are in order.

        A long path is indexed by a hash of the whole, and shown shortened it has another one. So the paths with one
        beginning are a group.
        """
        for _, paths in groupby(self._found(query), key=lambda found: sure_part(found[0])):
            yield [namespace[: query.max_depth] for _, namespace in paths if _matches(query, namespace)]

    def _found(self, query: NamespaceQuery) -> Iterator[tuple[str, Namespace]]:
        """Yield the paths, as the index holds them, and their namespaces, in the order of the index."""
        start, bound = ("path > ?", "") if query.after is None else _from_cursor(query.after[0], query.max_depth)
        while True:
            paths = self._paths(query, start, bound)
            yield from zip(paths, self._whole(paths), strict=True)
            if len(paths) < PATHS_AT_ONCE:
                return
            start, bound = _behind(paths[-1], query.max_depth)

    def _paths(self, query: NamespaceQuery, start: str, bound: str) -> list[str]:
        fixed = tuple(takewhile(lambda segment: segment is not None, query.prefix))
        conditions, params, _ = prefix_range("path", fixed)  # type: ignore[arg-type]  # without None
        conditions, params = conditions or ["1 = 1"], list[Any](params)
        if query.now is not None:
            conditions.append(LIVE)
            params.append(self.codec.time_in(query.now))
        statement = fill_in(PATHS, start=start, range=" AND ".join(conditions))
        return [row[0] for row in self.executor.rows(statement, (bound, *params, *params, PATHS_AT_ONCE))]

    def _whole(self, paths: list[str]) -> list[Namespace]:
        """Return the namespaces of paths; one that is too long for the index stands in its documents."""
        long = [path for path in paths if index_key(path) is not path]
        whole = {}
        if long:
            rows = self.executor.rows(LONG_NAMES, (self.codec.texts_in(long),))
            whole = {path: from_json(name)[0] for path, name in rows}
        return [namespace_of(whole.get(path, path)) for path in paths]


def _from_cursor(path: str, max_depth: int | None) -> tuple[str, str]:
    """Return the condition for the paths of all groups that may hold namespaces behind this one."""
    sure = sure_part(path)
    return _behind(path, max_depth) if max_depth is None or sure is path else ("path >= ?", sure)


def _behind(path: str, max_depth: int | None) -> tuple[str, str]:
    """Return the condition for the paths behind this one, and behind those that are shown as the same namespace."""
    if max_depth is not None and index_key(path) is path:
        namespace = namespace_of(path)
        if len(namespace) >= max_depth:
            return "path >= ?", below(path_of(namespace[:max_depth]))
    return "path > ?", path


def _matches(query: NamespaceQuery, namespace: Namespace) -> bool:
    prefix, suffix = query.prefix, query.suffix
    if len(namespace) < max(len(prefix), len(suffix)):
        return False
    ends = zip(suffix, namespace[len(namespace) - len(suffix) :], strict=True)
    begins = zip(prefix, namespace, strict=False)
    return all(wanted is None or wanted == segment for wanted, segment in (*begins, *ends))
