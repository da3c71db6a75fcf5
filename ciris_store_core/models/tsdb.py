"""Events as nodes of the graph memory: metrics, log messages and audit events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from ciris_store_core.models.base import Id, Parsed, default
from ciris_store_core.models.enums import CorrelationType, GraphScope, NodeType, RetentionPolicy
from ciris_store_core.models.graph import AnyNodeType, GraphNode
from ciris_store_core.models.ids import uuid7


class TSDBGraphNode(GraphNode):
    """A node that stands for one event, as the memory service writes it beside the correlation with the same id.

    The attributes describe the event: ``data_type`` names its kind.
    """

    id: Id = Field(default_factory=uuid7)
    type: AnyNodeType = NodeType.TSDB_DATA
    scope: Parsed[GraphScope] = default(GraphScope.LOCAL)

    @classmethod
    def create_metric_node(
        cls,
        metric_name: str,
        value: float,
        tags: Mapping[str, str] | None = None,
        scope: GraphScope | str = GraphScope.LOCAL,
        *,
        unit: str | None = None,
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = RetentionPolicy.RAW,
        ttl_seconds: int | None = None,
    ) -> Self:
        """A measurement: ``value`` is finite, ``timestamp`` aware (by default the time when it is memorized).

        ``retention_policy`` says how far it may be rolled up; after ``ttl_seconds`` it is gone.
        """
        what = {"metric_name": metric_name, "value": float(value), "unit": unit}
        kind = CorrelationType.METRIC_DATAPOINT
        return cls._event(kind, what, tags, scope, timestamp, retention_policy, ttl_seconds)

    @classmethod
    def create_log_node(
        cls,
        log_message: str,
        log_level: str = "INFO",
        tags: Mapping[str, str] | None = None,
        scope: GraphScope | str = GraphScope.LOCAL,
        *,
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = RetentionPolicy.RAW,
        ttl_seconds: int | None = None,
    ) -> Self:
        """A log message, with its severity."""
        what = {"log_message": log_message, "log_level": log_level}
        return cls._event(CorrelationType.LOG_ENTRY, what, tags, scope, timestamp, retention_policy, ttl_seconds)

    @classmethod
    def create_audit_node(
        cls,
        action_type: str,
        outcome: str = "success",
        tags: Mapping[str, str] | None = None,
        scope: GraphScope | str = GraphScope.LOCAL,
        *,
        actor: str | None = None,
        details: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
    ) -> Self:
        """An audit event: what was done, by whom, and how it went. It does not expire."""
        what = {"action_type": action_type, "outcome": outcome, "actor": actor, "details": dict(details or {})}
        return cls._event(CorrelationType.AUDIT_EVENT, what, tags, scope, timestamp, RetentionPolicy.RAW, None)

    @classmethod
    def _event(
        cls,
        kind: CorrelationType,
        what: Mapping[str, Any],
        tags: Mapping[str, str] | None,
        scope: GraphScope | str,
        timestamp: datetime | None,
        retention_policy: RetentionPolicy | str,
        ttl_seconds: int | None,
    ) -> Self:
        known = {name: value for name, value in what.items() if value is not None}
        policy = RetentionPolicy.parse(retention_policy).value
        attributes = {"data_type": kind.value, **known, "tags": dict(tags or {}), "retention_policy": policy}
        given: dict[str, Any] = {} if timestamp is None else {"created_at": timestamp}
        if ttl_seconds is not None:
            attributes["ttl_seconds"] = ttl_seconds
        return cls(scope=GraphScope.parse(scope), attributes=attributes, **given)
