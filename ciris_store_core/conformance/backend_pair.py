"""A backend under test and the reference, driven by one script: every call is made to both, and the answers compared.

``Pair`` looks like a backend, so that a script is plain Python, and the one that is printed when the answers differ
is the one that was run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.harness import Harness, UrlHarness
from ciris_store_core.conformance.support import everything, exact, pages
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import StoreError
from ciris_store_core.inmemory import MemoryBackend
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import AggregatePoint, AggregateQuery, CorrelationQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

UNORDERED = frozenset({"get", "lock", "get_nodes", "get_edges", "neighbours"})
"""Methods whose answer has no order."""
WHOLE = frozenset({"points"})
"""Listings that may be cut into pages anywhere, so that only the whole can be compared."""
SUM_TOLERANCE = 1e-12
"""How far sums and means may be apart, relative."""


class Disagreement(AssertionError):
    """The backend under test gave another answer than the reference. The message holds both."""


class Unusable(Exception):
    """A script makes a call that the contract does not know: the reference raised what is no error of a store."""


class Stop(Exception):
    """What a script raises to leave a block early."""


class _Refused(Exception):
    """Ends a transaction that cannot go on after a refused call."""


def canonical(method: str, answer: Any, arguments: tuple[Any, ...]) -> Any:
    """A form of an answer that is equal wherever the contract asks for the same answer, types included."""
    if method == "aggregate":
        return [_point(point, arguments[0]) for point in answer]
    form = plain(answer)
    return sorted(form, key=repr) if method in UNORDERED else form


def plain(value: Any) -> Any:
    """Records, pages, tuples and JSON as nested plain values that are equal only where the types are too."""
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, [(field.name, plain(getattr(value, field.name))) for field in fields(value)])
    if isinstance(value, Mapping) and not isinstance(value, Record):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    return exact(value)


def _point(point: AggregatePoint, query: AggregateQuery) -> Any:
    form = dict(plain(point)[1])
    return _Near(form, point.value) if query.function in ("sum", "avg") else form


class _Near:
    """A point whose value need not be the same to the last digit."""

    def __init__(self, form: dict[str, Any], value: float) -> None:
        self._form = {**form, "value": type(value).__name__}
        self._value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Near):
            return NotImplemented
        return self._form == other._form and math.isclose(self._value, other._value, rel_tol=SUM_TOLERANCE)

    __hash__ = None  # type: ignore[assignment]


class _Outcome:
    """What a call returned or raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.answer: Any = None
        self.error: Exception | None = None
        try:
            self.answer = call()
        except Exception as error:
            self.error = error

    def form(self, method: str, arguments: tuple[Any, ...]) -> Any:
        return type(self.error) if self.error else canonical(method, self.answer, arguments)

    def __str__(self) -> str:
        return f"raised {self.error!r}" if self.error else f"answered {self.answer!r}"


class _Store:
    """One aggregate of both backends."""

    def __init__(self, session: PairSession, name: str) -> None:
        self._session, self._name = session, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._session.call, self._name, method)


