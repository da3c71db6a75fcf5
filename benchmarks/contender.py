"""Operations of a contender. A contender that cannot do something leaves the method out."""

from __future__ import annotations

from typing import Any


class Contender:
    """One way to do the work, on one open database that holds ``size`` tasks and nodes and at least as many metrics.

    The workloads are methods that take a number, which grows from call to call, and return what a caller would get.
    """

    name: str
    size: int
    only: frozenset[str] | None = None
    """The workloads that it is there for; None: all that it can do."""

    def for_thread(self) -> Contender:
        """A contender for another thread, on the same database; itself where it serves all threads."""
        return self

    def close(self) -> None:
        """Close the database."""

    # --- workloads ------------------------------------------------------------------------------

    def task_add(self, number: int) -> Any:
        """Store a task."""
        raise NotImplementedError

    def task_get(self, number: int) -> Any:
        """Read a task by its id."""
        raise NotImplementedError

    def task_update(self, number: int) -> Any:
        """Change the status and priority of a task."""
        raise NotImplementedError

    def task_list(self, number: int) -> Any:
        """The twenty pending tasks of highest priority."""
        raise NotImplementedError

    def claim(self, number: int) -> Any:
        """Take the pending task of highest priority from the pool."""
        raise NotImplementedError

    def transaction(self, number: int) -> Any:
        """Twenty operations in one transaction: ten tasks added, five read, five changed."""
        raise NotImplementedError

    def node_insert(self, number: int) -> Any:
        """Store a new node."""
        raise NotImplementedError

    def node_merge(self, number: int) -> Any:
        """Merge attributes into a stored node, and return it."""
        raise NotImplementedError

    def node_get(self, number: int) -> Any:
        """Read a node by its key."""
        raise NotImplementedError

    def metric_add(self, number: int) -> Any:
        """Store one metric."""
        raise NotImplementedError

    def metric_get(self, number: int) -> Any:
        """Read a correlation by its id."""
        raise NotImplementedError

    def metrics_bulk(self, number: int) -> Any:
        """Store a batch of metrics, from plain values."""
        raise NotImplementedError

    def metrics_bulk_records(self, number: int) -> Any:
        """Store a batch of metrics as full records."""
        raise NotImplementedError

    def recall(self, number: int) -> Any:
        """The newest 1,000 points of a metric, oldest first."""
        raise NotImplementedError

    def aggregate(self, number: int) -> Any:
        """Hourly averages of a metric over twenty hours."""
        raise NotImplementedError


def can(contender: Contender, workload: str) -> bool:
    """Return True if the contender takes part in a workload."""
    if contender.only is not None:
        return workload in contender.only
    return getattr(type(contender), workload) is not getattr(Contender, workload)
