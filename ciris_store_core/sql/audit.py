"""SQL of the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ciris_store_core.contract.audit import AuditStore
from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models.audit import AuditAnchor, AuditEntry, AuditQuery
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import collect_given, fill_in, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# One row for each chain. A caller locks it before it reads the head and appends, so that appends to one chain run one
# after another. The entries cannot serve as the lock: before the first append there is none.
MAKE_CHAIN = "INSERT INTO {audit_chains} (chain) VALUES (?) ON CONFLICT (chain) DO NOTHING"

LOCK_CHAIN = "SELECT chain FROM {audit_chains} WHERE chain = ? {for_update}"

NEWEST = "SELECT sequence, entry_hash FROM {audit_entries} WHERE chain = ? ORDER BY sequence DESC LIMIT 1"

# Some databases reserve the word "at".
APPEND = """
INSERT INTO {audit_entries} (chain, sequence, entry_id, event_type, actor, "at", payload, previous_hash, entry_hash,
    signature, signing_key_id, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chain, sequence) DO NOTHING
"""

FIND = "SELECT {entry_columns} FROM {audit_entries} {where} ORDER BY chain, sequence LIMIT ?"

# From the entries themselves: an attacker who deletes rows of {audit_chains}, which are only locks, hides no chain.
# Each step of the recursion is one lookup in the primary key, where DISTINCT would read all of it.
CHAINS = """
WITH RECURSIVE names (chain) AS (
    SELECT min(chain) FROM {audit_entries}
    UNION ALL
    SELECT (SELECT min(e.chain) FROM {audit_entries} e WHERE e.chain > names.chain) FROM names
    WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL UNION SELECT chain FROM {audit_anchors} ORDER BY chain
"""

LISTED = "SELECT chain FROM {audit_chains}"

PRUNE = "DELETE FROM {audit_entries} WHERE chain = ? AND sequence <= ?"

PUT_ANCHOR = """
INSERT INTO {audit_anchors} (chain, sequence, entry_hash, removed_count, "at", signature, signing_key_id, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, entry_hash = excluded.entry_hash,
    removed_count = excluded.removed_count, "at" = excluded."at", signature = excluded.signature,
    signing_key_id = excluded.signing_key_id, metadata = excluded.metadata
"""

GET_ANCHOR = "SELECT {anchor_columns} FROM {audit_anchors} WHERE chain = ?"

_PLACE = itemgetter(0, 1)  # chain and sequence: all callers insert in this order, so that they do not deadlock


class SqlAuditStore(AuditStore):
    """Store of chains, entries and anchors in three tables."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec

    def _read(self, row: Row) -> AuditEntry:
        return AuditEntry.trusted(
            {
                "chain": row[0],
                "sequence": row[1],
                "entry_id": row[2],
                "event_type": row[3],
                "actor": row[4],
                "at": self.codec.time_out(row[5]),
                "payload": object_out(row[6]),
                "previous_hash": row[7],
                "entry_hash": row[8],
                "signature": row[9],
                "signing_key_id": row[10],
                "metadata": object_out(row[11]),
            }
        )

    def _values(self, entry: AuditEntry) -> tuple[Any, ...]:
        codec = self.codec
        return (
            entry.chain, entry.sequence, entry.entry_id, entry.event_type, entry.actor, codec.time_in(entry.at),
            codec.object_in(entry.payload), entry.previous_hash, entry.entry_hash, entry.signature,
            entry.signing_key_id, codec.object_in(entry.metadata),
        )  # fmt: skip

    def _read_anchor(self, row: Row) -> AuditAnchor:
        return AuditAnchor.trusted(
            {
                "chain": row[0],
                "sequence": row[1],
                "entry_hash": row[2],
                "removed_count": row[3],
                "at": self.codec.time_out(row[4]),
                "signature": row[5],
                "signing_key_id": row[6],
                "metadata": object_out(row[7]),
            }
        )

    def head(self, chain: str) -> tuple[int, str] | None:
        self.executor.run(MAKE_CHAIN, (chain,))
        self.executor.row(LOCK_CHAIN, (chain,))
        newest = self.executor.row(NEWEST, (chain,))
        if newest is not None:
            return (newest[0], newest[1])
        anchor = self.anchor(chain)
        return None if anchor is None else (anchor.sequence, anchor.entry_hash)

    def append(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        with self.executor.atomic():
            for chain in sorted({entry.chain for entry in entries}):
                self.executor.run(MAKE_CHAIN, (chain,))
            rows = sorted((self._values(entry) for entry in entries), key=_PLACE)
            if self.executor.insert(APPEND, rows) != len(rows):
                raise AlreadyExists(
                    "an audit entry of that chain and sequence already exists",
                    kind="audit entry",
                    hint="Read the head of the chain again and append after it.",
                )

    def find(self, query: AuditQuery) -> ResultPage[AuditEntry]:
        conditions, params = collect_given((("chain = ?", query.chain),))
        if query.after is not None:
            conditions.append("(chain, sequence) > (?, ?)")
            params += query.after
        statement = fill_in(FIND, where=where_clause(conditions))
        rows = self.executor.rows(statement, (*params, query.limit + 1))
        return read_page(rows, self._read, query.limit, lambda row: (row[0], row[1]))

    def chains(self) -> list[str]:
        return [row[0] for row in self.executor.rows(CHAINS)]

    def unlisted(self) -> list[str]:
        # In this order: a chain that is begun between the two statements has its row before its first entry.
        found = self.chains()
        listed = {row[0] for row in self.executor.rows(LISTED)}
        return [chain for chain in found if chain not in listed]

    def prune(self, anchor: AuditAnchor) -> int:
        values = (
            anchor.chain, anchor.sequence, anchor.entry_hash, anchor.removed_count, self.codec.time_in(anchor.at),
            anchor.signature, anchor.signing_key_id, self.codec.object_in(anchor.metadata),
        )  # fmt: skip
        with self.executor.atomic():
            self.executor.run(MAKE_CHAIN, (anchor.chain,))
            removed = self.executor.run(PRUNE, (anchor.chain, anchor.sequence))
            self.executor.run(PUT_ANCHOR, values)
            return removed

    def anchor(self, chain: str) -> AuditAnchor | None:
        rows = self.executor.rows(GET_ANCHOR, (chain,))
        return read_all(rows, self._read_anchor, "audit anchor")[0] if rows else None
