"""Pair of the backend under test and the reference: each call runs on both, and the results are compared.

``Pair`` has the interface of a backend. So a script is plain Python, and the script that is printed on a disagreement
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
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

UNORDERED = frozenset(
    {"get", "lock", "touch", "info", "get_nodes", "lock_nodes", "get_edges", "lock_edges", "neighbours"}
)
"""Methods whose result has no order."""
BY_CAPABILITY = frozenset({"documents", "streams"})
"""Aggregates that not every backend has."""
WHOLE = frozenset({"points"})
"""Listings whose page boundaries are unspecified, so that only the whole can be compared."""
SUM_TOLERANCE = 1e-12
"""Relative tolerance of sums and means."""


class Disagreement(AssertionError):
    """Raised if the backend under test and the reference return different results. The message holds both."""


class Unusable(Exception):
    """Raised if a script makes a call outside the contract: the reference raised an error that is no ``StoreError``."""


class Stop(Exception):
    """Raised by a script to leave a block early."""


class _Refused(Exception):
    """Raised to end a transaction that cannot continue after a refused call."""


def canonical(method: str, answer: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a form of a result that is equal if and only if the contract calls the results equal, types included."""
    if method == "aggregate":
        return [_point(point, arguments[0]) for point in answer]
    form = plain(answer)
    return sorted(form, key=repr) if method in UNORDERED else form


def plain(value: Any) -> Any:
    """Return records, pages, tuples and JSON as nested plain values that compare types too."""
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
    """Point of a sum or mean, compared with a tolerance."""

    def __init__(self, form: dict[str, Any], value: float) -> None:
        self._form = {**form, "value": type(value).__name__}
        self._value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Near):
            return NotImplemented
        return self._form == other._form and math.isclose(self._value, other._value, rel_tol=SUM_TOLERANCE)

    __hash__ = None  # type: ignore[assignment]


class _Outcome:
    """Outcome of a call: its result or its error."""

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
    """Store of one aggregate on both backends."""

    def __init__(self, session: PairSession, name: str) -> None:
        self._session, self._name = session, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._session.call, self._name, method)


class PairSession:
    """One transaction on both backends.

    - A call returns the result of the reference.
    - If both refuse a call, it returns the error, and the script continues, as the contract allows with savepoints. If
      the transaction cannot continue, it ends there.
    """

    def __init__(
        self, reference: Session, tested: Session, *, goes_on: bool, thread: ThreadPoolExecutor | None = None
    ) -> None:
        """Use two open transactions. Calls of ``tested`` run in ``thread`` if one is given."""
        self._reference, self._tested, self._goes_on, self._thread = reference, tested, goes_on, thread

    def __getattr__(self, name: str) -> _Store:
        """Return the store of an aggregate, as a session does."""
        return _Store(self, name)

    def call(self, store: str, method: str, *arguments: Any) -> Any:
        """Run a call on both and compare the outcomes. Raise ``Disagreement`` if they differ.

        A call of an aggregate that the backend under test does not have is passed over.
        """
        if store in BY_CAPABILITY and not hasattr(self._tested, store):
            return ResultPage([])
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
        """Begin a savepoint on both."""
        with self._reference.savepoint(), self._tested.savepoint():
            yield

    def _in_thread(self, call: Callable[[], Any]) -> Any:
        return call() if self._thread is None else self._thread.submit(call).result()


def _answer(session: Session, store: str, method: str, *arguments: Any) -> Any:
    function = getattr(getattr(session, store), method)
    # A page of points leaves out rows without a value, so it may be short.
    return everything(function, *arguments, full=False) if method in WHOLE else function(*arguments)


class Pair:
    """A backend under test and the reference, in the shape of one backend."""

    def __init__(self, harness: Harness) -> None:
        """Open the empty store of the harness, and a reference."""
        self._harness = harness
        self._clock = ManualClock(T0)
        self._reference = MemoryBackend(self._clock)
        self._reference.prepare(migrate=True)
        self._tested: Backend = harness.open(self._clock)
        self.capabilities = self._tested.capabilities
        self._writing = False

    @contextmanager
    def session(self, *, write: bool, single: bool = False) -> Iterator[PairSession]:
        """Begin a transaction on both. A reader beside an open writer runs in a thread of its own."""
        goes_on = Capability.SAVEPOINTS in self.capabilities and not single
        outer, thread = self._writing, ThreadPoolExecutor(1) if self._writing else None
        context = self._tested.session(write=write, single=single)
        tested = context if thread is None else _InThread(thread, context)
        self._writing = outer or write
        try:
            # Suppressed outside both transactions, so that both are rolled back.
            with suppress(_Refused), self._reference.session(write=write, single=single) as first, tested as second:
                yield PairSession(first, second, goes_on=goes_on, thread=thread)
        finally:
            self._writing = outer
            if thread is not None:
                thread.shutdown()

    def reopen(self) -> None:
        """Close the backend under test and open it again, if it is durable."""
        if Capability.DURABLE in self.capabilities:
            self._tested.close()
            self._tested = self._harness.open(self._clock)

    def close(self) -> None:
        """Close both."""
        self._tested.close()
        self._reference.close()


class _InThread(AbstractContextManager[Session]):
    """Context manager of a transaction that begins and ends in a thread of its own."""

    def __init__(self, thread: ThreadPoolExecutor, context: AbstractContextManager[Session]) -> None:
        self._thread, self._context = thread, context

    def __enter__(self) -> Session:
        return self._thread.submit(self._context.__enter__).result()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._thread.submit(self._context.__exit__, *raised).result()


def compare(pair: Pair) -> None:
    """Compare all stored records."""
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
        pages(session.documents.find, DocumentQuery())
        for page in pages(session.streams.find, StreamQuery()):
            for each in page:
                session.streams.read(StreamKey(each.namespace, each.name), EntryQuery(1000))


def replay(script: Callable[[Pair], None], store: str | Harness) -> None:
    """Run a script on the reference and on an empty store, given by URL or harness. Raise ``Disagreement``."""
    harness = UrlHarness(store) if isinstance(store, str) else store
    try:
        with closing(Pair(harness)) as pair:
            script(pair)
    finally:
        harness.cleanup()
