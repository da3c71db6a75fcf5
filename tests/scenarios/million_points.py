"""Many points over a month: their rate of storage, their size, and the proof that rolling them up changes no answer."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from ciris_store_core import ManualClock, Metric, Store, TestSeams, open_store
from ciris_store_core.services import RetentionPlan, RetentionRule, RetentionService
from tests.scenarios.processes import arguments_of, database

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = 30
START = datetime(2025, 1, 1, tzinfo=UTC)
END = START + DAYS * DAY
METRICS, HOSTS = 5, 10
BATCH = 10_000
#: Points older than a day are rolled up hourly, and in a second pass downsampled daily.
HOURLY = RetentionPlan((RetentionRule(hourly_after=DAY),))
DAILY = RetentionPlan((RetentionRule(hourly_after=DAY, daily_after=DAY),))


@dataclass
class Answers:
    """Answers of the store at one moment, their times, and the size of the store."""

    rows: int
    size: int
    """Bytes, indexes included."""
    seconds: dict[str, float] = field(default_factory=dict)
    totals: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Result:
    """Outcome of the run."""

    points: int
    ingest_seconds: float
    before: Answers
    hourly: Answers
    daily: Answers
    rollup_seconds: tuple[float, float]
    """Time to roll up all points hourly, and to downsample these daily."""

    @property
    def same(self) -> bool:
        """True if count, min and max by host are equal, and sums within 1e-12."""
        return all(_same(self.before.totals, after.totals) for after in (self.hourly, self.daily))


def run(url: str, points: int) -> Result:
    """Store the points, query, roll up, and query again."""
    clock = ManualClock(END)
    with open_store(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
        began = time.perf_counter()
        for batch in _batches(points):
            store.correlations.add_metrics(batch, retention_policy="downsampled")
        ingest = time.perf_counter() - began
        before = _ask(store, url)
        hourly_seconds = _timed(lambda: RetentionService(store, HOURLY).run())
        hourly = _ask(store, url)
        daily_seconds = _timed(lambda: RetentionService(store, DAILY).run())
        daily = _ask(store, url)
    return Result(points, ingest, before, hourly, daily, (hourly_seconds, daily_seconds))


def _batches(points: int) -> Iterator[list[Metric]]:
    numbers = random.Random(7)
    series = [(f"metric.{m}", {"host": f"host-{h}"}) for m in range(METRICS) for h in range(HOSTS)]
    step = DAYS * DAY / (points / len(series))
    batch: list[Metric] = []
    for number in range(points):
        name, tags = series[number % len(series)]
        when = START + (number // len(series)) * step
        batch.append(Metric(name, numbers.gauss(50, 20), tags, when, "ms"))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ask(store: Store, url: str) -> Answers:
    correlations, last_day = store.correlations, END - DAY
    _vacuum(url)
    answers = Answers(correlations.count(), _size(url))

    def recall(**filters: Any) -> int:
        cursor, found = None, 0
        while True:
            page = correlations.points(time_from=last_day, limit=10_000, cursor=cursor, **filters)
            found, cursor = found + len(page), page.next_cursor
            if cursor is None:
                return found

    questions: dict[str, Callable[[], object]] = {
        "24 hours of one series": lambda: recall(metric_name="metric.1", tags={"host": "host-3"}),
        "24 hours of all series": recall,
        "30 days hourly by host, one metric": lambda: correlations.aggregate(
            "avg", HOUR, group_by=["host"], metric_name="metric.1", time_from=START
        ),
        "30 days hourly by host, all metrics": lambda: correlations.aggregate(
            "avg", HOUR, group_by=["host"], time_from=START
        ),
    }
    for name, question in questions.items():
        answers.seconds[name] = median(_timed(question) for _ in range(3))
    for function in ("count", "min", "max", "sum"):
        found = correlations.aggregate(function, DAY, group_by=["host"])  # type: ignore[arg-type]
        answers.totals[function] = [(point.start, point.group, point.count, point.value) for point in found]
    return answers


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _same(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> bool:
    exact = all(before[name] == after[name] for name in ("count", "min", "max"))
    sums = zip(before["sum"], after["sum"], strict=True)
    return exact and all(a[:3] == b[:3] and math.isclose(a[3], b[3], rel_tol=1e-12) for a, b in sums)


def _vacuum(url: str) -> None:
    """Free unused space, so that the size is that of the rows."""
    if url.startswith("sqlite"):
        import sqlite3

        with sqlite3.connect(_path(url)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    else:
        from tests.support.pgserver import execute

        execute(url, "VACUUM FULL ANALYZE correlations")


def _size(url: str) -> int:
    if url.startswith("sqlite"):
        return _path(url).stat().st_size
    import psycopg2

    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('correlations')")
            return int(next(iter(cursor))[0])
    finally:
        connection.close()


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _told(kind: str, result: Result) -> Iterator[str]:
    states = {"raw": result.before, "hourly": result.hourly, "daily": result.daily}
    yield f"{kind}: {result.points:,} points of {METRICS * HOSTS} series over {DAYS} days"
    yield f"  stored in {result.ingest_seconds:.1f} s: {result.points / result.ingest_seconds:,.0f} a second"
    to_hourly, to_daily = result.rollup_seconds
    yield f"  rolled up hourly in {to_hourly:.1f} s, then downsampled daily in {to_daily:.1f} s"
    for name, state in states.items():
        size, each = state.size / 1e6, state.size / state.rows
        yield f"  {name:7} {state.rows:>9,} rows {size:>7.1f} MB {each:>5.0f} bytes a row"
    for question in result.before.seconds:
        times = ", ".join(f"{name} {state.seconds[question] * 1000:,.0f} ms" for name, state in states.items())
        yield f"  {question}: {times}"
    yield f"  count, min and max equal, sums within 1e-12: {'yes' if result.same else 'NO'}"


def main() -> int:
    """Run it; 1 if an answer changed."""
    options = arguments_of(__doc__ or "", points=1_000_000)
    right = True
    for kind in options.databases:
        with database(kind) as url:
            result = run(url, options.points)
        right = right and result.same
        print("\n".join(_told(kind, result)), flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
