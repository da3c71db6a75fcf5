"""Correlations that a transaction locks in order to update them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ciris_store_core.conformance.factories import at, correlation
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.correlations import add, get
from ciris_store_core.conformance.support import everything, exact, race, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models import Correlation
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery

Reader = Callable[[Session], list[Correlation]]


def lock(session: Session) -> list[Correlation]:
    """The one correlation, by its id."""
    return session.correlations.lock(["c"])


def find_locked(session: Session) -> list[Correlation]:
    """The one correlation, by a filter."""
    return session.correlations.find_locked(CorrelationQuery(where=CorrelationFilter(action_type="speak"))).items


class TestLocks:
    """``CorrelationStore.lock`` and ``find_locked``."""

    @clause("correlations.lock.existing")
    def test_what_is_locked_is_returned(self, backend: Backend) -> None:
        """Otherwise a summary that is there is taken for a new one, or changes by being looked at."""
        add(backend, correlation("a", tags={"k": "v"}), correlation("b"))
        with writing(backend) as session:
            assert session.correlations.lock([]) == []
            found = session.correlations.lock(["b", "?", "a"])
        assert {each.correlation_id for each in found} == {"a", "b"} and len(found) == 2
        assert exact(get(backend, "a")) == exact(correlation("a", tags={"k": "v"}))

    @clause("correlations.find_locked.page")
    def test_a_locked_page_is_a_page(self, backend: Backend) -> None:
        """Otherwise rollup passes over what it is to reduce, or reduces what it must not."""
        add(backend, *(correlation(f"c{i}", timestamp=at(i // 2)) for i in range(7)), correlation("d", action_type="x"))
        query = CorrelationQuery(limit=3, where=CorrelationFilter(action_type="speak"))
        with writing(backend) as session:
            found = everything(session.correlations.find_locked, query)
            assert session.correlations.find_locked(query) == session.correlations.find(query)
        assert [each.correlation_id for each in found] == [f"c{i}" for i in range(7)]

    @pytest.mark.parametrize("read", [lock, find_locked])
    @clause("correlations.lock.keeps", Level.CONCURRENT)
    def test_what_is_locked_stays(self, backend: Backend, read: Reader) -> None:
        """Otherwise two that add to one record at the same time lose what one of them added."""
        add(backend, correlation(metadata={"n": 0}))

        def count(session: Session) -> bool:
            for row in read(session):
                return session.correlations.update("c", {"metadata": {"n": row.metadata["n"] + 1}})
            return False

        def count_three(number: int) -> int:
            done = 0
            while done < 3:
                done += transact(backend, count)
            return done

        assert sum(race(6, count_three)) == 18
        assert get(backend, "c").metadata == {"n": 18}
