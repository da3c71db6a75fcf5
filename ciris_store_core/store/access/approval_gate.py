"""Protocol between a guarded session and the stores that it guards."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NoReturn, Protocol

from ciris_store_core.models.enums import GraphScope


class ApprovalGate(Protocol):
    """Checks that a guarded store makes before it passes a write on."""

    def need_transaction(self) -> None:
        """Raise ``NeedsTransaction`` if the session may make one call only.

        A guarded store calls it before its first write, as the executor then runs the whole function again.
        """
        ...

    def need_approval(self, operation: str, scope: GraphScope, content: Sequence[dict[str, Any]]) -> None:
        """Raise ``AccessDenied``, having written nothing, unless this write is approved."""
        ...

    def refuse(self, operation: str, scope: GraphScope, reason: str) -> NoReturn:
        """Raise ``AccessDenied`` for a write that no approval allows."""
        ...


def pass_on(name: str) -> Any:
    """Return a property for a method of the contract that needs no guard: the bound method of ``self._inner``."""
    return property(attrgetter(f"_inner.{name}"))
