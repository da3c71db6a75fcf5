"""Helpers of the tests of the pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ciris_store_postgres.connection import PooledConnection
from tests.support.pgserver import execute


class SetClock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def ask(connection: PooledConnection, statement: str = "SELECT pg_backend_pid()") -> Any:
    with connection.raw.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def end_backends(url: str, pids: list[int]) -> None:
    execute(url, f"SELECT pg_terminate_backend(pid, 5000) FROM unnest(ARRAY{pids}) AS pid")


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
