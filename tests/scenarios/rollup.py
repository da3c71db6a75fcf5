"""Two processes roll up at once, again and again, while points arrive late; one is killed on the way."""

from __future__ import annotations

import itertools
import math
import random
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import GraphNode, Metric, Store, open_store
from ciris_store_core.services import RetentionPlan, RetentionRule, RetentionService
from ciris_store_core.services.retention import RetentionReport
from tests.scenarios.processes import Team, arguments_of, database

PLAN = RetentionPlan((RetentionRule(hourly_after=timedelta(hours=1), daily_after=timedelta(days=3)),), batch_size=50)
DAYS = 5


@dataclass(frozen=True)
class Outcome:
    """Points stored at the end, beside the points written."""

    written: dict[str, list[float]]
    """The values of each series."""
    totals: dict[str, dict[str, float]]
    """Count, min, max and sum that the store gives for each."""
    raw: int
    """Rows that were not rolled up."""
    nodes: int
    """Graph nodes that were written beside points and still exist."""

    @property
    def right(self) -> bool:
        """True if every point is counted once, and all old rows were rolled up."""
        return self.raw == self.nodes == 0 and all(
            totals["count"] == len(values)
            and totals["min"] == min(values)
            and totals["max"] == max(values)
            and math.isclose(totals["sum"], math.fsum(values), rel_tol=1e-12)
            for values, totals in ((self.written[name], self.totals[name]) for name in self.written)
        )


def roll_up(url: str, points: int, rounds: int, *, together: bool = True) -> Outcome:
    """Write points in rounds while two processes roll up; one of them is killed in each round.

    ``together``: both at once, without the lease, as if it had expired while one was paused.
    """
    numbers = random.Random(3)
    written: dict[str, list[float]] = {}
    for _ in range(rounds):
        with Team(_rollup_of, [(url, together), (url, together)]) as team:
            for _ in range(4):
                _write(url, numbers, written, points // rounds // 4)
            team.hear(0)
            team.signal(0, signal.SIGKILL)
            _write(url, numbers, written, 10)
            team.hear(1)
    with open_store(url) as store:
        _without_lease(store)
        return Outcome(written, _totals(store), store.correlations.count(resolution="raw"), store.graph.count())


def _write(url: str, numbers: random.Random, written: dict[str, list[float]], count: int) -> None:
    now = datetime.now(UTC)
    metrics = []
    for _ in range(count):
        name, value = f"m{numbers.randrange(3)}", numbers.uniform(-1e9, 1e9)
        age = timedelta(hours=2) + numbers.random() * timedelta(days=DAYS)
        metrics.append(Metric(name, value, {"host": "a"}, now - age))
        written.setdefault(name, []).append(value)
    with open_store(url) as store, store.transaction() as tx:
        ids = tx.correlations.add_metrics(metrics, retention_policy="downsampled")
        tx.graph.put_many([GraphNode(id=each, type="tsdb_data", scope="local", attributes={}) for each in ids[::7]])


def _rollup_of(pipe: Connection, url: str, together: bool) -> None:
    with open_store(url) as store:
        for turn in itertools.count():
            report = _without_lease(store) if together else RetentionService(store, PLAN, lease_seconds=1).run()
            if turn == 0:
                pipe.send(report.rows)


def _without_lease(store: Store) -> RetentionReport:
    return RetentionService(store, PLAN)._pass(lambda: None)


def _totals(store: Store) -> dict[str, dict[str, float]]:
    names, ever = store.correlations.metric_names(), timedelta(days=36500)
    functions: Any = ("count", "min", "max", "sum")
    return {
        name: {
            function: store.correlations.aggregate(function, ever, metric_name=name)[0].value for function in functions
        }
        for name in names
    }


def main() -> int:
    """Run the scenario; return 1 if a total is wrong."""
    options = arguments_of(__doc__ or "", points=20_000, rounds=10)
    right = True
    for kind in options.databases:
        for together in (True, False):
            with database(kind) as url:
                outcome = roll_up(url, options.points, options.rounds, together=together)
            counts = {name: int(totals["count"]) for name, totals in outcome.totals.items()}
            print(f"{kind}, {'both at once' if together else 'under the lease'}: {counts}, right: {outcome.right}")
            right = right and outcome.right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
