"""Correlations: add, update, find, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, correlation, metric
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import AWKWARD_KEYS, AWKWARD_TEXTS, LAST, full_correlation
from ciris_store_core.conformance.support import everything, exact, pages, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.contract.aggregation import measured
from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models import Correlation, CorrelationStatus, GraphScope, Resolution, RetentionPolicy
from ciris_store_core.models.correlations import (
    UPDATABLE_CORRELATION_FIELDS,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
)

REQUEST = {"service_type": "s", "method_name": "m", "request_timestamp": T0}
DISTINCT: dict[str, dict[str, Any]] = {
    "types": {"correlation_type": "torque"},
    "occurrence_id": {"agent_occurrence_id": "occurrence_1"},
    "scope": {"scope": GraphScope.COMMUNITY},
    "metric_names": {"metric_data": {"metric_name": "a.b", "metric_value": 1.0}},
    "log_levels": {"log_data": {"log_level": "ERROR", "log_message": "oh"}},
    "task_id": {"request_data": {**REQUEST, "task_id": "t"}},
    "thought_id": {"request_data": {**REQUEST, "thought_id": "h"}},
    "action_type": {"action_type": "tool"},
    "service_type": {"service_type": "memory"},
    "status": {"status": CorrelationStatus.FAILED},
    "channel_id": {"request_data": {**REQUEST, "channel_id": "channel"}},
    "trace_id": {"trace_context": {"trace_id": "tr", "span_id": "sp", "span_name": "n"}},
    "parent_correlation_id": {"parent_correlation_id": "p"},
    "resolutions": {"resolution": Resolution.DAILY},
    "retention_policies": {"retention_policy": RetentionPolicy.AGGREGATED},
}
"""Fields that make a correlation the only one that a filter matches."""
FILTERS: dict[str, Any] = {
    "types": ("torque", "other"), "occurrence_id": "occurrence_1", "scope": GraphScope.COMMUNITY,
    "metric_names": ("x", "a.b"), "log_levels": ("ERROR", "CRITICAL"), "task_id": "t", "thought_id": "h",
    "action_type": "tool", "service_type": "memory", "status": CorrelationStatus.FAILED, "channel_id": "channel",
    "trace_id": "tr", "parent_correlation_id": "p", "resolutions": (Resolution.HOURLY, Resolution.DAILY),
    "retention_policies": (RetentionPolicy.AGGREGATED, RetentionPolicy.DOWNSAMPLED),
}  # fmt: skip


def add(backend: Backend, *records: Correlation) -> None:
    """Store correlations in a transaction of their own."""
    with writing(backend) as session:
        session.correlations.add(records)


def ids(backend: Backend, *, descending: bool = False, limit: int = 2, **where: Any) -> list[str]:
    """The ids that a filter finds; checks that it counts as many."""
    query = CorrelationQuery(limit=limit, where=CorrelationFilter(**where), descending=descending)
    with reading(backend) as session:
        found = [each.correlation_id for each in everything(session.correlations.find, query)]
        assert session.correlations.count(query.where) == len(found)
    return found


def get(backend: Backend, id: str) -> Correlation:
    """The stored correlation."""
    with reading(backend) as session:
        [found] = session.correlations.get([id])
    return found


class TestWriteCorrelations:
    """``add``, ``get``, ``update``, ``delete`` and ``delete_expired``."""

    @clause("correlations.add.conflict")
    def test_add_what_exists(self, backend: Backend) -> None:
        """Otherwise one record of what happened overwrites another, or half of a batch is stored."""
        add(backend, correlation("b"))
        with pytest.raises(AlreadyExists):
            add(backend, correlation("a"), correlation("b", action_type="other"), correlation("c"))
        assert ids(backend) == ["b"]
        assert get(backend, "b").action_type == "speak"

    @clause("correlations.add.batch")
    def test_batches_of_any_size(self, backend: Backend) -> None:
        """Otherwise telemetry is lost where there is much of it."""
        add(backend)
        records = [correlation(f"c{i:04}", tags={"i": str(i)}) for i in range(2000)]
        add(backend, *records)
        with writing(backend) as session:
            found = session.correlations.get([*(each.correlation_id for each in records), "?"])
            assert sorted(each.correlation_id for each in found) == [each.correlation_id for each in records]
            assert session.correlations.count(CorrelationFilter()) == 2000
            many = [*(f"none {i}" for i in range(100_000)), records[7].correlation_id]
            assert [each.correlation_id for each in session.correlations.get(many)] == many[-1:]
            assert session.correlations.delete([each.correlation_id for each in records]) == 2000

    @clause("correlations.add_metrics.like")
    def test_measurements_become_correlations(self, backend: Backend) -> None:
        """Otherwise metrics recorded in bulk differ from those recorded one by one, or lose their tags or units."""
        plain = correlation(service_type="sampler", ttl_seconds=60, metadata={"run": 7}, timestamp=at(5))
        for number, like in enumerate((plain, full_correlation())):
            metrics = [
                Metric("cpu", 1.5, {"host": "a", 'q".': "\u00e9"}, at(1), "%", f"a{number}"),
                Metric("cpu", -2.0, {}, at(2), None, f"b{number}"),
                Metric("\\N", 0.0, {"\\N": "\\N", "e": "", "q": '""'}, at(3), "\\N", f"c{number}"),
                Metric('""', 5e-324, {"t": "a\tb\n\\t"}, at(-4), "", f"d{number}"),
            ]
            with writing(backend) as session:
                session.correlations.add_metrics(metrics, like)
                session.correlations.add_metrics([], like)
            stored = [get(backend, f"{key}{number}") for key in "abcd"]
            assert list(map(exact, stored)) == [exact(measured(each, like)) for each in metrics]

    @clause("correlations.add_metrics.conflict")
    def test_measurements_all_or_none(self, backend: Backend) -> None:
        """Otherwise half of a batch of metrics is stored, and the rest is counted twice when it is sent again."""
        add(backend, correlation("m2"))
        metrics = [Metric("cpu", 1.0, {}, at(1), None, key) for key in ("m1", "m2", "m3")]
        with pytest.raises(AlreadyExists):
            transact(backend, lambda session: session.correlations.add_metrics(metrics, correlation()))
        assert ids(backend) == ["m2"]

    @clause("correlations.add.race", Level.CONCURRENT)
    def test_one_adder_wins(self, backend: Backend) -> None:
        """Otherwise one id stands for two events."""

        def attempt(number: int) -> bool:
            try:
                transact(backend, lambda session: session.correlations.add([correlation()]))
            except AlreadyExists:
                return False
            return True

        assert sum(race(8, attempt)) == 1

    @clause("correlations.get.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise asking for an unknown id fails, or hides the known ones."""
        add(backend, correlation("a"), correlation("b"))
        with reading(backend) as session:
            assert session.correlations.get([]) == []
            assert [each.correlation_id for each in session.correlations.get(["?", "b"])] == ["b"]

    @pytest.mark.parametrize("field", sorted(UPDATABLE_CORRELATION_FIELDS))
    @clause("correlations.update.each")
    def test_update_of_one_field(self, backend: Backend, field: str) -> None:
        """Otherwise an update is lost, or changes more than it was told to."""
        plain, full = correlation("a"), full_correlation()
        changes = {field: getattr(full, field), "updated_at": at(9)}
        add(backend, plain, correlation("b"))
        with writing(backend) as session:
            assert session.correlations.update("a", changes) is True
        assert exact(get(backend, "a")) == exact(plain.replaced(**changes))
        assert exact(get(backend, "b")) == exact(correlation("b"))

    @pytest.mark.parametrize("field", ["metric_data", "log_data", "trace_context", "request_data", "response_data"])
    @clause("correlations.update.to_none")
    def test_update_to_none(self, backend: Backend, field: str) -> None:
        """Otherwise a part that was taken away stays."""
        add(backend, full_correlation())
        with writing(backend) as session:
            session.correlations.update("full", {field: None})
        assert exact(get(backend, "full")) == exact(full_correlation().replaced(**{field: None}))

    @clause("correlations.update.found")
    def test_filters_follow_an_update(self, backend: Backend) -> None:
        """Otherwise a changed record is found by what it was, and not by what it is."""
        names = ("task_id", "thought_id", "channel_id")
        add(backend, correlation(request_data={**REQUEST, **dict.fromkeys(names, "old")}, tags={"k": "old"}))
        changed = correlation(request_data={**REQUEST, **dict.fromkeys(names, "new")})
        with writing(backend) as session:
            session.correlations.update("c", {"request_data": changed.request_data, "tags": {"k": "new"}})
        for name in names:
            old: dict[str, Any] = {name: "old"}
            new: dict[str, Any] = {name: "new"}
            assert (ids(backend, **old), ids(backend, **new)) == ([], ["c"]), name
        assert (ids(backend, tags=(("k", "old"),)), ids(backend, tags=(("k", "new"),))) == ([], ["c"])

    @clause("correlations.update.expiry")
    def test_expiry_follows_an_update(self, backend: Backend) -> None:
        """Otherwise a record is deleted by a lifetime that it has no more, or never."""
        add(backend, *(correlation(id, ttl_seconds=10) for id in "abc"))
        with writing(backend) as session:
            session.correlations.update("a", {"ttl_seconds": None})
            session.correlations.update("b", {"timestamp": at(100)})
            assert session.correlations.delete_expired(at(10), 9) == 1
        assert ids(backend) == ["a", "b"]

    @clause("correlations.update.missing")
    def test_update_of_nothing(self, backend: Backend) -> None:
        """Otherwise a caller believes that the outcome of a call was recorded."""
        with writing(backend) as session:
            assert session.correlations.update("?", {"status": CorrelationStatus.FAILED}) is False
            assert session.correlations.get(["?"]) == []

    @clause("correlations.update.expired")
    def test_update_of_what_expired(self, backend: Backend) -> None:
        """Otherwise an update revives an expired record, and the caller does not learn that it had expired."""
        add(backend, *(correlation(id, ttl_seconds=10) for id in "abc"))
        far = {"ttl_seconds": 10**6, "updated_at": at(10)}
        with writing(backend) as session:
            assert session.correlations.update("a", far, at(10)) is False
            assert session.correlations.update("a", {"status": CorrelationStatus.FAILED}, at(10)) is False
            assert session.correlations.update("b", far, at(9.999999)) is True
            assert session.correlations.update("c", far) is True
        assert exact(get(backend, "a")) == exact(correlation("a", ttl_seconds=10))
        assert ids(backend, now=at(10)) == ["b", "c"]

    @clause("correlations.update.race", Level.CONCURRENT)
    def test_no_concurrent_update_is_lost(self, backend: Backend) -> None:
        """Otherwise of two things recorded about a call at the same time one is lost."""
        full = full_correlation()
        fields = [
            "status",
            "tags",
            "response_data",
            "log_data",
            "metric_data",
            "metadata",
            "ttl_seconds",
            "handler_name",
        ]
        add(backend, correlation())

        def change(number: int) -> bool:
            changes = {fields[number]: getattr(full, fields[number])}
            return transact(backend, lambda session: session.correlations.update("c", changes))

        assert all(race(len(fields), change))
        assert exact(get(backend, "c")) == exact(
            correlation().replaced(**{name: getattr(full, name) for name in fields})
        )

    @clause("correlations.delete.count")
    def test_delete(self, backend: Backend) -> None:
        """Otherwise deleting reports success without deleting."""
        add(backend, correlation("a"), correlation("b"))
        with writing(backend) as session:
            assert session.correlations.delete([]) == 0
            assert session.correlations.delete(["a", "?"]) == 1
            assert session.correlations.delete(["a"]) == 0
        assert ids(backend) == ["b"]

    @clause("correlations.delete.expired")
    def test_delete_of_what_expired(self, backend: Backend) -> None:
        """Otherwise what is absent for a reader is there for a delete."""
        add(backend, *(correlation(id, ttl_seconds=10) for id in "xyz"), correlation("a"), correlation("kept"))
        add(backend, correlation("late", ttl_seconds=10, timestamp=at(1e-6)))
        with writing(backend) as session:
            assert session.correlations.delete(["x"], at(10)) == 0
            assert session.correlations.delete(["y", "a", "late", "?"], at(10)) == 2
            assert session.correlations.delete(["z"]) == 1
        assert ids(backend) == ["kept"]

    @clause("correlations.delete_expired")
    def test_delete_expired(self, backend: Backend) -> None:
        """Otherwise records outlive their time, or die before it."""
        add(backend, *(correlation(f"gone{i}", ttl_seconds=10) for i in range(3)))
        add(backend, correlation("kept", ttl_seconds=10, timestamp=at(1e-6)), correlation("endless"))
        add(backend, correlation("far", ttl_seconds=2**40, timestamp=LAST))
        with writing(backend) as session:
            assert [session.correlations.delete_expired(at(10), 2) for _ in range(3)] == [2, 1, 0]
        assert set(ids(backend)) == {"kept", "endless", "far"}


