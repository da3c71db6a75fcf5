"""procrastinate, a queue on PostgreSQL: adding and claiming jobs."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

from typing import Any

from procrastinate import App, SyncPsycopgConnector
from procrastinate.jobs import Job
from procrastinate.sql import queries

from benchmarks import values
from benchmarks.contender import Contender


class WithProcrastinate(Contender):
    """Its synchronous connector; claiming runs the query of its worker, which itself exists for asyncio only."""

    name = "procrastinate"

    def __init__(self, url: str, size: int) -> None:
        self.size = size
        self.app = App(connector=SyncPsycopgConnector(conninfo=url, min_size=1, max_size=4))
        self.app.open()

    def close(self) -> None:
        self.app.close()

    def fill(self, size: int, points: int) -> None:
        """Its schema, and as many jobs as others hold pending tasks."""
        self.app.schema_manager.apply_schema()
        for first in range(0, size // 2, 1000):
            self.app.job_manager.batch_defer_jobs([_job(first + i) for i in range(min(1000, size // 2 - first))])

    def task_add(self, number: int) -> Any:
        # Of another queue and a low priority, so that claiming does not meet what was just added.
        return self.app.job_manager.batch_defer_jobs([_job(number, "added")])[0]

    def claim(self, number: int) -> Any:
        row = self.app.connector.get_sync_connector().execute_query_one(
            queries["fetch_job"], queues=["default"], worker_id=None
        )
        return Job.from_row(row)


def _job(number: int, queue: str = "default") -> Job:
    return Job(
        id=None,
        queue=queue,
        lock=None,
        queueing_lock=None,
        task_name="answer",
        priority=number % 11,
        task_kwargs={"description": values.description(number), "context": values.task_context(number)},
    )
