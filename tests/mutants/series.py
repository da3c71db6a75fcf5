"""Faults of correlations and time series."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import isfinite
from typing import Any

from ciris_store_core.contract.aggregation import aggregate_rows
from ciris_store_core.errors import DatabaseError
from ciris_store_core.models import Resolution
from ciris_store_core.models.correlations import CorrelationQuery
from ciris_store_core.models.paging import ResultPage
from tests.mutants.planting import add, plant, raises_plain_conflict

_TICK = timedelta(microseconds=1)


def always_finite(points: Any) -> Any:
    """Return the points, or raise the error of a database whose sum overflows."""
    if not all(isfinite(point.value) for point in points):
        raise DatabaseError("out of range")
    return points


# --- correlations -----------------------------------------------------------------------------


def _index_is_old(field: str) -> Any:
    """Filter by the request and the tags that the record had when it was added."""

    def matching(self: Any, sound: Any, where: Any) -> Any:
        first, wanted = self.lab.first, getattr(where, field)
        found = sound(replace(where, **{field: () if field == "tags" else None}))
        if field == "tags":
            return iter([row for row in found if all(first[row.correlation_id].tags.get(k) == v for k, v in wanted)])
        return iter([row for row in found if wanted in (None, getattr(first[row.correlation_id].request_data, field, None))])

    return ("correlations.add", _remembering), ("correlations._matching", matching)


def _remembering(self: Any, sound: Any, rows: Any) -> None:
    vars(self.lab).setdefault("first", {}).update({row.correlation_id: row for row in rows})
    sound(rows)


for _field in ("tags", "task_id", "thought_id", "channel_id"):
    add(f"the_index_of_{_field}_is_not_updated", "correlations.update.found", *_index_is_old(_field))


@plant("correlations.update.missing", "correlations.update")
def an_update_of_nothing_is_a_success(self: Any, sound: Any, id: str, changes: Any) -> Any:
    return sound(id, changes) or True


add("an_update_revives_what_expired", "correlations.update.expired", ("correlations.update", lambda self, sound, id, changes, now=None: sound(id, changes)))
add("an_update_finds_nothing_that_may_expire", "correlations.update.expired", ("correlations.update", lambda self, sound, id, changes, now=None: self._table.rows[id].ttl_seconds is None and sound(id, changes)))
add("names_of_what_expired_are_told", "correlations.points.expired", ("correlations.metric_names", lambda self, sound, now=None: sound()))
add("names_of_what_may_expire_are_not_told", "correlations.points.expired", ("correlations.metric_names", lambda self, sound, now=None: sorted({row.metric_name for row in self._table.rows.values() if row.metric_name and row.ttl_seconds is None})))
add("great_values_are_refused", "correlations.aggregate.great", ("correlations.aggregate", lambda self, sound, query: always_finite(sound(query))))
add("the_average_of_great_values_is_infinite", "correlations.aggregate.great", ("correlations.aggregate", lambda self, sound, query: [replace(point, value=point.value * 1e9 / 1e9) for point in sound(query)]))
add("the_first_bucket_begins_with_its_first_sample", "correlations.aggregate.first_bucket", ("correlations.percentiles", lambda self, sound, query: [replace(point, start=point.start + _TICK) for point in sound(query)]))
add("buckets_before_the_year_1_are_left_out", "correlations.aggregate.first_bucket", ("correlations.aggregate", lambda self, sound, query: [point for point in sound(query) if point.start.year > 1]))
for _method in ("points", "aggregate", "percentiles"):
    add(f"what_expired_counts_in_{_method}", "correlations.points.expired", (f"correlations.{_method}", lambda self, sound, query: sound(replace(query, where=replace(query.where, now=None)))))


@plant("correlations.update.expiry", "correlations.delete_expired")
def the_expiry_is_that_of_the_first_write(self: Any, sound: Any, now: Any, limit: int) -> Any:
    first = self.before[2]
    gone = [key for key, row in first.items() if row.expires_at and row.expires_at <= now]
    return self._table.delete(gone[:limit])


add("measurements_lose_their_unit", "correlations.add_metrics.like", ("correlations.add_metrics", lambda self, sound, metrics, like: sound([m._replace(unit=None) for m in metrics], like)))
add("measurements_get_the_time_of_the_first", "correlations.add_metrics.like", ("correlations.add_metrics", lambda self, sound, metrics, like: sound([m._replace(timestamp=metrics[0].timestamp) for m in metrics], like)))
add("measurements_that_exist_are_passed_over", "correlations.add_metrics.conflict", ("correlations.add_metrics", lambda self, sound, metrics, like: sound([m for m in metrics if not self.get([m.metric_id])], like)))
add("a_measurement_that_exists_is_a_plain_conflict", "correlations.add_metrics.conflict", ("correlations.add_metrics", raises_plain_conflict))
add("expired_correlations_are_deleted_a_tick_early", "correlations.delete_expired", ("correlations.delete_expired", lambda self, sound, now, limit: sound(now + _TICK, limit)))
add("expired_correlations_are_deleted_a_tick_late", "correlations.delete_expired", ("correlations.delete_expired", lambda self, sound, now, limit: sound(now - _TICK, limit)))
add("expired_correlations_are_deleted_without_limit", "correlations.delete_expired", ("correlations.delete_expired", lambda self, sound, now, limit: sound(now, 10**6)))
add("a_lifetime_past_the_end_of_time_is_over", "correlations.delete_expired", ("correlations.delete_expired", lambda self, sound, now, limit: sound(now, limit) + self.delete([key for key, row in self._table.rows.items() if row.ttl_seconds and row.expires_at is None])))

# --- points and aggregates --------------------------------------------------------------------

POINTS = "correlations.points"


def _points(**wrong: Any) -> Any:
    def points(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        return ResultPage([point.replaced(**wrong) for point in page.items], page.next_after, page.corrupt)

    return (POINTS, points)


for _field, _value in {"tags": {}, "source": None, "resolution": Resolution.RAW, "correlation_type": "log_entry"}.items():
    add(f"points_forget_{_field}", f"{POINTS}.fields", _points(**{_field: _value}))
add("points_round_values", f"{POINTS}.fields", (POINTS, lambda self, sound, query: ResultPage([point.replaced(value=float(f"{point.value:.0f}")) for point in sound(query).items], sound(query).next_after)))
add("points_end_at_a_page_without_metrics", f"{POINTS}.paging", (POINTS, lambda self, sound, query: sound(query) if sound(query).items else ResultPage([])))
add("points_always_ascend", f"{POINTS}.paging", (POINTS, lambda self, sound, query: sound(replace(query, descending=False))))
add("points_zigzag", f"{POINTS}.paging", (POINTS, lambda self, sound, query: ResultPage(sound(query).items[::-1], sound(query).next_after)))
add("points_ignore_the_filter", f"{POINTS}.filters", (POINTS, lambda self, sound, query: sound(CorrelationQuery(limit=query.limit))))

AGGREGATE = "correlations.aggregate"


def _answers(change: Any) -> Any:
    return (AGGREGATE, lambda self, sound, query: [change(point, query) for point in sound(query)])


def _over(change: Any) -> Any:
    """Replace the rows that are aggregated."""
    return (AGGREGATE, lambda self, sound, query: aggregate_rows([each for row in self._scan(query.where) for each in change(row)], query))


def _asked(change: Any) -> Any:
    return (AGGREGATE, lambda self, sound, query: sound(change(query)))


def _metric(row: Any, **fields: Any) -> Any:
    return row if row.metric_data is None else row.replaced(metric_data=row.metric_data.replaced(**fields))


for _wrong, _right in (("sum", "avg"), ("avg", "sum"), ("min", "max"), ("max", "min"), ("last", "max"), ("count", "sum")):
    add(f"{_right}_answers_{_wrong}", f"{AGGREGATE}.functions", _asked(lambda query, wrong=_wrong, right=_right: replace(query, function=wrong) if query.function == right else query))
add("count_is_an_integer", f"{AGGREGATE}.functions", _answers(lambda point, query: replace(point, value=int(point.value)) if query.function == "count" else point))
add("last_is_the_first", f"{AGGREGATE}.functions {AGGREGATE}.last", (AGGREGATE, lambda self, sound, query: [replace(point, value=7.0 if query.function == "last" and point.count == 4 else 5.0 if query.function == "last" else point.value) for point in sound(query)]))
add("buckets_are_closed_above", f"{AGGREGATE}.buckets", _over(lambda row: [row.replaced(timestamp=row.timestamp - _TICK)]))
add("buckets_begin_at_the_first_row", f"{AGGREGATE}.buckets {AGGREGATE}.epoch", (AGGREGATE, lambda self, sound, query: [replace(point, start=min(row.timestamp for row in self._scan(query.where))) for point in sound(query)]))
add("weeks_begin_on_monday", f"{AGGREGATE}.epoch", _answers(lambda point, query: replace(point, start=point.start + timedelta(days=4)) if query.bucket.days == 7 else point))
add("buckets_before_the_epoch_are_cut_towards_it", f"{AGGREGATE}.epoch", _answers(lambda point, query: replace(point, start=point.start + query.bucket) if point.start.year < 1970 else point))
add("buckets_are_of_whole_seconds", f"{AGGREGATE}.microseconds", _asked(lambda query: replace(query, bucket=max(query.bucket, timedelta(seconds=1)))))
add("empty_buckets_are_returned", f"{AGGREGATE}.buckets", (AGGREGATE, lambda self, sound, query: [each for point in sound(query) for each in (point, replace(point, start=point.start + query.bucket, value=0.0, count=0))]))
add("groups_are_thrown_together", f"{AGGREGATE}.groups", _asked(lambda query: replace(query, group_by=query.group_by[:1])))
add("a_missing_tag_is_an_empty_one", f"{AGGREGATE}.groups", _over(lambda row: [row.replaced(tags={"h": "", **row.tags})]))
add("groups_without_the_tag_are_left_out", f"{AGGREGATE}.groups", (AGGREGATE, lambda self, sound, query: [point for point in sound(query) if None not in point.group]))
add("group_keys_are_paths", f"{AGGREGATE}.groups", _over(lambda row: [row.replaced(tags={key: value for key, value in row.tags.items() if "." not in key})]))
add("groups_come_none_last", f"{AGGREGATE}.groups", (AGGREGATE, lambda self, sound, query: sorted(sound(query), key=lambda point: (point.start, [(each is None, each or "") for each in point.group]))))
add("groups_have_no_case", f"{AGGREGATE}.groups", _over(lambda row: [row.replaced(tags={key: value.lower() for key, value in row.tags.items()})]))
add("aggregates_ignore_the_filter", f"{AGGREGATE}.filter", _asked(lambda query: replace(query, where=replace(query.where, metric_names=()))))
add("the_upper_bound_is_inclusive", f"{AGGREGATE}.filter", _asked(lambda query: replace(query, where=replace(query.where, time_to_exclusive=False))))
add("an_aggregate_of_nothing_is_zero", f"{AGGREGATE}.filter", (AGGREGATE, lambda self, sound, query: sound(query) or [0]))
add("a_summary_counts_once", f"{AGGREGATE}.rolled_up", _over(lambda row: [_metric(row, sample_count=None)]))
add("a_summary_adds_its_last_value", f"{AGGREGATE}.rolled_up", _over(lambda row: [_metric(row, sample_sum=None)]))
add("a_summary_has_no_extremes", f"{AGGREGATE}.rolled_up", _over(lambda row: [_metric(row, min_value=None, max_value=None)]))
add("summaries_are_left_out", f"{AGGREGATE}.rolled_up {AGGREGATE}.resolution", _over(lambda row: [row] if row.resolution == Resolution.RAW else []))
add("summaries_are_counted_twice", f"{AGGREGATE}.rolled_up", _over(lambda row: [row] if row.resolution == Resolution.RAW else [row, row]))
add("a_summary_is_as_old_as_its_hour", f"{AGGREGATE}.last", _over(lambda row: [_metric(row, last_timestamp=None)]))
add("ties_of_last_go_to_the_first", f"{AGGREGATE}.last", (AGGREGATE, lambda self, sound, query: [replace(point, value=6.0 if point.value == 7.0 else point.value) for point in sound(query)]))
add("the_finest_resolution_is_told", f"{AGGREGATE}.resolution", _answers(lambda point, query: replace(point, resolution=Resolution.RAW)))
add("resolutions_are_compared_as_text", f"{AGGREGATE}.resolution {AGGREGATE}.rolled_up", _answers(lambda point, query: replace(point, resolution=Resolution.RAW if point.resolution == Resolution.HOURLY else Resolution.HOURLY if point.resolution == Resolution.DAILY else point.resolution)))
add("remarks_of_raw_rows_count", f"{AGGREGATE}.raw_extremes", (AGGREGATE, lambda self, sound, query: [replace(point, value={"min": -100.0, "max": 100.0}[query.function]) for point in sound(query)]))
add("sums_have_32_bits", f"{AGGREGATE}.precision", _answers(lambda point, query: replace(point, value=float(f"{point.value:.7g}"))))
add("aggregates_read_one_page", f"{AGGREGATE}.precision", (AGGREGATE, lambda self, sound, query: aggregate_rows(self.find(CorrelationQuery(limit=1000, where=query.where)).items, query)))

# --- locks, percentiles, names ----------------------------------------------------------------

PERCENTILES = "correlations.percentiles"


def _percentiles(change: Any) -> Any:
    return (PERCENTILES, lambda self, sound, query: [change(point, query) for point in sound(query)])


add("a_lock_finds_nothing", "correlations.lock.existing", ("correlations.lock", lambda self, sound, ids: []))
add("a_lock_changes_what_it_locks", "correlations.lock.existing", ("correlations.lock", lambda self, sound, ids: [self.update(id, {"updated_at": self.get([id])[0].updated_at + _TICK}) and row for row in sound(ids) for id in [row.correlation_id]]))
add("a_locked_page_ignores_the_filter", "correlations.find_locked.page", ("correlations.find_locked", lambda self, sound, query: sound(replace(query, where=replace(query.where, action_type=None)))))
add("a_locked_page_leads_nowhere", "correlations.find_locked.page", ("correlations.find_locked", lambda self, sound, query: ResultPage(sound(query).items)))
add("percentiles_are_those_of_the_nearest_sample", f"{PERCENTILES}.values", _percentiles(lambda point, query: replace(point, values=tuple(float(round(each, -1)) for each in point.values))))
add("percentiles_come_sorted", f"{PERCENTILES}.values", _percentiles(lambda point, query: replace(point, values=tuple(sorted(point.values)))))
add("percentiles_of_extremes_overflow", f"{PERCENTILES}.values", _percentiles(lambda point, query: replace(point, values=tuple(each if abs(each) < 1e308 else float("inf") for each in point.values))))
add("percentiles_count_no_samples", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(lambda point, query: replace(point, count=1)))
add("percentiles_throw_groups_together", f"{PERCENTILES}.groups", (PERCENTILES, lambda self, sound, query: sound(replace(query, group_by=()))))
add("percentiles_leave_out_the_untagged", f"{PERCENTILES}.groups", (PERCENTILES, lambda self, sound, query: [point for point in sound(query) if None not in point.group]))
add("percentiles_ignore_the_filter", f"{PERCENTILES}.filter", (PERCENTILES, lambda self, sound, query: sound(replace(query, where=replace(query.where, metric_names=())))))
add("percentiles_of_nothing_are_zero", f"{PERCENTILES}.filter", (PERCENTILES, lambda self, sound, query: sound(query) or [0]))
add("percentiles_are_made_of_summaries", f"{PERCENTILES}.rolled_up", ("correlations._refuse_rolled_up", lambda self, sound, where: None))
add("percentiles_leave_out_summaries", f"{PERCENTILES}.rolled_up", (PERCENTILES, lambda self, sound, query: sound(replace(query, where=replace(query.where, resolutions=(Resolution.RAW,))))))
add("names_of_metrics_have_no_order", "correlations.metric_names", ("correlations.metric_names", lambda self, sound: sound()[::-1]))
add("names_of_metrics_are_sorted_by_utf_16", "correlations.metric_names", ("correlations.metric_names", lambda self, sound: sorted(sound(), key=lambda name: name.encode("utf-16-be"))))
add("names_of_metrics_have_no_case", "correlations.metric_names", ("correlations.metric_names", lambda self, sound: sorted({name.lower() for name in sound()})))
