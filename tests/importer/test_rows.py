"""Odd values of a row are fixed, noted, and kept beside the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ciris_store_core import InvalidArgument, NodeType, ThoughtType
from ciris_store_core.importer import correlation_rows, graph_rows, work_rows
from ciris_store_core.importer.engine_row import EngineRow, parse_time
from ciris_store_core.models import ServiceResponse
from tests.importer.conftest import AT, ORDINARY, columns

NOON = datetime(2025, 10, 1, 12, tzinfo=UTC)


def row(table: str, **values: Any) -> EngineRow:
    name = columns(table)[0][0]
    return EngineRow({name: "key", **ORDINARY[table], "attributes_json": None, **values})


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-01T12:00:00+00:00",
        "2025-10-01T12:00:00Z",
        "2025-10-01T12:00:00.000000Z",
        "2025-10-01T12:00:00",
        "2025-10-01 12:00:00",
        "2025-10-01 12:00:00.000",
        "2025-10-01 12:00:00+00",
        "2025-10-01 14:00:00+02:00",
        "2025-10-01T12:00:00.000000000Z",
        "2025-10-01 12:00:00 UTC",
        "2025/10/01 12:00:00",
        "20251001T120000Z",
        " 2025-10-01T12:00:00 ",
        "Wed, 01 Oct 2025 12:00:00 GMT",
        "Wed, 01 Oct 2025 14:00:00 +0200",
        1759320000,
        1759320000.0,
        "1759320000",
        "1759320000.0",
        1759320000000,
        datetime(2025, 10, 1, 12),
        NOON,
    ],
)
def test_a_time_is_read_in_whatever_format(text: Any) -> None:
    assert parse_time(text) == NOON


def test_microseconds_are_kept() -> None:
    assert parse_time("2025-10-01 12:00:00.123456").microsecond == 123456
    assert parse_time("2025-10-01") == NOON.replace(hour=0)


@pytest.mark.parametrize(
    "text", ["", "soon", "2025-13-01", "0000-00-00 00:00:00", 1e300, True, [], "99999999999999999"]
)
def test_what_is_no_time_is_none(text: Any) -> None:
    assert parse_time(text) is None


def test_a_time_that_cannot_be_read_is_filled_in_and_kept() -> None:
    given = row("tasks", created_at="soon", updated_at=AT)
    task = work_rows.task(given)
    assert (task.created_at, task.updated_at) == (NOON, NOON)
    assert given.notes == ["created_at: no time that can be read", "created_at: empty, filled in from another time of the row"]  # fmt: skip  # noqa: E501
    assert task.metadata == {"ciris_engine": {"created_at": "soon"}}
    with pytest.raises(InvalidArgument, match="created_at, updated_at"):
        work_rows.task(row("tasks", created_at=None, updated_at="never"))


# --- tasks and thoughts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status"), [("in_progress", "active"), ("COMPLETED", "completed"), ("Active", "active")]
)
def test_statuses_of_tasks(given: str, status: str) -> None:
    made = row("tasks", status=given)
    assert work_rows.task(made).status == status
    assert made.notes == []


def test_a_context_keeps_what_it_has_no_field_for() -> None:
    given = row("tasks", context_json='{"correlation_id": "c", "user_id": 7, "channel_id": null, "mood": "good"}')
    context = work_rows.task(given).context
    assert (context.correlation_id, context.user_id, context.channel_id) == ("c", "7", None)
    assert context.metadata == {"mood": "good"}


def test_a_context_without_a_correlation_id_gets_the_same_one_every_time() -> None:
    made = [work_rows.task(row("tasks", context_json='{"channel_id": "x"}')) for _ in range(2)]
    assert made[0].context == made[1].context and made[0].context.correlation_id


@pytest.mark.parametrize("context", [None, "", "{}", "null"])
def test_no_context_is_none_and_needs_no_fixing(context: str | None) -> None:
    given = row("tasks", context_json=context)
    assert work_rows.task(given).context is None
    assert given.notes == []


@pytest.mark.parametrize("context", ["{broken", '["a"]', '"text"'])
def test_a_context_of_another_shape_is_kept_apart(context: str) -> None:
    given = row("tasks", context_json=context)
    task = work_rows.task(given)
    assert task.context is None and len(given.notes) == 1
    assert "context_json" in task.metadata["ciris_engine"]


def test_an_outcome_is_taken_whatever_its_types() -> None:
    given = '{"status": "success", "actions_taken": ["a", 2], "errors": "one", "extra": true}'
    outcome = work_rows.task(row("tasks", outcome_json=given)).outcome
    assert (outcome.summary, outcome.actions_taken, outcome.errors) == ("", ["a", "2"], ["one"])
    assert outcome.metadata == {"extra": True}


def test_a_task_without_channel_or_id() -> None:
    given = row("tasks", channel_id=None)
    assert work_rows.task(given).channel_id == "unknown"
    assert given.notes == ["channel_id: empty, became unknown"]
    with pytest.raises(InvalidArgument, match="task_id is empty"):
        work_rows.task(row("tasks", task_id=None))


def test_numbers_of_a_thought_are_brought_into_their_bounds() -> None:
    given = row("thoughts", thought_depth=12, round_number=-1, thought_type="musing")
    thought = work_rows.thought(given)
    assert (thought.thought_depth, thought.round_number, thought.thought_type) == (7, 0, ThoughtType.STANDARD)
    assert thought.metadata["ciris_engine"] == {"thought_depth": 12, "round_number": -1, "thought_type": "musing"}
    assert len(given.notes) == 3


@pytest.mark.parametrize(
    ("given", "notes", "fixed"),
    [(None, None, 0), ('["a", "b"]', ["a", "b"], 0), ('"a"', ["a"], 1), ('["a", 1]', ["a", "1"], 1), ("[", None, 1)],
)
def test_ponder_notes(given: str | None, notes: list[str] | None, fixed: int) -> None:
    made = row("thoughts", ponder_notes_json=given)
    assert work_rows.thought(made).ponder_notes == notes
    assert len(made.notes) == fixed


def test_a_final_action_is_kept_whole() -> None:
    given = '{"action_type": "speak", "action_params": {"content": "hi"}, "reasoning": "polite", "score": 0.5}'
    action = work_rows.thought(row("thoughts", final_action_json=given)).final_action
    assert (action.action_type, action.action_params, action.reasoning) == ("speak", {"content": "hi"}, "polite")
    assert action.metadata == {"score": 0.5}
    assert work_rows.thought(row("thoughts", final_action_json="{}")).final_action is None
    without = row("thoughts", final_action_json='{"reasoning": "none"}')
    assert work_rows.thought(without).final_action is None and len(without.notes) == 1


# --- texts and JSON -----------------------------------------------------------------------------


def test_texts_and_values_that_no_store_holds_are_fixed() -> None:
    given = row(
        "graph_nodes",
        attributes_json='{"nan": NaN, "inf": [Infinity], "big": 123456789012345678901234, "nul": "a\\u0000b", "lone": "\\ud800"}',  # noqa: E501
    )
    node = graph_rows.node(given)
    assert node.attributes == {
        "nan": None,
        "inf": [None],
        "big": "123456789012345678901234",
        "nul": "a\ufffdb",
        "lone": "\ufffd",
    }
    assert len(given.notes) == 3


def test_bytes_that_are_no_utf8_are_fixed() -> None:
    given = row("tasks", description=b"caf\xe9")
    assert work_rows.task(given).description == "caf\ufffd"
    assert given.notes == ["description: NUL or broken UTF-8 became U+FFFD"]


# --- graph --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "fixed"),
    [
        ("concept", NodeType.CONCEPT, 0),
        ("TSDB_DATA", NodeType.TSDB_DATA, 0),
        ("ConversationSummary", NodeType.CONVERSATION_SUMMARY, 1),
        ("my type!", "my_type", 1),
        ("7th", "type_7th", 1),
        (None, NodeType.CONCEPT, 0),
    ],
)
def test_types_of_nodes_are_open_but_well_formed(given: str | None, kind: str, fixed: int) -> None:
    made = row("graph_nodes", node_type=given)
    assert graph_rows.node(made).type == kind
    assert len(made.notes) == fixed


@pytest.mark.parametrize("scope", ["secret", "", None])
def test_an_unknown_scope_is_refused_and_never_guessed(scope: str | None) -> None:
    with pytest.raises(InvalidArgument, match="scope"):
        graph_rows.node(row("graph_nodes", scope=scope))


@pytest.mark.parametrize(("weight", "kept", "fixed"), [(None, 1.0, 0), (0.3, 0.3, 0), (7, 1.0, 1), (-1, 0.0, 1)])
def test_weights_of_edges(weight: Any, kept: float, fixed: int) -> None:
    made = row("graph_edges", source_node_id="a", target_node_id="b", weight=weight)
    assert graph_rows.edge(made).weight == kept
    assert len(made.notes) == fixed


def test_attributes_of_edges_are_kept() -> None:
    given = '{"created_at": "2025-10-01 12:00:00", "context": {"why": 1}, "more": [1]}'
    edge = graph_rows.edge(
        row("graph_edges", source_node_id="a", target_node_id="b", attributes_json=given, created_at=None)
    )
    assert (edge.attributes.created_at, edge.attributes.context) == (NOON, "{'why': 1}")
    assert edge.attributes.model_extra == {"more": [1]}


# --- correlations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status", "fixed"),
    [("success", "completed", 0), ("error", "failed", 0), ("PENDING", "pending", 0), ("odd", "pending", 1)],
)
def test_statuses_of_correlations(given: str, status: str, fixed: int) -> None:
    made = row("service_correlations", status=given)
    assert correlation_rows.correlation(made).status == status
    assert len(made.notes) == fixed


def test_a_request_keeps_what_it_has_no_field_for() -> None:
    given = '{"task_id": "t", "author_id": "ada", "parameters": {"n": 1, "s": "x"}, "request_timestamp": "2025-10-01"}'
    request = correlation_rows.correlation(row("service_correlations", request_data=given)).request_data
    assert (request.service_type, request.method_name, request.task_id) == ("bus", "speak", "t")
    assert (request.parameters, request.metadata) == ({"n": "1", "s": "x"}, {"author_id": "ada"})
    assert request.request_timestamp == NOON.replace(hour=0)


def test_a_response_may_be_written_as_text() -> None:
    given = '{"success": "false", "execution_time_ms": "12.5", "error_message": "None", "response_timestamp": "2025-10-01T12:00:00Z"}'  # noqa: E501
    response = correlation_rows.correlation(row("service_correlations", response_data=given)).response_data
    assert response == ServiceResponse(success=False, execution_time_ms=12.5, response_timestamp=NOON)


def test_a_response_that_cannot_be_read_is_kept_apart() -> None:
    given = row("service_correlations", response_data='{"execution_time_ms": "soon"}')
    made = correlation_rows.correlation(given)
    assert made.response_data is None and len(given.notes) == 1
    assert made.metadata == {"ciris_engine": {"response_data": {"execution_time_ms": "soon"}}}


def test_a_metric_a_log_and_a_span() -> None:
    metric = correlation_rows.correlation(
        row("service_correlations", correlation_type="metric_datapoint", metric_name="load", metric_value=1.5)
    )
    assert (metric.metric_name, metric.metric_value) == ("load", 1.5)
    log = correlation_rows.correlation(
        row("service_correlations", correlation_type="log_entry", log_level="ERROR", tags='{"message": "oh", "n": 1}')
    )
    assert (log.log_level, log.log_message, log.tags) == ("ERROR", "oh", {"message": "oh", "n": "1"})
    span = correlation_rows.correlation(row("service_correlations", trace_id="t", span_id="s", parent_span_id=""))
    assert (span.trace_context.trace_id, span.trace_context.parent_span_id) == ("t", None)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"metric_name": "load", "metric_value": None}, "metric_name: a metric without a value, kept apart"),
        ({"metric_name": "load", "metric_value": float("nan")}, "metric_value: no finite number, left out"),
        ({"correlation_type": "log_entry"}, "log_level: empty, became INFO"),
        ({"trace_id": "t"}, "span_id: empty, became the correlation's id"),
        ({"retention_policy": "forever"}, "retention_policy: unknown, became raw"),
        ({"tags": "[1]"}, "tags: no JSON object, kept apart"),
        ({"handler_name": ""}, "handler_name: empty, became unknown"),
    ],
)
def test_what_is_odd_about_a_correlation_is_noted(values: dict[str, Any], note: str) -> None:
    given = row("service_correlations", **values)
    correlation_rows.correlation(given)
    assert note in given.notes


@pytest.mark.parametrize(("given", "policy"), [("hourly_summary", "aggregated"), ("daily_summary", "downsampled")])
def test_older_names_of_retention_policies(given: str, policy: str) -> None:
    assert correlation_rows.correlation(row("service_correlations", retention_policy=given)).retention_policy == policy


def test_a_timestamp_that_is_missing_is_when_it_was_made() -> None:
    made = row("service_correlations", timestamp=None)
    assert correlation_rows.correlation(made).timestamp == NOON
    assert made.notes == []
