from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ciris_store_core import Correlation, GraphEdge, GraphNode, InvalidArgument, Task, TaskContext, TaskStatus, Thought
from ciris_store_core.models import AuditEntry, Lease, LogData, MetricData, Occurrence, ServiceRequest
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.validation.json_values import MAX_BYTES, encoded_size
from ciris_store_core.validation.validator import Validator, limit_of, moment, whole
from tests.support.factories import task

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
CHECK = Validator()
REPLACE = Validator("replace")


class Colour(StrEnum):
    RED = "red"


class Old(str, Enum):  # noqa: UP042 (its str() is not its value, which is the point)
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Plain(Enum):
    A = 1


def stored(**fields: Any) -> Task:
    return CHECK.record(task(**fields), Task, NOW, None)


def copied(value: Any) -> Any:
    return stored(metadata={"x": value}).metadata["x"]


@pytest.mark.parametrize(
    "good",
    [
        " ",
        "é" * 127,
        "e\u0301",
        "ǅ",
        "\u202e",
        "\u200b",
        "\ufeff",
        "a" * 255,
        "../../x",
        "'; DROP TABLE tasks;--",
        "__shared__",
    ],
)
def test_ids_are_kept_as_they_are(good: str) -> None:
    assert CHECK.ident(good, "task_id") == good
    assert stored(task_id=good).task_id == good


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800", "é" * 128, "a" * 256, "a" * 100_000, None, 5, b"x"])
def test_bad_ids_are_refused_by_name_in_lookups(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^task_id: "):
        CHECK.ident(bad, "task_id")


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800", "é" * 128, "a" * 256])
def test_bad_ids_are_refused_by_field_in_records(bad: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^Task.task_id: "):
        stored(task_id=bad)
    with pytest.raises(InvalidArgument, match=r"^Task.context.correlation_id: "):
        stored(context=TaskContext(correlation_id=bad))


def test_bad_text_is_replaced_where_the_store_says_so() -> None:
    done = REPLACE.record(task(task_id="a\0", description="x\ud800y", metadata={"k\0": ["\udfff"]}), Task, NOW, None)
    assert (done.task_id, done.description, done.metadata) == ("a\ufffd", "x\ufffdy", {"k\ufffd": ["\ufffd"]})


def test_replacing_never_loses_a_key() -> None:
    with pytest.raises(InvalidArgument, match="two keys become the same"):
        REPLACE.record(task(metadata={"a\0": 1, "a\ufffd": 2}), Task, NOW, None)


def test_an_unknown_way_with_bad_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="text_errors"):
        Validator("drop")  # type: ignore[arg-type]


def test_a_long_text_is_measured_in_bytes() -> None:
    assert len(stored(description="é" * (MAX_BYTES // 2)).description) == MAX_BYTES // 2
    with pytest.raises(InvalidArgument, match=r"^Task.description: larger than 16 MiB"):
        stored(description="é" * (MAX_BYTES // 2 + 1))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        2**63 - 1,
        -(2**63),
        1.0,
        1e308,
        "é",
        "",
        [],
        {},
        {"a.b": {"": [1, [True]]}},
        {"__proto__": "$[0]*"},
    ],
)
def test_json_is_kept_with_its_types(value: Any) -> None:
    assert repr(copied(value)) == repr(value)


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ((1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        (Old.RED, "red"),
        (Level.HIGH, 3),
        (-0.0, 0.0),
        ({Colour.RED: 1}, {"red": 1}),
    ],
)
def test_json_is_normalised_to_plain_types(value: Any, becomes: Any) -> None:
    assert repr(copied(value)) == repr(becomes)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (NOW, "isoformat"), (NOW.date(), "isoformat"), (timedelta(1), "total_seconds"), (b"x", "base64"), ({1}, "list"),
        (Decimal(1), "str"), (UUID(int=1), "str"), (Path("x"), "str"), (Plain.A, "value"), (object(), "Use text"),
        (NOW.tzinfo, "Use text"), (2**63, "64 bits"), (-(2**63) - 1, "64 bits"), (float("nan"), "finite"),
        (float("inf"), "finite"), ("a\0", "NUL"), ("\ud800", "surrogate"), ({1: 2}, "must be text"),
        ({None: 2}, "must be text"),
        (LogData(log_level="x", log_message="y"), "model_dump"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_with_its_path_and_advice(value: Any, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^Task\.metadata\.'x'\.\[1\].*" + advice):
        copied([0, value])


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_limited_to_100_levels() -> None:
    assert copied(nested(99)) == nested(99)  # the object around it is one more
    for deep in (100, 900):
        with pytest.raises(InvalidArgument, match="deeper than 100"):
            copied(nested(deep))


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidArgument, match="deeper than 100"):
        copied(loop)


def test_size_is_limited_to_16_mib_of_utf8() -> None:
    fits = "é" * ((MAX_BYTES - len('{"x":""}')) // 2)
    assert encoded_size({"x": fits}) == MAX_BYTES
    assert copied(fits) == fits
    for large in (fits + "é", ["a" * 1_000_000] * 17, [1] * (MAX_BYTES // 2)):
        with pytest.raises(InvalidArgument, match="larger than 16 MiB"):
            copied(large)


def test_nothing_of_the_copy_is_the_callers() -> None:
    inner, tags, notes = {"a": [1]}, {"k": "v"}, ["n"]
    row = Correlation(
        service_type="s", handler_name="h", action_type="a", tags=tags,
        metric_data=MetricData(metric_name="m", metric_value=1.0, labels=tags, percentiles={"p50": 1.0}),
        child_correlation_ids=notes, metadata=inner,
    )  # fmt: skip
    before = CHECK.record(row, Correlation, NOW, None)
    row.metadata["a"].append(2)
    row.tags["k"] = row.metric_data.labels["k"] = "changed"  # type: ignore[union-attr]
    row.metric_data.percentiles["p50"] = 2.0  # type: ignore[union-attr]
    row.child_correlation_ids.append("x")
    assert before.metadata == {"a": [1]} and before.tags == {"k": "v"} and before.child_correlation_ids == ["n"]
    assert before.metric_data is not None
    assert before.metric_data.labels == {"k": "v"} and before.metric_data.percentiles == {"p50": 1.0}


def test_what_was_changed_after_construction_is_checked() -> None:
    row = Correlation(service_type="s", handler_name="h", action_type="a", metric_name="m", metric_value=1.0)
    row.child_correlation_ids.append(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"^Correlation.child_correlation_ids.\[0\]"):
        CHECK.record(row, Correlation, NOW, None)
    row.child_correlation_ids.clear()
    row.metric_data.percentiles["p50"] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(InvalidArgument, match=r"^Correlation.metric_data.percentiles.'p50'"):
        CHECK.record(row, Correlation, NOW, None)


@pytest.mark.parametrize("tags", [{"": "x"}, {"k" * 256: "x"}, {"k\0": "x"}, {"k": "\ud800"}])
def test_tags_are_checked(tags: dict[str, str]) -> None:
    row = Correlation(service_type="s", handler_name="h", action_type="a", tags=tags)
    with pytest.raises(InvalidArgument, match=r"^Correlation.tags."):
        CHECK.record(row, Correlation, NOW, None)


def test_minus_zero_becomes_zero_in_numbers() -> None:
    row = Correlation(service_type="s", handler_name="h", action_type="a", metric_name="m", metric_value=-0.0)
    assert repr(CHECK.record(row, Correlation, NOW, None).metric_value) == "0.0"


def test_times_that_were_not_given_are_the_stores() -> None:
    given = datetime(2024, 1, 1, tzinfo=UTC)
    row = Correlation(
        service_type="s", handler_name="h", action_type="a", timestamp=given,
        request_data=ServiceRequest(service_type="s", method_name="m"),
    )  # fmt: skip
    ready = CHECK.record(row, Correlation, NOW, None)
    assert (ready.created_at, ready.updated_at, ready.timestamp) == (NOW, NOW, given)
    assert ready.request_data is not None and ready.request_data.request_timestamp == NOW


def test_further_attributes_of_an_edge_are_kept_and_checked() -> None:
    edge = GraphEdge(source="a", target="b", relationship="r", scope="local", attributes={"why": (1,), "context": "c"})
    ready = CHECK.record(edge, GraphEdge, NOW, None)
    assert ready.attributes.model_dump() == {"created_at": NOW, "context": "c", "why": [1]}
    bad = GraphEdge(source="a", target="b", relationship="r", scope="local", attributes={"why": {1}})
    with pytest.raises(InvalidArgument, match=r"^GraphEdge.attributes.'why'"):
        CHECK.record(bad, GraphEdge, NOW, None)


@pytest.mark.parametrize("model", [Task, Thought, Correlation, GraphNode, GraphEdge, Occurrence, Lease, AuditEntry])
def test_every_field_has_a_rule(model: Any) -> None:
    assert CHECK._plan(model).checks


def test_another_class_is_refused_and_a_subclass_must_not_hold_more() -> None:
    class Same(Task):
        """Adds nothing."""

    class More(Task):
        """Adds a field."""

        colour: str = "red"

    fields = {"task_id": "t", "channel_id": "c", "description": "d"}
    assert type(CHECK.record(Same(**fields), Task, NOW, None)) is Task
    with pytest.raises(InvalidArgument, match="More adds colour"):
        CHECK.record(More(**fields), Task, NOW, None)
    with pytest.raises(InvalidArgument, match="expected a Task, not dict"):
        CHECK.record(fields, Task, NOW, None)  # type: ignore[type-var]


def test_changes_are_validated_by_the_types_of_the_fields() -> None:
    new = CHECK.changes(
        Task, "t", {"status": "IN_PROGRESS", "metadata": {"a": (1,)}}, UPDATABLE_TASK_FIELDS, NOW, ExtractedSecrets()
    )
    assert new == {"updated_at": NOW, "status": TaskStatus.ACTIVE, "metadata": {"a": [1]}}
    for bad in (
        {"priority": 11},
        {"status": "nope"},
        {"description": None},
        {"metadata": {"a": {1}}},
        {"channel_id": ""},
    ):
        with pytest.raises(InvalidArgument, match=next(iter(bad))):
            CHECK.changes(Task, "t", bad, UPDATABLE_TASK_FIELDS, NOW, ExtractedSecrets())


@pytest.mark.parametrize("name", ["task_id", "fence", "agent_occurrence_id", "nonsense"])
def test_what_cannot_be_updated_is_refused_naming_what_can(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"'{name}' cannot be updated.*channel_id.*status"):
        CHECK.changes(Task, "t", {name: "x"}, UPDATABLE_TASK_FIELDS, NOW, ExtractedSecrets())


def test_moments_are_aware_and_in_utc() -> None:
    assert moment(NOW.astimezone(timezone(timedelta(hours=14))), "start") == NOW
    assert moment(None, "start") is None
    for bad in (datetime(2025, 1, 1), "soon", 5, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))):
        with pytest.raises(InvalidArgument, match="start"):
            moment(bad, "start")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, -1, 10_001, True, 1.0, "1", None])
def test_limits_are_from_1_to_10000(bad: Any) -> None:
    assert limit_of(1) == 1 and limit_of(10_000) == 10_000 and whole(0, "depth", 0, 1) == 0
    with pytest.raises(InvalidArgument, match="limit must be a whole number from 1 to 10000"):
        limit_of(bad)


def test_a_time_finer_than_a_microsecond_is_refused() -> None:
    given = {"task_id": "t", "channel_id": "c", "description": "d"}
    assert Task(**given, created_at="2025-01-01T00:00:00.123456000Z").created_at.microsecond == 123456
    with pytest.raises(InvalidArgument, match="microsecond"):
        Task(**given, created_at="2025-01-01T00:00:00.123456789Z")


class ArrayBoolean:
    """Boolean as array libraries have it: with a dtype, and convertible into a float."""

    dtype = "bool"

    def __float__(self) -> float:
        return 1.0


class ArrayFloat(ArrayBoolean):
    dtype = "float32"


@pytest.mark.parametrize("boolean", [True, ArrayBoolean()], ids=["bool", "array"])
@pytest.mark.parametrize(
    "make",
    [
        lambda value: MetricData(metric_name="m", metric_value=value),
        lambda value: MetricData(metric_name="m", metric_value=1.0, percentiles={"p50": value}),
        lambda value: GraphEdge(source="a", target="b", relationship="r", scope="local", weight=value),
    ],
    ids=["metric", "percentile", "weight"],
)
def test_a_boolean_is_no_number(make: Callable[[Any], object], boolean: Any) -> None:
    assert make(ArrayFloat())
    with pytest.raises(InvalidArgument, match="should be a valid number"):
        make(boolean)
