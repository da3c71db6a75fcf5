"""Filters of correlations, as callers give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import CorrelationFilter
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, Resolution, RetentionPolicy
from ciris_store_core.store.context import ANY_OCCURRENCE, Owner, StoreContext
from ciris_store_core.store.resource import OneOrMore, refuse_unknown, several, several_ids
from ciris_store_core.validation.validator import moment

_ID_FILTERS = {
    "task_id", "thought_id", "channel_id", "action_type", "service_type", "trace_id", "parent_correlation_id",
}  # fmt: skip


_SEVERITY = {"DEBUG": 1, "INFO": 2, "WARNING": 3, "WARN": 3, "ERROR": 4, "CRITICAL": 5, "FATAL": 5}


class CorrelationFilters(TypedDict, total=False):
    """Filters of correlations; a correlation must match all that are given."""

    type: OneOrMore[CorrelationType | str]
    """One type or several."""
    occurrence_id: Owner
    """Exactly this occurrence. By default, and with ``ANY_OCCURRENCE``, those of all."""
    scope: GraphScope | str | None
    time_from: datetime | None
    time_to: datetime | None
    """Bounds of ``timestamp``, aware; both inclusive, unless ``time_to_exclusive``."""
    time_to_exclusive: bool
    metric_name: OneOrMore[str]
    log_level: OneOrMore[str]
    """Exactly these."""
    min_log_level: str | None
    """At least as severe as this one, of DEBUG, INFO, WARNING (WARN), ERROR and CRITICAL (FATAL), in either case."""
    tags: Mapping[str, str]
    """Tags that a correlation must have, with exactly these values."""
    task_id: str | None
    thought_id: str | None
    channel_id: str | None
    """Task, thought and channel of the request."""
    action_type: str | None
    service_type: str | None
    status: CorrelationStatus | str | None
    trace_id: str | None
    parent_correlation_id: str | None
    resolution: OneOrMore[Resolution | str]
    retention_policy: OneOrMore[RetentionPolicy | str]


def where(
    ctx: StoreContext,
    *,
    type: OneOrMore[CorrelationType | str] = None,
    occurrence_id: Owner = ANY_OCCURRENCE,
    scope: GraphScope | str | None = None,
    time_from: datetime | None = None,
    time_to: datetime | None = None,
    time_to_exclusive: bool = False,
    metric_name: OneOrMore[str] = None,
    log_level: OneOrMore[str] = None,
    min_log_level: str | None = None,
    tags: Mapping[str, str] | None = None,
    status: CorrelationStatus | str | None = None,
    resolution: OneOrMore[Resolution | str] = None,
    retention_policy: OneOrMore[RetentionPolicy | str] = None,
    **ids: str | None,
) -> CorrelationFilter:
    """Check the arguments and return their filter; see ``CorrelationFilters``."""
    if log_level is not None and min_log_level is not None:
        raise InvalidArgument("log_level and min_log_level were given. Give one of them.")
    refuse_unknown(sorted(set(ids) - _ID_FILTERS), CorrelationFilters)
    check = ctx.check
    return CorrelationFilter(
        types=tuple(map(str, several(CorrelationType, type, "type"))),
        occurrence_id=None if occurrence_id in (ANY_OCCURRENCE, None) else ctx.owner(occurrence_id),
        scope=None if scope is None else GraphScope.parse(scope),
        time_from=moment(time_from, "time_from"),
        time_to=moment(time_to, "time_to"),
        time_to_exclusive=bool(time_to_exclusive),
        metric_names=several_ids(ctx, metric_name, "metric_name"),
        log_levels=several_ids(ctx, log_level, "log_level") or _at_least(min_log_level),
        tags=tuple(check.tags(tags or {}, "tags").items()),
        status=None if status is None else CorrelationStatus.parse(status),
        resolutions=several(Resolution, resolution, "resolution"),
        retention_policies=several(RetentionPolicy, retention_policy, "retention_policy"),
        now=ctx.server_now(),
        **{name: check.optional(value, name) for name, value in ids.items()},
    )


def _at_least(level: str | None) -> tuple[str, ...]:
    """Return the names of all levels that are no less severe."""
    if level is None:
        return ()
    least = _SEVERITY.get(str(level).upper())
    if least is None:
        raise InvalidArgument(f"min_log_level must be one of {', '.join(_SEVERITY)}, not {ascii(level)[:80]}")
    names = [name for name, severity in _SEVERITY.items() if severity >= least]
    return tuple(names + [name.lower() for name in names])
