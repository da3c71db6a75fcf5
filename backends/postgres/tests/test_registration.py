"""Registration of an occurrence while a stopped run of the same id holds its rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ciris_store_core.conformance.factories import occurrence, task
from ciris_store_core.errors import Unavailable
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_postgres.backend import PostgresBackend

from .support import store_at

pytestmark = pytest.mark.postgres

FROZEN_RUN = """
import sys, time
from ciris_store_core import open_store

with open_store(sys.argv[1]).transaction() as tx:
    {write}
    print("holding", flush=True)
    time.sleep(600)
"""
WRITES = {
    "occurrence": "assert tx.occurrences.heartbeat('a')",
    "task": "assert tx.tasks.update('t', occurrence_id='a', priority=3)",
}
TEXTS = {
    "occurrence": "another run of occurrence 'a' has a transaction open that holds its row. If its process is stopped",
    "task": "another transaction did not release a lock in time",
}


@pytest.mark.parametrize("held", WRITES)
def test_a_registration_waits_for_a_stopped_run_only_so_long(url: str, held: str) -> None:
    with store_at(url) as store:
        store.occurrences.register("a")
        store.tasks.add(task("t", agent_occurrence_id="queue"))
        assert store.tasks.claim_next("a", queue="queue")
        frozen = subprocess.Popen(
            [sys.executable, "-c", FROZEN_RUN.format(write=WRITES[held]), url], stdout=subprocess.PIPE, text=True
        )
        try:
            assert frozen.stdout is not None and frozen.stdout.readline() == "holding\n"
            os.kill(frozen.pid, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(Unavailable, match=TEXTS[held]) as caught:
                store.occurrences.register("a")
            assert 2.5 < time.monotonic() - began < 10
            assert caught.value.retryable
        finally:
            frozen.kill()
            frozen.communicate()
        with store_at(url, RetryPolicy()) as patient:
            patient.occurrences.register("a")
        assert store.tasks.get("t", occurrence_id="queue")


def test_the_limit_ends_with_the_transaction(backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        session.coordination.put_occurrence(occurrence("a"))
        assert session.rows("SHOW lock_timeout") == [("3s",)]  # type: ignore[attr-defined]
    with backend.session(write=True) as session:
        assert session.rows("SHOW lock_timeout") == [("0",)]  # type: ignore[attr-defined]
