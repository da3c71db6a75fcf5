"""Policy of scopes: permission to read, and approval to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ciris_store_core.models.enums import GraphScope
from ciris_store_core.store.access.approvals import ApprovalRequest

Records = Literal[
    "nodes", "edges", "correlations", "tasks", "thoughts", "coordination", "secrets", "audit", "documents", "streams"
]
"""Kinds of records that a call reads or writes. The audit trail covers every scope."""

ALL_SCOPES = frozenset(GraphScope)


@dataclass(frozen=True, slots=True)
class Access:
    """One call that reads or writes records."""

    kind: Literal["read", "write"]
    records: Records
    operation: str
    """The method of the contract that is about to be called, such as ``put_nodes``."""
    scopes: frozenset[GraphScope]
    """The scopes that the call may touch; every scope, if the call names none. Empty for tasks, thoughts, secrets,
    documents, streams and coordination (occurrences and leases), which have none."""
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
            protected: The scopes in which every write needs an approval.
            approve: Called for each such write, within its transaction. It returns the name of the approver, or None to
                require a signature.
        """
        self.protected = frozenset(GraphScope.parse(scope) for scope in protected)
        """Scopes in which every write needs an approval."""
        self._approve = approve

    def allow(self, access: Access) -> bool:
        """Return whether the call is allowed. The store calls it only if it is overridden, and passes no records."""
        return True

    def approve(self, request: ApprovalRequest) -> str | None:
        """Return the name of the approver of this write, or None."""
        return self._approve(request) if self._approve else None
