"""The statements that write one node, or several that are alike."""

from __future__ import annotations

from functools import cache

from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN, NodeWriteMode
from ciris_store_core.sql.statements import replace_conflict_clause
from ciris_store_core.words import SEARCHED_WHOLE

TRIES = 3
"""How often a row that others change meanwhile is read again before it is locked."""

MOST_KEYS = 8
"""How many numbers are merged by one statement at most."""

_LIVE = "n.type = excluded.type AND (n.expires_at IS NULL OR n.expires_at > ?)"

# The upsert can add words, but cannot tell which words a replaced text removes. So a merge that replaces texts matches
# no row here, and is done by reading the node first. The same holds for large attributes, whose words may be too many;
# see ``node_words``.
_ADDS_WORDS = f"""octet_length(n.attributes::text) + octet_length(excluded.attributes::text) <= {SEARCHED_WHOLE}
AND NOT EXISTS (
    SELECT 1 FROM jsonb_each(n.attributes) o
    WHERE jsonb_typeof(o.value) IN ('string', 'object', 'array') AND excluded.attributes -> o.key <> o.value)"""

# The same for a merge of a few numbers, which is planned much faster. Their keys are the other bytes.
_SMALL = f"octet_length(n.attributes::text) <= {SEARCHED_WHOLE - 10_000}"

_REPLACES_NO_TEXT = " AND coalesce(jsonb_typeof(n.attributes -> ?) NOT IN ('string', 'object', 'array'), true)"

# Only for a row that is as it was read. The revision alone does not tell a node from one that was deleted and added
# again meanwhile.
EXCHANGE = """
UPDATE {graph_nodes} SET attributes = ?, version = ?, revision = ?, updated_by = ?, updated_at = ?, consent_stream = ?,
    expires_at = ?, secret_refs = ?, metadata = ?
WHERE id = ? AND scope = ? AND revision = ? AND created_at = ? AND updated_at = ? AND attributes = ?::jsonb
"""

EXCHANGE_WITH_WORDS = """
UPDATE {graph_nodes} SET attributes = ?, version = ?, revision = ?, updated_by = ?, updated_at = ?, consent_stream = ?,
    expires_at = ?, secret_refs = ?, metadata = ?, words = ?
WHERE id = ? AND scope = ? AND revision = ? AND created_at = ? AND updated_at = ? AND attributes = ?::jsonb
"""


@cache
def upsert(insert: str, mode: NodeWriteMode, given: frozenset[str], has_refs: bool, keys: int | None = None) -> str:
    """Return the statement that writes the rows of an INSERT, which are alike, merges or replaces, and returns them.

    Binds the time, after the rows. ``keys``: the attributes are so many and no texts; binds their keys last.
    """
    changes = ["updated_at = excluded.updated_at", "revision = n.revision + 1"]
    changes += [f"{field} = excluded.{field}" for field in KEPT_UNLESS_GIVEN if field in given]
    if mode == "replace":
        changes += ["attributes = excluded.attributes", "words = excluded.words"]
        changes += ["secret_refs = excluded.secret_refs"]
    else:
        changes += ["attributes = n.attributes || excluded.attributes", "words = n.words || excluded.words"]
        changes += ["secret_refs = excluded.secret_refs"] if has_refs else []
    condition = _LIVE
    if mode == "merge":
        condition += f" AND {_ADDS_WORDS if keys is None else _SMALL + _REPLACES_NO_TEXT * keys}"
        # Two lists of references can only be merged by a subquery, which Citus refuses in the SET of DO UPDATE. A node
        # that has some matches no row here, and is merged after it was read.
        condition += " AND n.secret_refs IS NULL" if has_refs else ""
    changed = ", ".join(changes)
    return replace_conflict_clause(
        insert, f"ON CONFLICT (id, scope) DO UPDATE SET {changed} WHERE {condition} RETURNING {{node_columns}}"
    )


@cache
def insert_or_read(insert: str) -> str:
    """Return the statement that runs an INSERT of one row, or reads the stored row; binds its key last.

    It returns one row: the stored one, or NULLs, and whether the new one was inserted. A row that exists is not locked,
    so that the server has nothing to flush.
    """
    put = replace_conflict_clause(insert, "ON CONFLICT (id, scope) DO NOTHING RETURNING true AS inserted")
    return (
        f"WITH put AS ({put}) SELECT {{node_columns}}, (SELECT inserted FROM put) "
        "FROM (SELECT 1) o LEFT JOIN {graph_nodes} n ON n.id = ? AND n.scope = ?"
    )
