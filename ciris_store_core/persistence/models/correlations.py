"""Functions on correlations and time series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, filterfalse, islice
from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType
from ciris_store_core.persistence.arguments import TimeService, clocked, completed, counterpart, instant, readable, some
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.requests import ChannelInfo, to_response
from ciris_store_core.persistence.shapes import to_correlation
from ciris_store_core.store import Transaction
from ciris_store_core.store.telemetry.correlations import Correlations
from ciris_store_core.validation.validator import MAX_LIMIT, whole

MESSAGES = ("speak", "observe")
"""The actions that make up a conversation."""

_ADMIN_ROLES = ("ADMIN", "AUTHORITY", "SYSTEM_ADMIN")
_ADMIN_TAGS = (
    *((key, role) for key in ("user_role", "auth.role") for role in _ADMIN_ROLES),
    *(("is_admin", yes) for yes in ("1", "true", "True")),
)


def _correlations(db_path: DbPath, time_service: TimeService = None) -> Correlations:
    return clocked(get_store(db_path).correlations, time_service)


# --- one correlation --------------------------------------------------------------------------


def add_correlation(
    corr: Correlation, time_service: TimeService = None, db_path: DbPath = None, *, exist_ok: bool = False
) -> str:
    """Store a new correlation and return its id.

    Raise ``AlreadyExists`` if the id exists; with ``exist_ok``, only if the stored correlation differs.
    """
    return _correlations(db_path, time_service).add(to_correlation(corr), exist_ok=exist_ok).correlation_id


async def add_correlation_with_telemetry(
    corr: Correlation,
    time_service: TimeService = None,
    telemetry_service: Any = None,
    db_path: DbPath = None,
) -> str:
    """Store a new correlation, pass it to ``telemetry_service.store_correlation`` if given, and return its id.

    That method may be a coroutine function, and may be called ``_store_correlation``. Its errors are raised; the
    correlation is stored by then.
    """
    key = await async_add_correlation(corr, time_service, db_path)
    for name in ("store_correlation", "_store_correlation"):
        if hasattr(telemetry_service, name):
            await completed(getattr(telemetry_service, name)(corr))
            break
    return key


def get_correlation(correlation_id: str, db_path: DbPath = None) -> Correlation | None:
    """Return the correlation with that id, or None."""
    return _correlations(db_path).get(correlation_id)


def update_correlation(
    update_request_or_id: Any,
    correlation_or_time_service: Any = None,
    time_service: TimeService = None,
    db_path: DbPath = None,
) -> bool:
    """Change a correlation, in one of two ways. Return False if the id does not exist.

    ``update_correlation(request, time_service)`` sets the fields of a ``CorrelationUpdateRequest``, or of an object
    with the same fields. ``update_correlation(correlation_id, correlation, time_service)`` sets the response of
    ``correlation`` and the status that follows from it; without a response, only its status. A metric value of a
    correlation without a metric is stored under the name of its action.
    """
    if isinstance(update_request_or_id, str):
        key, changes = update_request_or_id, _answer(correlation_or_time_service)
    elif hasattr(update_request_or_id, "correlation_id"):
        key, changes = update_request_or_id.correlation_id, _requested(update_request_or_id)
        time_service = time_service if time_service is not None else correlation_or_time_service
    else:
        raise InvalidArgument(
            "update_correlation lacks a request. Pass a CorrelationUpdateRequest, or an id and a correlation."
        )

    def fn(tx: Transaction) -> bool:
        return _update(clocked(tx.correlations, time_service), key, dict(changes))

    return get_store(db_path).run(fn)


def _answer(correlation: Any) -> dict[str, Any]:
    if correlation is None or isinstance(correlation, str):
        raise InvalidArgument(
            "update_correlation got an id and no correlation. Pass the correlation as its second argument."
        )
    correlation = to_correlation(correlation)
    response = correlation.response_data
    if response is None:
        return {"status": correlation.status}
    status = CorrelationStatus.COMPLETED if response.success else CorrelationStatus.FAILED
    return {"response_data": response, "status": status}


def _requested(request: Any) -> dict[str, Any]:
    names = ("status", "metric_value", "tags", "response_data")
    changes = {name: getattr(request, name, None) for name in names}
    changes = {name: value for name, value in changes.items() if value is not None}
    if "response_data" in changes:
        failed = "status" in changes and CorrelationStatus.parse(changes["status"]) == CorrelationStatus.FAILED
        changes["response_data"] = to_response(changes["response_data"], success=not failed)
    return changes


def _update(correlations: Correlations, key: str, changes: dict[str, Any]) -> bool:
    value = changes.pop("metric_value", None)
    if value is not None:
        stored = correlations.get(key)
        if stored is None:
            return False
        known = {"metric_name": stored.action_type} if stored.metric_data is None else stored.metric_data.model_dump()
        changes["metric_data"] = {**known, "metric_value": value}
    return correlations.update(key, **changes)


# --- lists ------------------------------------------------------------------------------------


def get_correlations_by_task_and_action(
    task_id: str, action_type: str, status: CorrelationStatus | str | None = None, db_path: DbPath = None
) -> list[Correlation]:
    """Return all correlations of a task and action, and of a status if given, newest first."""
    filters: dict[str, Any] = {"task_id": task_id, "action_type": action_type, "status": status}
    return some(_correlations(db_path), None, descending=True, **filters)


def get_correlations_by_type_and_time(
    correlation_type: CorrelationType | str,
    start_time: datetime | str | None = None,
    end_time: datetime | str | None = None,
    metric_names: list[str] | None = None,
    log_levels: list[str] | None = None,
    limit: int | None = 1000,
    db_path: DbPath = None,
) -> list[Correlation]:
    """Return correlations of one type in a time span with inclusive bounds, newest first; at most ``limit``, or all."""
    return some(
        _correlations(db_path),
        limit,
        descending=True,
        type=correlation_type,
        time_from=None if start_time is None else instant(start_time, "start_time"),
        time_to=None if end_time is None else instant(end_time, "end_time"),
        metric_name=metric_names or None,
        log_level=log_levels or None,
    )


def get_correlations_by_channel(
    channel_id: str,
    limit: int | None = 50,
    before: datetime | None = None,
    db_path: DbPath = None,
    *,
    action_types: Sequence[str] | None = MESSAGES,
) -> list[Correlation]:
    """Return the newest ``limit`` messages (None: all) of a channel before ``before``, oldest first.

    Messages are the actions ``speak`` and ``observe``; ``action_types`` names others, or, with None, means all.
    """
    correlations = _correlations(db_path)
    filters: dict[str, Any] = {"channel_id": channel_id, "time_to": before, "time_to_exclusive": True}
    actions: Iterable[str | None] = [None] if action_types is None else action_types
    newest = chain.from_iterable(
        some(correlations, limit, descending=True, action_type=action, **filters) for action in actions
    )
    found = sorted(newest, key=lambda corr: (corr.timestamp, corr.correlation_id))
    return found if limit is None else found[len(found) - min(limit, len(found)) :]


def get_metrics_timeseries(query: Any, db_path: DbPath = None) -> list[Correlation]:
    """Return the points of a metric that a ``MetricsQuery`` (or an object with its fields) selects, oldest first."""
    return some(
        _correlations(db_path),
        getattr(query, "limit", 1000),
        type=CorrelationType.METRIC_DATAPOINT,
        metric_name=query.metric_name,
        time_from=query.start_time,
        time_to=query.end_time,
        tags=query.tags or {},
    )


def get_recent_correlations(limit: int | None = 100, db_path: DbPath = None) -> list[Correlation]:
    """Return the newest correlations, newest first; not the audit events that the store adds itself."""
    size = None if limit is None else whole(limit, "limit", 0, 2**63 - 1)
    return [*islice(filterfalse(_is_of_the_store, _newest(_correlations(db_path), size)), size)]


def _newest(correlations: Correlations, size: int | None) -> Iterator[Correlation]:
    cursor: str | None = None
    while size != 0:
        page = correlations.find(
            descending=True, limit=MAX_LIMIT if size is None else min(size, MAX_LIMIT), cursor=cursor
        )
        yield from readable(page)
        cursor = page.next_cursor
        if cursor is None:
            return


def _is_of_the_store(correlation: Correlation) -> bool:
    """Return whether a transfer added this audit event."""
    made = (correlation.correlation_type, correlation.service_type, correlation.handler_name)
    return made == (CorrelationType.AUDIT_EVENT, "store", "ownership")


# --- channels ---------------------------------------------------------------------------------


def get_active_channels_by_adapter(
    adapter_type: str, since_days: float = 30, time_service: TimeService = None, db_path: DbPath = None
) -> list[ChannelInfo]:
    """Return the channels of an adapter with recent messages, most recently active first.

    Their ids begin with ``{adapter_type}_``. Every message of that time is read, page by page.
    """
    store = get_store(db_path)
    ctx = clocked(store.correlations, time_service)._ctx
    since = ctx.clock.now() - ctx.days(since_days, "since_days")
    channels: dict[str, ChannelInfo] = {}
    messages = (store.correlations.scan(action_type=action, time_from=since) for action in MESSAGES)
    for message in chain.from_iterable(messages):
        request = message.request_data
        if request is None or not (request.channel_id or "").startswith(f"{adapter_type}_"):
            continue
        _count(channels, str(request.channel_id), adapter_type, message.timestamp)
    return sorted(channels.values(), key=lambda channel: channel.last_activity, reverse=True)


def _count(channels: dict[str, ChannelInfo], key: str, adapter: str, at: datetime) -> None:
    known = channels.get(key) or ChannelInfo(channel_id=key, channel_type=adapter, last_activity=at)
    known.message_count += 1
    known.last_activity = max(known.last_activity, at)
    channels[key] = known


def get_channel_last_activity(
    channel_id: str, time_service: TimeService = None, db_path: DbPath = None
) -> datetime | None:
    """Return the time of a channel's last message, or None; ``time_service`` is not used."""
    last = get_correlations_by_channel(channel_id, 1, db_path=db_path)
    return last[0].timestamp if last else None


