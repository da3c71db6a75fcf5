"""The audit trail, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ciris_store_core.models.audit import AuditAnchor, AuditEntry, AuditQuery
from ciris_store_core.models.paging import ResultPage


class AuditStore(ABC):
    """Hash chains of entries by (chain, sequence). Hashes are computed above; a backend keeps order and rows."""

    @abstractmethod
    def head(self, chain: str) -> tuple[int, str] | None:
        """Sequence and hash of the newest entry, or of the anchor if none is left; None for a new chain. Required.

        - Until the transaction ends, no other transaction gets the head of this chain: it waits.
        """

    @abstractmethod
    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Store entries; an existing (chain, sequence): AlreadyExists, and nothing of the call is written. Required."""

    @abstractmethod
    def find(self, query: AuditQuery) -> ResultPage[AuditEntry]:
        """Entries by (chain, sequence) ascending. Required. Sort key for ``after``: (chain, sequence)."""

    @abstractmethod
    def chains(self) -> list[str]:
        """The names of all chains that have entries or an anchor, ascending. Required.

        - They are read from the entries and anchors themselves, so that no other table can hide a chain.
        """

    def unlisted(self) -> list[str]:
        """Chains that another table of the backend's should name but does not. Default: none."""
        return []

    @abstractmethod
    def prune(self, anchor: AuditAnchor) -> int:
        """Remove entries up to ``anchor.sequence``, keep the anchor; returns the number of removed ones. Required.

        - The anchor replaces an earlier one; both happen or neither.
        """

    @abstractmethod
    def anchor(self, chain: str) -> AuditAnchor | None:
        """Return the chain's anchor, if it was ever pruned. Required."""