class PairSession:
    """One transaction of both backends.

    - A call returns what the reference returned.
    - Where both refuse a call, the error is returned, and the script goes on, as the contract allows with savepoints;
      where the transaction cannot go on, it ends there.
    """

    def __init__(
        self, reference: Session, tested: Session, *, goes_on: bool, thread: ThreadPoolExecutor | None = None
    ) -> None:
        """Drive two open transactions; the calls of ``tested`` are made in ``thread`` where there is one."""
        self._reference, self._tested, self._goes_on, self._thread = reference, tested, goes_on, thread

    def __getattr__(self, name: str) -> _Store:
        """An aggregate, as of a session."""
        return _Store(self, name)

    def call(self, store: str, method: str, *arguments: Any) -> Any:
        """Make a call to both and compare; raises ``Disagreement``."""
        expected = _Outcome(partial(_answer, self._reference, store, method, *arguments))
        if expected.error is not None and not isinstance(expected.error, StoreError):
            raise Unusable(f"{store}.{method}: {expected.error!r}") from expected.error
        got = _Outcome(partial(self._in_thread, partial(_answer, self._tested, store, method, *arguments)))
        if expected.form(method, arguments) != got.form(method, arguments):
            raise Disagreement(f"{store}.{method}: the reference {expected}\nand the backend under test {got}")
        if expected.error is None:
            return expected.answer
        if not self._goes_on:
            raise _Refused
        return expected.error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction of both."""
        with self._reference.savepoint(), self._tested.savepoint():
            yield

    def _in_thread(self, call: Callable[[], Any]) -> Any:
        return call() if self._thread is None else self._thread.submit(call).result()


def _answer(session: Session, store: str, method: str, *arguments: Any) -> Any:
    function = getattr(getattr(session, store), method)
    return everything(function, *arguments) if method in WHOLE else function(*arguments)


class Pair:
    """A backend under test and the reference, in the shape of one backend."""

    def __init__(self, harness: Harness) -> None:
        """Open the empty store of the harness, and a reference beside it."""
        self._harness = harness
        self._clock = ManualClock(T0)
        self._reference = MemoryBackend(self._clock)
        self._reference.prepare(migrate=True)
        self._tested: Backend = harness.open(self._clock)
        self.capabilities = self._tested.capabilities
        self._writing = False

    @contextmanager
    def session(self, *, write: bool, single: bool = False) -> Iterator[PairSession]:
        """A transaction of both. One that reads beside an open one that writes has a thread of its own."""
        goes_on = Capability.SAVEPOINTS in self.capabilities and not single
        outer, thread = self._writing, ThreadPoolExecutor(1) if self._writing else None
        context = self._tested.session(write=write, single=single)
        tested = context if thread is None else _InThread(thread, context)
        self._writing = outer or write
        try:
            # Beyond both transactions, so that both are rolled back.
            with suppress(_Refused), self._reference.session(write=write, single=single) as first, tested as second:
                yield PairSession(first, second, goes_on=goes_on, thread=thread)
        finally:
            self._writing = outer
            if thread is not None:
                thread.shutdown()

    def reopen(self) -> None:
        """Close the backend under test and open it again, where it is durable."""
        if Capability.DURABLE in self.capabilities:
            self._tested.close()
            self._tested = self._harness.open(self._clock)

    def close(self) -> None:
        """Close both."""
        self._tested.close()
        self._reference.close()


class _InThread(AbstractContextManager[Session]):
    """A transaction that begins and ends in a thread of its own."""

    def __init__(self, thread: ThreadPoolExecutor, context: AbstractContextManager[Session]) -> None:
        self._thread, self._context = thread, context

    def __enter__(self) -> Session:
        return self._thread.submit(self._context.__enter__).result()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._thread.submit(self._context.__exit__, *raised).result()


def compare(pair: Pair) -> None:
    """Compare everything that is stored."""
    with pair.session(write=False) as session:
        pages(session.graph.list_nodes, NodeQuery())
        pages(session.graph.list_edges, EdgeQuery())
        pages(session.correlations.find, CorrelationQuery())
        pages(session.tasks.find, TaskQuery())
        pages(session.thoughts.find, ThoughtQuery())
        session.coordination.list_occurrences(None)
        session.coordination.list_leases(None)
        pages(lambda page: session.secrets.find(page, None), PageRequest())
        pages(lambda page: session.secrets.list_access(page, None), PageRequest())
        pages(session.audit.find, AuditQuery())
        for chain in session.audit.chains():
            session.audit.anchor(chain)


def replay(script: Callable[[Pair], None], store: str | Harness) -> None:
    """Run a script against the reference and an empty store, given by URL or harness; raises ``Disagreement``."""
    harness = UrlHarness(store) if isinstance(store, str) else store
    try:
        with closing(Pair(harness)) as pair:
            script(pair)
    finally:
        harness.cleanup()
