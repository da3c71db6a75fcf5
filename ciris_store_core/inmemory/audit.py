"""The audit trail, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ciris_store_core.contract.audit import AuditStore
from ciris_store_core.contract.filters import audit_entry_matches
from ciris_store_core.inmemory.tables import Tables, copied, page
from ciris_store_core.models.audit import AuditAnchor, AuditEntry, AuditQuery
from ciris_store_core.models.paging import ResultPage


class MemoryAudit(AuditStore):
    """Chains of audit entries in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._entries, self._anchors = tables.entries, tables.anchors

    def head(self, chain: str) -> tuple[int, str] | None:
        """Sequence and hash of the newest entry, or of the anchor; None for a new chain.

        Only within a session opened for writing, which no other can be beside.
        """
        self._entries.require_write()
        newest = max((sequence for name, sequence in self._entries.rows if name == chain), default=None)
        last = self._anchors.rows.get(chain) if newest is None else self._entries.rows[chain, newest]
        return None if last is None else (last.sequence, last.entry_hash)

    def append(self, entries: Sequence[AuditEntry]) -> None:
        self._entries.add({(entry.chain, entry.sequence): entry for entry in entries})

    def find(self, query: AuditQuery) -> ResultPage[AuditEntry]:
        found = (entry for entry in self._entries.rows.values() if audit_entry_matches(entry, query))
        return page(found, query, lambda entry: (entry.chain, entry.sequence), (False, False))

    def chains(self) -> list[str]:
        return sorted({chain for chain, _ in self._entries.rows} | self._anchors.rows.keys())

    def prune(self, anchor: AuditAnchor) -> int:
        self._anchors.put(anchor.chain, anchor)
        return self._entries.delete(
            (chain, sequence)
            for chain, sequence in self._entries.rows
            if chain == anchor.chain and sequence <= anchor.sequence
        )

    def anchor(self, chain: str) -> AuditAnchor | None:
        return copied(self._anchors.rows.get(chain))  # type: ignore[no-any-return]
