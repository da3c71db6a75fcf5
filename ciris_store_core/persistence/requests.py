"""The parameters and results of some functions beside the store's records, and their conversion from loose data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.base import Count, Finite, Id, Record, Text, UtcDateTime, to_json_object
from ciris_store_core.models.correlations import ServiceResponse, Tags
from ciris_store_core.models.enums import CorrelationStatus

__all__ = ["ChannelInfo", "CorrelationUpdateRequest", "DeferralPackage", "DeferralReportContext", "MetricsQuery"]


class CorrelationUpdateRequest(Record):
    """The changes of a correlation; None changes nothing."""

    correlation_id: Id
    response_data: dict[str, Any] | None = None
    """Fields of a ``ServiceResponse``; numbers and booleans may be given as text."""
    status: CorrelationStatus | None = None
    metric_value: Finite | None = None
    tags: Tags | None = None


class MetricsQuery(Record):
    """A selection of points of a metric; both time bounds are inclusive."""

    metric_name: Id
    start_time: UtcDateTime | None = None
    end_time: UtcDateTime | None = None
    tags: Tags = Field(default_factory=dict)
    aggregation: Text = "avg"
    interval: Text = "1h"
    """Both are ignored: the function returns the points as they are. ``store.correlations.aggregate`` aggregates."""
    limit: Count = 1000


class ChannelInfo(Record):
    """A channel with its last activity."""

    channel_id: Id
    channel_type: Text
    """The adapter, such as ``discord`` or ``api``."""
    last_activity: UtcDateTime
    message_count: Count = 0
    is_active: bool = True


class DeferralPackage(Record):
    """The reason for a deferred decision, and the time until which it is deferred."""

    defer_until: UtcDateTime | None = None
    reason: Text | None = None
    context: Tags = Field(default_factory=dict)


class DeferralReportContext(Record):
    """The task, thought and deferral that a message reports."""

    task_id: Id
    thought_id: Id
    package: DeferralPackage | None = None


# --- loosely written responses ----------------------------------------------------------------


def _truth(value: Any) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower(), value)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "success": _truth,
    "execution_time_ms": _number,
    "result_size": _whole,
    "tokens_used": _whole,
    "memory_bytes": _whole,
}
_ALIASES = {"error": "error_message", "result": "result_summary"}


def to_response(given: Any, *, success: bool = True) -> ServiceResponse:
    """Return a response from a ``ServiceResponse``, another model, or a dict whose values may all be text.

    ``success`` is the default of the field of that name; the default duration is 0. Values without a field are kept in
    the record's ``metadata``. Raise ``InvalidArgument`` if a value cannot be converted to the type of its field.
    """
    if isinstance(given, ServiceResponse):
        return given
    fields: dict[str, Any] = {"success": success, "execution_time_ms": 0.0}
    rest: dict[str, Any] = {}
    for key, value in _object(given).items():
        name = _ALIASES.get(key, key)
        if name == "metadata" and isinstance(value, Mapping):
            rest.update(value)
        elif name in ServiceResponse.model_fields and not _odd(name, value):
            fields[name] = _converted(name, value)
        elif value not in (None, "", "None", {}, []):
            rest[key] = value
    return ServiceResponse(**fields, metadata=rest)


def _object(given: Any) -> dict[str, Any]:
    try:
        return to_json_object(given)
    except ValueError as error:
        raise InvalidArgument(f"response_data: {error}") from None


def _odd(name: str, value: Any) -> bool:
    """Return whether a value is None, or an object where text is expected. Such a value is kept as metadata."""
    return value is None or value == "None" or (name == "result_summary" and not isinstance(value, str))


def _converted(name: str, value: Any) -> Any:
    try:
        return _CONVERTERS.get(name, lambda given: given)(value)
    except (TypeError, ValueError):
        raise InvalidArgument(f"response_data: {name} is not a number. Pass one, or leave it out.") from None
