from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import Conflict, Correlation, InvalidArgument
from ciris_store_core.models import CorrelationStatus, ServiceRequest, ServiceResponse
from ciris_store_core.persistence import (
    add_correlation,
    add_correlation_with_telemetry,
    get_active_channels_by_adapter,
    get_channel_last_activity,
    get_correlation,
    get_correlations_by_channel,
    get_correlations_by_task_and_action,
    get_correlations_by_type_and_time,
    get_metrics_timeseries,
    get_recent_correlations,
    is_admin_channel,
    update_correlation,
)
from ciris_store_core.persistence.requests import CorrelationUpdateRequest, MetricsQuery, to_response
from tests.persistence.conftest import START, TimeService


def corr(key: str, action: str = "speak", minutes: float = 0, **fields: Any) -> Correlation:
    request = {name: fields.pop(name) for name in ("task_id", "channel_id") if name in fields}
    data = ServiceRequest(service_type="bus", method_name=action, **request) if request else None
    at = START + timedelta(minutes=minutes)
    names = {"correlation_id": key, "service_type": "bus", "handler_name": "h", "action_type": action}
    return Correlation(**{**names, "timestamp": at, "request_data": data, **fields})


def ids(found: list[Correlation]) -> list[str]:
    return [each.correlation_id for each in found]


def test_a_correlation_comes_back_with_the_time_of_the_service(db: str, time_service: TimeService) -> None:
    assert add_correlation(corr("c1", tags={"a.b": "1"}), time_service, db) == "c1"
    stored = get_correlation("c1", db)
    assert (stored.created_at, stored.tags) == (START, {"a.b": "1"})
    assert get_correlation("c2", db) is None
    with pytest.raises(Conflict):
        add_correlation(corr("c1"), db_path=db)


def test_an_update_changes_what_the_request_gives(db: str, time_service: TimeService) -> None:
    add_correlation(corr("c1", metric_name="load", metric_value=1.0), db_path=db)
    answer = {"success": "false", "error_message": "late", "execution_time_ms": "12.5", "attempt": "2"}
    request = CorrelationUpdateRequest(correlation_id="c1", response_data=answer, metric_value=2.0, tags={"k": "v"})
    assert update_correlation(request, time_service, db_path=db) is True
    stored = get_correlation("c1", db)
    assert (stored.response_data.success, stored.response_data.execution_time_ms) == (False, 12.5)
    assert stored.response_data.metadata == {"attempt": "2"}
    assert (stored.metric_value, stored.tags, stored.updated_at) == (2.0, {"k": "v"}, START)
    assert stored.status == CorrelationStatus.PENDING
    assert update_correlation(CorrelationUpdateRequest(correlation_id="no"), time_service, db_path=db) is False
    assert update_correlation(CorrelationUpdateRequest(correlation_id="no", metric_value=1.0), db_path=db) is False


@pytest.mark.parametrize(("success", "status"), [(True, "completed"), (False, "failed")])
def test_an_answered_correlation_updates_the_stored_one(db: str, success: bool, status: str) -> None:
    add_correlation(corr("c1"), db_path=db)
    answered = corr("c1", response_data=ServiceResponse(success=success, execution_time_ms=3.0))
    assert update_correlation("c1", answered, TimeService(), db) is True
    stored = get_correlation("c1", db)
    assert (stored.status.value, stored.response_data.execution_time_ms) == (status, 3.0)
    assert update_correlation("no", answered, TimeService(), db) is False


def test_an_update_that_makes_no_sense_is_refused(db: str) -> None:
    add_correlation(corr("c1"), db_path=db)
    with pytest.raises(InvalidArgument, match="records no metric"):
        update_correlation(CorrelationUpdateRequest(correlation_id="c1", metric_value=1.0), db_path=db)
    with pytest.raises(InvalidArgument):
        update_correlation("c1", "no correlation", db_path=db)
    with pytest.raises(InvalidArgument):
        update_correlation(7, db_path=db)


@pytest.mark.parametrize("bad", [{"execution_time_ms": "soon"}, {"tokens_used": "1.5"}, {"success": "maybe"}, ["x"]])
def test_a_response_that_cannot_be_read_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument):
        to_response(bad)


