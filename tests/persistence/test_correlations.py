from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import Conflict, Correlation, GraphNode, InvalidArgument, Task, Thought
from ciris_store_core.models import CorrelationStatus, ServiceRequest, ServiceResponse
from ciris_store_core.persistence import (
    add_correlation,
    add_correlation_with_telemetry,
    add_task,
    add_thought,
    get_active_channels_by_adapter,
    get_all_graph_nodes,
    get_channel_last_activity,
    get_correlation,
    get_correlations_by_channel,
    get_correlations_by_task_and_action,
    get_correlations_by_type_and_time,
    get_metrics_timeseries,
    get_pending_tasks_for_activation,
    get_pending_thoughts_for_active_tasks,
    get_recent_completed_tasks,
    get_recent_correlations,
    get_recent_thoughts,
    get_store,
    get_tasks_needing_seed_thought,
    get_thoughts_by_status,
    get_top_tasks,
    is_admin_channel,
    transfer_task_ownership,
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


def test_everything_of_a_request_is_set_at_once(db: str) -> None:
    """Otherwise a request with a metric value is refused whole, and its status and response with it."""
    add_correlation(corr("c1"), db_path=db)
    request = CorrelationUpdateRequest(
        correlation_id="c1", status="completed", response_data={"success": "true"}, tags={"k": "v"}, metric_value=1.5
    )
    assert update_correlation(request, db_path=db)
    stored = get_correlation("c1", db)
    assert (stored.status, stored.response_data.success, stored.tags) == ("completed", True, {"k": "v"})
    assert (stored.metric_name, stored.metric_value) == ("speak", 1.5)


def test_transfers_are_not_among_the_recent_correlations(db: str) -> None:
    add_correlation(corr("old"), db_path=db)
    add_task(Task(task_id="t", channel_id="c", description="d"), db)
    for source, target in (("default", "a"), ("a", "b"), ("b", "c")):
        assert transfer_task_ownership("t", source, target, db_path=db)
    add_correlation(corr("own", correlation_type="audit_event"), db_path=db)
    for limit in (2, 3, 100, None):
        assert sorted(ids(get_recent_correlations(limit, db))) == ["old", "own"]
    assert len(get_recent_correlations(1, db)) == 1


def test_a_record_may_be_added_again_where_the_advice_says_so(db: str) -> None:
    given = corr("c1")
    with pytest.raises(Conflict, match="exist_ok=True"):
        [add_correlation(given, db_path=db) for _ in range(2)]
    assert add_correlation(given, db_path=db, exist_ok=True) == "c1"
    with pytest.raises(Conflict, match="action_type"):
        add_correlation(corr("c1", "listen"), db_path=db, exist_ok=True)
    task = Task(task_id="t", channel_id="c", description="d")
    thought = Thought(thought_id="h", source_task_id="t", content="hm")
    for _ in range(2):
        assert (add_task(task, db, exist_ok=True), add_thought(thought, db, exist_ok=True)) == ("t", "h")


LISTS: dict[str, Callable[[Any, str], list[Any]]] = {
    "get_recent_completed_tasks": lambda limit, db: get_recent_completed_tasks("default", limit, db),
    "get_top_tasks": lambda limit, db: get_top_tasks("default", limit, db),
    "get_pending_tasks_for_activation": lambda limit, db: get_pending_tasks_for_activation("default", limit, db),
    "get_recent_thoughts": lambda limit, db: get_recent_thoughts("default", limit, db),
    "get_thoughts_by_status": lambda limit, db: get_thoughts_by_status("pending", db_path=db, limit=limit),
    "get_recent_correlations": get_recent_correlations,
    "get_correlations_by_channel": lambda limit, db: get_correlations_by_channel("c", limit, db_path=db),
    "get_correlations_by_type_and_time": lambda limit, db: get_correlations_by_type_and_time(
        "service_interaction", limit=limit, db_path=db
    ),
    "get_all_graph_nodes": lambda limit, db: get_all_graph_nodes(limit=limit, db_path=db),
    "get_tasks_needing_seed_thought": lambda limit, db: get_tasks_needing_seed_thought(limit=limit, db_path=db),
    "get_pending_thoughts_for_active_tasks": lambda limit, db: get_pending_thoughts_for_active_tasks(
        limit=limit, db_path=db
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_limit_means_the_same_in_every_function(db: str, name: str) -> None:
    store = get_store(db)
    store.tasks.add_many(
        Task(task_id=f"{status}{n}", channel_id="c", description="d", status=status)
        for status in ("pending", "completed", "active") for n in range(3)
    )  # fmt: skip
    store.thoughts.add_many(Thought(thought_id=f"h{n}", source_task_id="active0", content="hm") for n in range(3))
    store.tasks.delete_many(["active0"] if name == "get_tasks_needing_seed_thought" else [])
    store.correlations.add_many(corr(f"c{n}", channel_id="c") for n in range(3))
    store.graph.put_many(GraphNode(id=f"n{n}", type="concept", scope="local") for n in range(3))
    most = 2 if name == "get_tasks_needing_seed_thought" else 3
    listed = LISTS[name]
    assert listed(0, db) == [] and len(listed(1, db)) == 1
    assert len(listed(20_000, db)) == len(listed(None, db)) == most
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(InvalidArgument, match="limit"):
            listed(wrong, db)