def is_admin_channel(channel_id: str, db_path: DbPath = None) -> bool:
    """Return whether an administrator used this API channel: one of its correlations carries the admin tag."""
    if not channel_id.startswith("api_"):
        return False
    correlations = _correlations(db_path)
    return any(some(correlations, 1, channel_id=channel_id, tags={key: value}) for key, value in _ADMIN_TAGS)


async_add_correlation = counterpart(add_correlation)
async_get_correlation = counterpart(get_correlation)
async_update_correlation = counterpart(update_correlation)
async_get_correlations_by_task_and_action = counterpart(get_correlations_by_task_and_action)
async_get_correlations_by_type_and_time = counterpart(get_correlations_by_type_and_time)
async_get_correlations_by_channel = counterpart(get_correlations_by_channel)
async_get_metrics_timeseries = counterpart(get_metrics_timeseries)
async_get_recent_correlations = counterpart(get_recent_correlations)
async_get_active_channels_by_adapter = counterpart(get_active_channels_by_adapter)
async_get_channel_last_activity = counterpart(get_channel_last_activity)
async_is_admin_channel = counterpart(is_admin_channel)

__all__ = [
    "MESSAGES",
    "add_correlation",
    "add_correlation_with_telemetry",
    "async_add_correlation",
    "async_get_active_channels_by_adapter",
    "async_get_channel_last_activity",
    "async_get_correlation",
    "async_get_correlations_by_channel",
    "async_get_correlations_by_task_and_action",
    "async_get_correlations_by_type_and_time",
    "async_get_metrics_timeseries",
    "async_get_recent_correlations",
    "async_is_admin_channel",
    "async_update_correlation",
    "get_active_channels_by_adapter",
    "get_channel_last_activity",
    "get_correlation",
    "get_correlations_by_channel",
    "get_correlations_by_task_and_action",
    "get_correlations_by_type_and_time",
    "get_metrics_timeseries",
    "get_recent_correlations",
    "is_admin_channel",
    "update_correlation",
]
