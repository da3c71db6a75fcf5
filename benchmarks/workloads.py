"""Workloads, and their permitted cost (design section 4)."""

from __future__ import annotations

from dataclasses import dataclass

GOALS = {
    ("sqlite", "write"): 1.5,
    ("sqlite", "read"): 2.5,
    ("sqlite", "bulk"): 1.5,
    ("sqlite", "recall"): 2.0,
    ("postgres", "write"): 1.15,
    ("postgres", "read"): 1.3,
    ("postgres", "bulk"): 1.5,
    ("postgres", "recall"): 2.0,
}
"""Times the raw driver, at most."""

GROWTH_GOAL = 1.5
"""Times the same operation on a store of ten thousand, at most."""


@dataclass(frozen=True)
class Workload:
    """One thing to do, over and over."""

    name: str
    title: str
    kind: str | None
    """Which goal holds, if one does."""
    rounds: int = 30
    """Measured in turns with the other contenders."""
    grows: bool = False
    """Also measured at growing sizes."""
    level: bool = False
    """May cost no more on a large store than on a small one."""
    consumes: bool = False
    """Uses up a pending task at each call."""

    def goal(self, database: str) -> float | None:
        """Permitted multiple of the raw driver's time; None if the design names no goal."""
        return GOALS.get((database, self.kind or ""))


WORKLOADS = (
    Workload("task_add", "add a task", "write", grows=True),
    Workload("task_get", "get a task by id", "read", grows=True, level=True),
    Workload("task_update", "update a task", "write", grows=True),
    Workload("task_list", "list 20 pending tasks", "read", grows=True, level=True),
    Workload("claim", "claim a task", "write", grows=True, level=True, consumes=True),
    Workload("transaction", "transaction of 20 operations", None),
    Workload("node_insert", "insert a node", "write", grows=True),
    Workload("node_merge", "merge a node", "write", grows=True),
    Workload("node_get", "get a node by key", "read", grows=True, level=True),
    Workload("metric_add", "record a metric", "write", grows=True),
    Workload("metrics_bulk", "record 10,000 metrics", "bulk", rounds=7),
    Workload("metrics_bulk_records", "the same as full records, by add_many", None, rounds=7),
    Workload("metric_get", "get a correlation by id", "read", grows=True, level=True),
    Workload("recall", "recall 1,000 points", "recall", grows=True, level=True),
    Workload("aggregate", "hourly averages of a day", "read", grows=True, level=True),
)