def test_lists_by_task_type_and_time(db: str) -> None:
    add_correlation(corr("c1", "observe", 0, task_id="t1", status="completed"), db_path=db)
    add_correlation(corr("c2", "observe", 1, task_id="t1"), db_path=db)
    add_correlation(corr("c3", "speak", 2, task_id="t1", correlation_type="audit_event"), db_path=db)
    assert ids(get_correlations_by_task_and_action("t1", "observe", db_path=db)) == ["c2", "c1"]
    assert ids(get_correlations_by_task_and_action("t1", "observe", "completed", db)) == ["c1"]
    assert ids(get_correlations_by_type_and_time("SERVICE_CORRELATION", db_path=db)) == ["c2", "c1"]
    assert ids(get_correlations_by_type_and_time("service_interaction", start_time=START.isoformat(), limit=1, db_path=db)) == ["c2"]  # fmt: skip  # noqa: E501
    assert ids(get_correlations_by_type_and_time("audit_event", end_time=START, db_path=db)) == []
    assert ids(get_recent_correlations(2, db)) == ["c3", "c2"]


def test_logs_by_level(db: str) -> None:
    for number, level in enumerate(["INFO", "ERROR", "DEBUG"]):
        log = {"correlation_type": "log_entry", "log_level": level, "log_message": "x"}
        add_correlation(corr(f"c{number}", "log", number, **log), db_path=db)
    found = get_correlations_by_type_and_time("log_entry", log_levels=["ERROR", "DEBUG"], db_path=db)
    assert ids(found) == ["c2", "c1"]


def test_the_messages_of_a_channel(db: str) -> None:
    for number, action in enumerate(["speak", "observe", "tool", "speak"]):
        add_correlation(corr(f"c{number}", action, number, channel_id="ch"), db_path=db)
    assert ids(get_correlations_by_channel("ch", db_path=db)) == ["c0", "c1", "c3"]
    assert ids(get_correlations_by_channel("ch", limit=2, db_path=db)) == ["c1", "c3"]
    assert ids(get_correlations_by_channel("ch", before=START + timedelta(minutes=3), db_path=db)) == ["c0", "c1"]
    assert ids(get_correlations_by_channel("ch", db_path=db, action_types=None)) == ["c0", "c1", "c2", "c3"]
    assert get_channel_last_activity("ch", db_path=db) == START + timedelta(minutes=3)
    assert get_channel_last_activity("other", db_path=db) is None


def test_a_series_by_tags_with_any_key(db: str) -> None:
    for number, host in enumerate(["a", "b", "a"]):
        metric = {"correlation_type": "metric_datapoint", "metric_name": "load", "metric_value": float(number)}
        add_correlation(corr(f"c{number}", "m", number, tags={"the.host": host}, **metric), db_path=db)
    query = MetricsQuery(metric_name="load", tags={"the.host": "a"}, start_time=START, aggregation="max")
    assert [each.metric_value for each in get_metrics_timeseries(query, db)] == [0.0, 2.0]


def test_channels_of_an_adapter(db: str) -> None:
    time_service = TimeService(START + timedelta(days=1))
    for key, action, minutes, channel in [
        ("c1", "speak", 0, "api_1"),
        ("c2", "observe", 5, "api_1"),
        ("c3", "speak", 9, "api_2"),
        ("c4", "speak", 1, "discord_1"),
        ("c5", "tool", 1, "api_3"),
        ("c6", "speak", -60 * 24 * 40, "api_4"),
    ]:
        add_correlation(corr(key, action, minutes, channel_id=channel), db_path=db)
    channels = get_active_channels_by_adapter("api", 30, time_service, db)
    assert [(each.channel_id, each.message_count) for each in channels] == [("api_2", 1), ("api_1", 2)]
    assert channels[1].last_activity == START + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("channel", "tags", "admin"),
    [
        ("api_1", {"user_role": "ADMIN"}, True),
        ("api_1", {"auth.role": "AUTHORITY"}, True),
        ("api_1", {"is_admin": "true"}, True),
        ("api_1", {"user_role": "OBSERVER"}, False),
        ("discord_1", {"user_role": "ADMIN"}, False),
    ],
)
def test_channels_of_administrators(db: str, channel: str, tags: dict[str, str], admin: bool) -> None:
    add_correlation(corr("c1", channel_id=channel, tags=tags), db_path=db)
    assert is_admin_channel(channel, db) is admin


class Telemetry:
    def __init__(self) -> None:
        self.got: list[str] = []

    async def _store_correlation(self, correlation: Correlation) -> None:
        self.got.append(correlation.correlation_id)


def test_a_correlation_is_handed_to_telemetry_as_well(db: str) -> None:
    telemetry = Telemetry()
    assert asyncio.run(add_correlation_with_telemetry(corr("c1"), None, telemetry, db)) == "c1"
    assert asyncio.run(add_correlation_with_telemetry(corr("c2"), db_path=db)) == "c2"
    assert telemetry.got == ["c1"]
    assert ids(get_recent_correlations(db_path=db)) == ["c2", "c1"]
