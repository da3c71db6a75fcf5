"""The same work done with procrastinate, a queue on PostgreSQL, where that is installed."""

from __future__ import annotations

import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.scenarios.processes import Team, processes
from tests.support.pgserver import ExternalServer


def report(url: str, tasks: int, workers: int) -> str:
    """One line on its speed, on the same server, in a database of its own."""
    if find_spec("procrastinate") is None or find_spec("psycopg") is None:
        return "procrastinate is not installed: pip install procrastinate psycopg[binary]"
    own = ExternalServer(urlunsplit(urlsplit(url)._replace(path="/postgres"))).create_database()
    return f"{speed(own, tasks, workers):,.0f} jobs/s fetched and finished one by one by procrastinate"


def speed(url: str, tasks: int, workers: int) -> float:
    """Jobs per second that so many processes fetch and finish."""
    _fill(url, tasks)
    barrier = processes.Barrier(workers)
    with Team(_hurry, [(url, barrier)] * workers) as team:
        answers = team.hear_all()
    assert sum(answer[0] for answer in answers) == tasks
    return tasks / (max(answer[2] for answer in answers) - min(answer[1] for answer in answers))


def _app(url: str) -> Any:
    from procrastinate import App, SyncPsycopgConnector

    app = App(connector=SyncPsycopgConnector(conninfo=url, min_size=1, max_size=1))
    app.open()
    return app


def _fill(url: str, tasks: int) -> None:
    from procrastinate.jobs import Job

    app = _app(url)
    app.schema_manager.apply_schema()
    for first in range(0, tasks, 1000):
        numbers = range(first, min(first + 1000, tasks))
        common = {"id": None, "queue": "default", "lock": None, "queueing_lock": None, "task_name": "show"}
        app.job_manager.batch_defer_jobs([Job(**common, priority=n % 11, task_kwargs={"d": "d"}) for n in numbers])
    app.close()


def _hurry(pipe: Connection, url: str, barrier: Any) -> None:
    from procrastinate.sql import queries

    app = _app(url)
    connector = app.connector.get_sync_connector()
    count = 0
    barrier.wait()
    began = time.monotonic()
    while True:
        job = connector.execute_query_one(queries["fetch_job"], queues=["default"], worker_id=None)
        if job["id"] is None:
            break
        connector.execute_query(queries["finish_job"], job_id=job["id"], status="succeeded", delete_job=False)
        count += 1
    pipe.send((count, began, time.monotonic()))
    app.close()
