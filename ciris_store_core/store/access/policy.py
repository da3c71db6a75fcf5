"""Policy of scopes: permission to read, and approval to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ciris_store_core.models.enums import GraphScope
from ciris_store_core.store.access.approvals import ApprovalRequest

Records = Literal["nodes", "edges", "correlations", "tasks", "thoughts", "coordination", "secrets", "audit"]
"""Kinds of records that a call reads or writes. The audit trail tells of every scope."""

ALL_SCOPES = frozenset(GraphScope)


@dataclass(frozen=True, slots=True)
class Access:
    """One call that reads or writes records."""

    kind: Literal["read", "write"]
    records: Records
    operation: str
    """The method of the contract that is about to be called, such as ``put_nodes``."""
    scopes: frozenset[GraphScope]
    """All that it may touch; every scope, where the call does not say. Empty for tasks, thoughts, secrets and
    coordination (occurrences and leases), which have none."""
    caller: str
    """The occurrence that the store was opened for."""


class ScopePolicy:
    """Default policy: a write to IDENTITY needs the approval of a Wise Authority; every other call is allowed.

    All occurrences that share a database are one agent: LOCAL is theirs, and all agents share the other scopes.
    Override ``allow`` to see every read and write and to refuse some; the store then asks for each.
    """

    def __init__(
        self,
        *,
        protected: Iterable[GraphScope | str] = (GraphScope.IDENTITY,),
        approve: Callable[[ApprovalRequest], str | None] | None = None,
    ) -> None:
        """Protect some scopes.

        Args:
            protected: Where every write needs an approval.
            approve: Asked for each such write, within its transaction: the name of who approved it, or None to leave it
                to signatures.
        """
        self.protected = frozenset(GraphScope.parse(scope) for scope in protected)
        """Scopes of which every write needs an approval."""
        self._approve = approve

    def allow(self, access: Access) -> bool:
        """Return whether the call may go on. The store calls it only if it is overridden, and without the records."""
        return True

    def approve(self, request: ApprovalRequest) -> str | None:
        """Return the name of the approver of this write, or None."""
        return self._approve(request) if self._approve else None
