"""Transactions that wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ciris_store_core.conformance.calls import Call, M, N, fill
from ciris_store_core.conformance.factories import LOCAL, task
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.scheduling import SETTLE
from ciris_store_core.conformance.suite.interleavings import LATER
from ciris_store_core.conformance.support import race, reading, transact
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models import NodeKey


def count_task(id: str) -> Call:
    """Return an addition to the counter of a task."""

    def count(session: Session) -> Any:
        [found] = session.tasks.lock([id], None)
        return session.tasks.update(id, {"metadata": {"n": found.metadata.get("n", 0) + 1}}, None, None)

    return count


def count_node(id: str) -> Call:
    """Return an addition to the counter of a node."""
    return lambda s: s.graph.increment(NodeKey(id, LOCAL), ["count"], 1, LATER)


class TestDeadlocks:
    """Transactions that lock the same records in opposite orders."""

    @pytest.mark.parametrize("count", [count_task, count_node])
    @clause("session.deadlock", Level.CONCURRENT)
    def test_the_loser_can_try_again(self, backend: Backend, count: Callable[[str], Call]) -> None:
        """Otherwise two transactions that wait for each other hang, or one of them is lost or stored in part."""
        transact(backend, fill)
        transact(backend, lambda s: s.tasks.add([task(id) for id in "nm"]))
        both = threading.Barrier(2)

        def work(number: int) -> None:
            first, second = ("n", "m") if number == 0 else ("m", "n")

            def run(session: Session) -> None:
                count(first)(session)
                # Passed at once where one transaction writes at a time: then the other one cannot come here.
                with suppress(threading.BrokenBarrierError):
                    both.wait(SETTLE)
                count(second)(session)

            transact(backend, run)  # raises any error that is not retryable

        race(2, work)
        with reading(backend) as session:
            nodes = session.graph.get_nodes([N, M], None)
            tasks = session.tasks.get(["n", "m"], None)
        counts = [each.metadata.get("n") for each in tasks] + [each.attributes.get("count") for each in nodes]
        assert counts.count(2) == 2, counts
