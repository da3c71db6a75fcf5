"""Events of the memory service: the correlation of a node, and the point of a correlation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ciris_store_core.contract.aggregation import to_point
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import Correlation, TimeSeriesDataPoint
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType
from ciris_store_core.models.tsdb import TSDBGraphNode
from ciris_store_core.services.rollups import log_count

TIME_SERIES_TYPES = (CorrelationType.METRIC_DATAPOINT, CorrelationType.LOG_ENTRY, CorrelationType.AUDIT_EVENT)


def correlation_of(node: TSDBGraphNode, at: datetime, names: Mapping[str, str]) -> Correlation:
    """Return the correlation with the node's id; ``names`` are those of its service, handler and action."""
    attributes = node.attributes
    kind = attributes.get("data_type")
    if kind not in TIME_SERIES_TYPES:
        raise InvalidArgument("the node is no event. Make it with TSDBGraphNode.create_metric_node and its siblings.")
    return Correlation(
        correlation_id=node.id,
        correlation_type=kind,
        **{**_NAMES, "action_type": str(attributes.get("action_type", kind)), **names},
        **_content(CorrelationType(kind), attributes),
        tags=attributes.get("tags", {}),
        scope=node.scope,
        status=CorrelationStatus.COMPLETED,
        timestamp=at,
        retention_policy=attributes.get("retention_policy", "raw"),
        ttl_seconds=attributes.get("ttl_seconds"),
    )


_NAMES = {"service_type": "memory", "handler_name": "memory_service"}


def _content(kind: CorrelationType, attributes: Mapping[str, Any]) -> dict[str, Any]:
    if kind is CorrelationType.METRIC_DATAPOINT:
        names = {"metric_name": "metric_name", "metric_value": "value", "metric_unit": "unit"}
        return {"metric_data": {name: attributes[key] for name, key in names.items() if key in attributes}}
    if kind is CorrelationType.LOG_ENTRY:
        return {"log_data": {name: attributes.get(name) for name in ("log_level", "log_message")}}
    return {"metadata": {name: attributes[name] for name in ("outcome", "actor", "details") if name in attributes}}


def point_of(row: Correlation) -> TimeSeriesDataPoint:
    """Return the point of a correlation for ``recall_timeseries``: a metric's value, or the number of events."""
    return to_point(row) or _event_point(row)


def _event_point(row: Correlation) -> TimeSeriesDataPoint:
    name, value, known = row.action_type, 1.0, row.metadata
    if row.log_data is not None:
        name, value = f"log.{row.log_data.log_level}", float(log_count(row))
        known = {**known, "log_message": row.log_data.log_message}
    return TimeSeriesDataPoint(
        timestamp=row.timestamp,
        metric_name=name,
        value=value,
        correlation_type=row.correlation_type,
        tags=row.tags,
        source=row.service_type,
        resolution=row.resolution,
        metadata=known,
    )