class TestFindCorrelations:
    """``find`` and ``count``."""

    @clause("correlations.find.order")
    def test_by_time_ties_by_id(self, backend: Backend) -> None:
        """Otherwise what happened is told in the wrong order."""
        add(backend, correlation("b"), correlation("late", timestamp=at(1e-6)), correlation("a"))
        add(backend, correlation("early", timestamp=at(-1)), correlation("B"))
        assert ids(backend) == ["early", "B", "a", "b", "late"]
        assert ids(backend, descending=True) == ["late", "b", "a", "B", "early"]

    @clause("correlations.find.expired")
    def test_what_expired_is_absent(self, backend: Backend) -> None:
        """Otherwise expired records are returned until they are deleted."""
        add(backend, *(correlation(f"gone{i}", ttl_seconds=10, tags={"k": "v"}) for i in range(5)))
        add(backend, correlation("kept", ttl_seconds=10, timestamp=at(1e-6), tags={"k": "v"}), correlation("endless"))
        add(backend, correlation("far", ttl_seconds=2**40, timestamp=LAST))
        assert ids(backend, now=at(10), limit=1) == ["endless", "kept", "far"]
        assert ids(backend, now=at(10), tags=(("k", "v"),)) == ["kept"]
        assert len(ids(backend, now=at(9.999999))) == len(ids(backend)) == 8

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 5])
    @clause("correlations.find.paging")
    def test_pages_neither_repeat_nor_skip(self, backend: Backend, limit: int, descending: bool) -> None:
        """Otherwise a long history has holes, or events that happened twice."""
        add(backend, *(correlation(f"c{i}", timestamp=at(i // 4)) for i in range(10)))
        with reading(backend) as session:
            parts = pages(session.correlations.find, CorrelationQuery(limit=limit, descending=descending))
        listed = [each.correlation_id for page in parts for each in page]
        assert listed == sorted(listed, reverse=descending) and len(listed) == 10
        assert all(len(page) == limit for page in parts[:-1]) and parts[-1]

    @clause("correlations.find.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, or ends too early."""
        add(backend, *(correlation(id) for id in "abc"))
        with reading(backend) as session:
            assert session.correlations.find(CorrelationQuery(limit=3)).next_after is None
            assert session.correlations.find(CorrelationQuery(limit=2)).next_after == (T0, "b")
            back = session.correlations.find(CorrelationQuery(after=(T0, "bb"), descending=True)).items
        assert [each.correlation_id for each in back] == ["b", "a"]

    @pytest.mark.parametrize("name", FILTERS)
    @clause("correlations.find.filters")
    def test_each_filter(self, backend: Backend, name: str) -> None:
        """Otherwise events of others slip in, or the ones asked for are missing."""
        add(backend, *(correlation(other, **fields) for other, fields in DISTINCT.items()), correlation("plain"))
        assert ids(backend, **{name: FILTERS[name]}) == [name]

    @clause("correlations.find.all_filters")
    def test_all_filters_must_match(self, backend: Backend) -> None:
        """Otherwise narrowing a search does not narrow it."""
        add(backend, correlation("a", **DISTINCT["task_id"]), correlation("b", **DISTINCT["action_type"]))
        add(backend, correlation("z", **DISTINCT["task_id"], **DISTINCT["action_type"]))
        assert ids(backend, task_id="t", action_type="tool", limit=1) == ["z"]

    @clause("correlations.find.time")
    def test_bounds_of_time(self, backend: Backend) -> None:
        """Otherwise neighbouring periods share an event, or none has it."""
        add(backend, *(correlation(f"c{i}", timestamp=at(i * 1e-6)) for i in range(4)))
        bounds: dict[str, Any] = {"time_from": at(1e-6), "time_to": at(3e-6)}
        assert ids(backend, **bounds) == ["c1", "c2", "c3"]
        assert ids(backend, **bounds, time_to_exclusive=True) == ["c1", "c2"]
        assert ids(backend, time_from=at(3e-6)) == ["c3"]
        assert ids(backend, time_to=T0) == ["c0"]

    @clause("correlations.find.tags")
    def test_by_tags(self, backend: Backend) -> None:
        """Otherwise a series of measurements is mixed up with others."""
        add(backend, correlation("a", tags={"host": "x", "zone": "1"}), correlation("b", tags={"host": "x"}))
        add(backend, correlation("c", tags={"host": "X", "zone": "1"}), correlation("d"))
        assert ids(backend, tags=(("host", "x"),)) == ["a", "b"]
        assert ids(backend, tags=(("host", "x"), ("zone", "1"))) == ["a"]
        assert ids(backend, tags=(("host", ""),)) == []

    @clause("correlations.find.tags.awkward")
    def test_by_awkward_tags(self, backend: Backend) -> None:
        """Otherwise a tag with a dot is never found, or a tag's name becomes part of a query."""
        add(backend, correlation("nested", metadata={"a": {"b": "v"}}), correlation("other", tags={"a": "v", "b": "v"}))
        add(backend, *(correlation(f"k{i}", tags={key: "v"}) for i, key in enumerate(AWKWARD_KEYS)))
        add(backend, *(correlation(f"v{i}", tags={"k": text}) for i, text in enumerate(AWKWARD_TEXTS)))
        for i, key in enumerate(AWKWARD_KEYS):
            assert ids(backend, tags=((key, "v"),)) == [f"k{i}"], key
        for i, text in enumerate(AWKWARD_TEXTS):
            assert ids(backend, tags=(("k", text),)) == [f"v{i}"], text

    @clause("correlations.find.same_microsecond")
    def test_events_of_the_same_microsecond(self, backend: Backend) -> None:
        """Otherwise of two measurements taken at once only one is kept."""
        add(backend, *(metric(f"m{i}", i) for i in range(5)))
        assert ids(backend, time_from=T0, time_to=T0) == [f"m{i}" for i in range(5)]

    @clause("correlations.count")
    def test_count_of_nothing(self, backend: Backend) -> None:
        """Otherwise a store without telemetry fails its first report."""
        with reading(backend) as session:
            assert session.correlations.count(CorrelationFilter()) == 0
            page = session.correlations.find(CorrelationQuery())
        assert (page.items, page.next_after, page.corrupt) == ([], None, [])

    @clause("correlations.find.corrupt", Level.OPERABLE)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged record makes the others unreachable."""
        add(backend, *(correlation(id) for id in "abc"))
        if not harness.corrupt("correlations", "b"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.correlations.find(CorrelationQuery())
            single = everything(session.correlations.find, replace(CorrelationQuery(), limit=1))
        assert [each.correlation_id for each in page.items] == ["a", "c"]
        assert [each.correlation_id for each in single] == ["a", "c"]
        assert len(page.corrupt) == 1 and "b" in page.corrupt[0].key and page.corrupt[0].error
