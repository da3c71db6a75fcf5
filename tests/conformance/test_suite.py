"""The suite itself: its form, and that it notices what it is for."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance import Clause, Harness, UrlHarness, suite
from ciris_store_core.conformance.factories import node, task
from ciris_store_core.conformance.support import BackgroundCall, exact, pages, race, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import InvalidArgument, Unavailable
from ciris_store_core.models.paging import PageRequest, ResultPage

TESTS: list[Callable[..., Any]] = [
    method
    for name in suite.__all__
    for method_name, method in inspect.getmembers(getattr(suite, name), inspect.isfunction)
    if method_name.startswith("test_")
]


def test_every_test_names_its_clause() -> None:
    clauses = [test.clause for test in TESTS]  # type: ignore[attr-defined]
    assert len(clauses) > 200
    assert all(isinstance(each, Clause) and re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)+", each.id) for each in clauses)
    assert [id for id, times in Counter(each.id for each in clauses).items() if times > 1] == []


def test_every_test_says_what_a_user_loses() -> None:
    assert [test.__qualname__ for test in TESTS if not (test.__doc__ or "").startswith("Otherwise ")] == []


def test_every_class_of_the_suite_is_exported() -> None:
    classes = {name for name in vars(suite) if name.startswith("Test")}
    assert classes == set(suite.__all__)


def test_a_store_with_records_is_refused() -> None:
    with closing(UrlHarness("memory://full").open(ManualClock())) as backend:
        with writing(backend) as session:
            session.tasks.add([task()])
        with pytest.raises(InvalidArgument, match="empty store"):
            UrlHarness("memory://full").open(ManualClock())


def test_the_fifteen_lines_of_an_author(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from ciris_store_core.conformance import UrlHarness
        from ciris_store_core.conformance.suite import TestOccurrences

        pytest_plugins = ["ciris_store_core.conformance.plugin"]

        @pytest.fixture
        def harness(request):
            harness = UrlHarness(f"memory://{request.node.name}")
            yield harness
            harness.cleanup()
        """
    )
    pytester.runpytest_inprocess("-m", "core").assert_outcomes(passed=5)
    pytester.runpytest_inprocess("-m", "durable").assert_outcomes(deselected=5)


def test_without_a_harness_nothing_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from ciris_store_core.conformance.suite import TestOccurrences
        pytest_plugins = ["ciris_store_core.conformance.plugin"]
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=5)
    result.stdout.fnmatch_lines(["*define a fixture named harness*"])


# --- what the tests are made of -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0.0, False), (0.0, -0.0), ([1], [1.0]), ({"a": 1}, {"a": 1.0}), ("e\u0301", "\u00e9")],
)
def test_exact_tells_types_apart(one: Any, other: Any) -> None:
    assert exact(one) != exact(other)
    assert exact(node(attributes={"k": one})) != exact(node(attributes={"k": other}))


def test_exact_ignores_the_order_of_keys() -> None:
    assert exact({"a": 1, "b": {"c": 2, "d": 3}}) == exact({"b": {"d": 3, "c": 2}, "a": 1})


def test_pages_notices_a_listing_that_stands_still() -> None:
    with pytest.raises(AssertionError, match="itself"):
        pages(lambda query: ResultPage([1], next_after=("a",)), PageRequest(1))


def test_pages_notices_a_page_that_is_too_long() -> None:
    with pytest.raises(AssertionError, match="limit"):
        pages(lambda query: ResultPage([1, 2]), PageRequest(1))


def test_race_passes_on_what_a_thread_raised() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise KeyError(number)
        return number

    with pytest.raises(KeyError):
        race(4, work)
    assert race(3, work) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        BackgroundCall(lambda: 1 // 0).result()


def test_transact_retries_only_what_may_be_retried() -> None:
    with closing(UrlHarness("memory://transact").open(ManualClock())) as backend:
        calls: list[int] = []

        def busy(session: Session) -> int:
            calls.append(1)
            if len(calls) < 3:
                raise Unavailable("busy")
            return len(calls)

        def wrong(session: Session) -> None:
            calls.append(1)
            raise InvalidArgument("wrong")

        assert transact(backend, busy) == 3
        with pytest.raises(InvalidArgument):
            transact(backend, wrong)
        assert len(calls) == 4


def test_the_optional_parts_of_a_harness() -> None:
    class Least(Harness):
        capabilities = frozenset()

        def open(self, clock: object) -> Backend:
            raise NotImplementedError

    least = Least()
    assert (least.blank(ManualClock()), least.corrupt("tasks", "t")) == (None, False)
    least.cleanup()
