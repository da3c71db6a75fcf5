"""Store of the graph, with SQLite's full-text index over words that the store splits and folds itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciris_store_core.models.graph import GraphNode, SearchHit, SearchQuery
from ciris_store_core.sql.graph import SqlGraphStore, readable
from ciris_store_core.sql.rows import read_all
from ciris_store_core.sql.statements import LIVE, collect_given, fill_in, where_clause
from ciris_store_core.words import node_words, rank

if TYPE_CHECKING:
    from ciris_store_core.sql import SqlExecutor

PUT_WORDS = """
INSERT INTO graph_words (node_number, size, words)
SELECT node_number, ?, ? FROM {graph_nodes} WHERE id = ? AND scope = ?
ON CONFLICT (node_number) DO UPDATE SET size = excluded.size, words = excluded.words
"""

ADD_WORDS = "INSERT INTO graph_words (node_number, size, words) VALUES (?, ?, ?)"

WITHOUT_WORDS = """
SELECT node_number, id, attributes FROM {graph_nodes}
WHERE node_number > (SELECT coalesce(max(node_number), 0) FROM graph_words) ORDER BY node_number LIMIT ?
"""

PENDING = "SELECT count(*) FROM graph_words_pending"

# The index stores no words: to remove a node, a statement must name exactly the words that were indexed.
INDEX_PENDING = (
    "INSERT INTO graph_word_index (graph_word_index, rowid, words) "
    "SELECT 'delete', node_number, indexed FROM graph_words_pending WHERE indexed IS NOT NULL",
    "INSERT INTO graph_word_index (rowid, words) "
    "SELECT w.node_number, w.words FROM graph_words_pending p JOIN graph_words w ON w.node_number = p.node_number",
    "DELETE FROM graph_words_pending",
)

SEARCH = """
SELECT {node_columns}, w.size
FROM (
    SELECT rowid AS node_number FROM graph_word_index
    WHERE graph_word_index MATCH ? AND rowid NOT IN (SELECT node_number FROM graph_words_pending)
    UNION ALL
    SELECT p.node_number FROM graph_words_pending p JOIN graph_words q ON q.node_number = p.node_number
    WHERE NOT EXISTS (SELECT 1 FROM json_each(?) t WHERE instr(q.words, t.value) = 0)
) f
CROSS JOIN graph_words w ON w.node_number = f.node_number
CROSS JOIN {graph_nodes} n ON n.node_number = f.node_number
{where} ORDER BY w.size, n.id, n.scope LIMIT ?
"""

MOST_PENDING = 64
"""Pending nodes from which on all are written to the index. A commit of the index costs as much as several writes."""

WRITES_BETWEEN_COUNTS = 16


class SqliteGraphStore(SqlGraphStore):
    """Store of nodes and edges, with SQLite's full-text index."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        super().__init__(executor)
        self._uncounted = WRITES_BETWEEN_COUNTS  # an earlier connection may have left many

    def put_words(self, nodes: Sequence[GraphNode]) -> None:
        """Store the nodes' words, and index the pending nodes if there are many."""
        self.executor.insert(PUT_WORDS, [_row(node) for node in nodes])
        self._count(len(nodes))

    def words_deleted(self, nodes: int) -> None:
        """Index the pending nodes if there are many."""
        self._count(nodes)

    def _count(self, changed: int) -> None:
        self._uncounted += changed
        if self._uncounted >= WRITES_BETWEEN_COUNTS:
            self._uncounted = 0
            if self.executor.rows(PENDING)[0][0] >= MOST_PENDING:
                self._index_pending()

    def _index_pending(self) -> None:
        for statement in INDEX_PENDING:
            self.executor.run(statement)

    def add_missing_words(self, limit: int) -> int:
        """Store the words of up to ``limit`` nodes that have none; return how many it found."""
        rows = self.executor.rows(WITHOUT_WORDS, (limit,))
        if rows:
            self.executor.run_many(ADD_WORDS, [(row[0], *_words(row[1], readable(row[2]))) for row in rows])
            self._index_pending()
        return len(rows)

    def search(self, query: SearchQuery) -> list[SearchHit]:
        if not query.words:
            return []
        conditions, params = collect_given((
            ("n.scope = ?", query.scope and query.scope.value), ("n.type = ?", query.type),
            (LIVE, self.codec.maybe_time_in(query.now)),
        ))  # fmt: skip
        statement = fill_in(SEARCH, where=where_clause(conditions))
        words = (" ".join(map(_quoted, query.words)), self.codec.json_in([_part(word) for word in query.words]))
        rows = self.executor.rows(statement, (*words, *params, query.limit))
        nodes = read_all([row[:-1] for row in rows], self._read_node, "node")
        return [SearchHit(node, rank(query.words, row[-1])) for node, row in zip(nodes, rows, strict=True)]


def _row(node: GraphNode) -> tuple[object, ...]:
    return (*_words(node.id, node.attributes), node.id, node.scope.value)


def _words(node_id: str, attributes: dict[str, object]) -> tuple[int, str]:
    words = node_words(node_id, attributes)
    return len(words), f" {' '.join(words)} "


def _quoted(term: str) -> str:
    # In quotes, no part of a word is read as an operator of the query language.
    return f'"{term[:-1]}" *' if term.endswith("*") else f'"{term}"'


def _part(term: str) -> str:
    """Return the text that the words of a node must contain, each of which stands between spaces."""
    return f" {term[:-1]}" if term.endswith("*") else f" {term} "
