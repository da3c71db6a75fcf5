"""The SQL of the audit trail on PostgreSQL: one message to lock a chain and read its head."""

from __future__ import annotations

from collections.abc import Sequence

from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models.audit import AuditEntry
from ciris_store_core.sql.audit import APPEND, LOCK_CHAIN, MAKE_CHAIN, SqlAuditStore

# One message of three statements. Under READ COMMITTED each has its own snapshot, taken when it begins. So the SELECT,
# which begins after the chain's row is locked, sees every entry that earlier holders of the lock have committed.
HEAD = f"""
{MAKE_CHAIN};
{LOCK_CHAIN};
SELECT sequence, entry_hash FROM (
    (SELECT 1 AS rank, sequence, entry_hash FROM {{audit_entries}} WHERE chain = ? ORDER BY sequence DESC LIMIT 1)
    UNION ALL
    SELECT 2, sequence, entry_hash FROM {{audit_anchors}} WHERE chain = ?
) ends ORDER BY rank LIMIT 1
"""

MAKE_CHAINS = "INSERT INTO {audit_chains} (chain) SELECT unnest(?::text[]) ON CONFLICT (chain) DO NOTHING"


class PostgresAuditStore(SqlAuditStore):
    """Audit store that locks a chain and reads its head in one message."""

    def head(self, chain: str) -> tuple[int, str] | None:
        """Lock the chain, and return the sequence number and hash of its end."""
        row = self.executor.row(HEAD, (chain,) * 4)
        return None if row is None else (row[0], row[1])

    def append(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        chains = sorted({entry.chain for entry in entries})
        with self.executor.atomic():
            self.executor.run(MAKE_CHAINS, (chains,))
            if self.executor.insert(APPEND, [self._values(entry) for entry in entries]) != len(entries):
                raise AlreadyExists(
                    "an audit entry of that chain and sequence already exists",
                    kind="audit entry",
                    hint="Read the head of the chain again and append after it.",
                )
