"""Calls of services, each recorded as one correlation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict, Unpack

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, InvalidArgument
from ciris_store_core.models.correlations import (
    UPDATABLE_CORRELATION_FIELDS,
    Correlation,
    ServiceRequest,
    ServiceResponse,
    TraceContext,
)
from ciris_store_core.models.enums import CorrelationStatus, GraphScope
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.resource import Resource, living, prepare


class InteractionContext(TypedDict, total=False):
    """Further facts about the call of a service."""

    tags: dict[str, str]
    scope: GraphScope | str
    trace_context: TraceContext
    parent_correlation_id: str
    agent_occurrence_id: str
    metadata: dict[str, Any]


class InteractionResult(TypedDict, total=False):
    """Response of a service."""

    result_summary: str
    result_type: str
    result_size: int
    error_type: str
    error_message: str
    error_traceback: str
    tokens_used: int
    memory_bytes: int


class Interactions(Resource):
    """The part of ``Correlations`` that records calls of services."""

    __slots__ = ()

    def start_interaction(
        self,
        service_type: str,
        action_type: str,
        *,
        handler_name: str,
        task_id: str | None = None,
        thought_id: str | None = None,
        channel_id: str | None = None,
        parameters: dict[str, str] | None = None,
        timeout_seconds: float | None = None,
        **context: Unpack[InteractionContext],
    ) -> Correlation:
        """Record that a service is being called, as a pending correlation, and return it.

        Pass its ``correlation_id`` to ``complete_interaction`` when the service has answered.
        """
        now = self._ctx.clock.now()
        request = ServiceRequest(
            service_type=service_type,
            method_name=action_type,
            task_id=task_id,
            thought_id=thought_id,
            channel_id=channel_id,
            parameters=parameters or {},
            timeout_seconds=timeout_seconds,
            request_timestamp=now,
        )
        names = {"service_type": service_type, "action_type": action_type, "handler_name": handler_name}
        given = Correlation(**names, request_data=request, timestamp=now, **context)
        extracted = ExtractedSecrets()
        ready = prepare(self._ctx, given, Correlation, now, extracted)
        self._x.write(
            "correlations.start_interaction", lambda session: session.correlations.add([ready]), extracted=extracted
        )
        return ready

    def complete_interaction(
        self, correlation_id: str, *, success: bool = True, **result: Unpack[InteractionResult]
    ) -> Correlation | None:
        """Record a service's response: outcome, duration and status (completed or failed), in the same correlation.

        Return the correlation as it is now, or None if there is none with that id. Of several concurrent calls, one
        succeeds.

        Raises:
            Conflict: The interaction was completed before.
            InvalidArgument: The correlation records no request, or a value does not fit.
        """
        key = self._ctx.check.ident(correlation_id, "correlation_id")
        return self._x.write(
            "correlations.complete_interaction",
            lambda session: self._complete(session, key, success, result),
            single=False,
        )

    def _complete(self, session: Session, key: str, success: bool, result: InteractionResult) -> Correlation | None:
        found = living(session.correlations.lock([key]), self._ctx.server_now)
        if not found:
            return None
        extracted = ExtractedSecrets()
        changes = self._completion(found[0], success, result, extracted)
        if not session.correlations.update(key, changes):
            return None
        if extracted:
            keep(session, extracted)
        return found[0].replaced(**changes)

    def _completion(
        self, stored: Correlation, success: bool, result: InteractionResult, extracted: ExtractedSecrets
    ) -> dict[str, Any]:
        if stored.request_data is None:
            raise InvalidArgument(
                f"correlation {stored.correlation_id!r} records no request. Begin with start_interaction."
            )
        if stored.status != CorrelationStatus.PENDING:
            raise Conflict(
                f"interaction {stored.correlation_id!r} is {stored.status.value} already, and is recorded once",
                kind="correlation",
                key=stored.correlation_id,
                hint="Keep the recorded result.",
            )
        now = self._ctx.clock.now()
        elapsed = max(now - stored.request_data.request_timestamp, timedelta(0))
        response = ServiceResponse(
            success=success, execution_time_ms=elapsed / timedelta(milliseconds=1), response_timestamp=now, **result
        )
        status = CorrelationStatus.COMPLETED if success else CorrelationStatus.FAILED
        changes = {"response_data": response, "status": status}
        key = stored.correlation_id
        return self._ctx.check.changes(Correlation, key, changes, UPDATABLE_CORRELATION_FIELDS, now, extracted)
