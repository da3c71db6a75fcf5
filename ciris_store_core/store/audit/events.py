"""Audit events of a program, and their storage within its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType
from ciris_store_core.models.ids import uuid7
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.context import StoreContext


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Event to be recorded: its actor, its type and a payload."""

    event_type: str
    actor: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    event_id: str = field(default_factory=uuid7)


def append_events(session: Session, ctx: StoreContext, events: Iterable[AuditEvent]) -> list[Correlation]:
    """Store audit events in the open transaction of a writer, in the chain of the occurrence of ``ctx``.

    An append waits until the chain's last writer has committed: call it last in your transaction. Return the stored
    correlations; events and entries have the same ids.
    """
    now, extracted = ctx.clock.now(), ExtractedSecrets()
    stored = [_correlation(ctx, event, now, extracted) for event in events]
    if stored:
        session.correlations.add(stored)
    if extracted:
        keep(session, extracted)
    return stored


def _correlation(ctx: StoreContext, event: AuditEvent, now: datetime, extracted: ExtractedSecrets) -> Correlation:
    made = Correlation(
        correlation_id=event.event_id,
        correlation_type=CorrelationType.AUDIT_EVENT,
        service_type="audit",
        handler_name=event.actor,
        action_type=event.event_type,
        status=CorrelationStatus.COMPLETED,
        agent_occurrence_id=ctx.occurrence_id,
        metadata=event.payload,
    )
    return ctx.check.record(made, Correlation, now, extracted)
