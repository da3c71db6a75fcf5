"""Notification of an application's own audit service about a change of owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from ciris_store_core.printable import printable

logger = logging.getLogger(__name__)

_running: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class OwnershipTransfer:
    """The event that an audit service's ``log_event(event_type, event)`` receives."""

    entity_id: str
    """The id of the task or thought."""
    action: str
    """``task_ownership_transfer`` or ``thought_ownership_transfer``."""
    resource: str
    """``task`` or ``thought``."""
    outcome: str
    """``success`` or ``failed``."""
    metadata: dict[str, str] = field(default_factory=dict)
    actor: str = "system"
    severity: str = "info"


def tell(audit_service: Any, event: OwnershipTransfer) -> None:
    """Call ``audit_service.log_event``. A coroutine is scheduled on the running event loop, or else completed here.

    The store keeps an event of its own, in the transaction of the transfer. Errors of the service cannot undo
    the transfer, so they are logged and not raised.
    """
    if audit_service is None:
        return
    try:
        answer = audit_service.log_event(event.action, event)
        if isinstance(answer, Awaitable):
            _finish(_logged(answer, event))
    except Exception:
        _report(event)


def _finish(work: Any) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    task = loop.create_task(work)
    _running.add(task)  # The event loop itself holds only a weak reference to the task.
    task.add_done_callback(_running.discard)


async def _logged(answer: Awaitable[Any], event: OwnershipTransfer) -> None:
    try:
        await answer
    except Exception:
        _report(event)


def _report(event: OwnershipTransfer) -> None:
    resource = printable(event.resource)
    logger.exception("the audit service failed on %s of %s; the store has its own record", event.action, resource)
