"""Scripts that peers run. Each is a function over an open backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import READS, form, offered
from ciris_store_core.conformance.factories import LOCAL, T0, at, correlation, edge, entry, node, put, task, thought
from ciris_store_core.conformance.scripts_of_payloads import PAYLOAD_SCRIPTS
from ciris_store_core.conformance.support import everything, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.models.graph import NodeKey
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.url import resolve_url

T = TypeVar("T")


class Signal(Protocol):
    """Callback by which a script reports that it reached a point; with ``wait`` it waits there."""

    def __call__(self, point: str, value: Any = None, *, wait: bool = False) -> None:
        """Report the point."""
        ...


def open_backend(url: str, prepare: bool, factory: str | None = None) -> Backend:
    """Return the backend of a URL, made by the ``module:function`` given, else by the installed plugin."""
    parsed = resolve_url(url)
    if factory is None:
        make = Registry().spec_for(parsed.scheme).factory
    else:
        module, _, function = factory.partition(":")
        make = getattr(import_module(module), function)
    backend: Backend = make(parsed, BackendContext(ManualClock(T0)))
    if prepare:
        backend.prepare(migrate=True)
    return backend


class Pausing(list[T]):
    """List that calls a function when an iteration reaches its middle."""

    def __init__(self, items: list[T], pause: Callable[[], None]) -> None:
        """Call ``pause`` once, before the first iteration yields the item in the middle."""
        super().__init__(items)
        self._pause = pause
        self.paused = False

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        for number, item in enumerate(super().__iter__()):
            if number == len(self) // 2 and not self.paused:
                self.paused = True
                self._pause()
            yield item


# --- reading and plain writing ----------------------------------------------------------------


def prepare(backend: Backend, signal: Signal) -> None:
    """Migrate the store to this program's schema."""
    signal("preparing")
    backend.prepare(migrate=True)


def add_tasks(backend: Backend, signal: Signal, ids: list[str]) -> None:
    """Add tasks, one per transaction."""
    for id in ids:
        transact(backend, lambda session, id=id: session.tasks.add([task(id)]))  # type: ignore[misc]


def answers(backend: Backend, signal: Signal) -> dict[str, str]:
    """Return the answer of every read, as text."""
    with reading(backend) as session:
        return {name: repr(form(name, call(session))) for name, call in offered(READS, backend.capabilities).items()}


def task_ids(backend: Backend, signal: Signal) -> list[str]:
    """Return the ids of all tasks, in order."""
    with reading(backend) as session:
        return [each.task_id for each in everything(session.tasks.find, TaskQuery())]


def attributes(backend: Backend, signal: Signal) -> dict[str, Any]:
    """Return the attributes of the node ``n``."""
    with reading(backend) as session:
        [found] = session.graph.get_nodes([NodeKey("n", LOCAL)], None)
        return found.attributes


# --- races ------------------------------------------------------------------------------------


def add_or_get(backend: Backend, signal: Signal, ids: list[str], me: str) -> list[tuple[str, bool]]:
    """Add or get a task for each id. Return who stored it, and True if this call did."""

    def one(id: str) -> tuple[str, bool]:
        stored, created = transact(backend, lambda session: session.tasks.add_or_get(task(id, description=me)))
        return stored.description, created

    return [one(id) for id in ids]


def claim_all(backend: Backend, signal: Signal, me: str) -> list[str]:
    """Claim tasks two at a time until the queue is empty. Return their ids."""
    got: list[str] = []
    while claimed := transact(backend, lambda session: session.tasks.claim_next(me, "default", 2, at(100))):
        got += [each.task_id for each in claimed]
    return got


def merge(backend: Backend, signal: Signal, keys: list[str]) -> None:
    """Add keys to the attributes of the node ``n``, one per transaction."""
    for key in keys:
        write = put(node("n", attributes={key: 1}))
        transact(backend, lambda session, write=write: session.graph.put_nodes([write], T0))  # type: ignore[misc]


def extend_chain(backend: Backend, signal: Signal, times: int) -> None:
    """Append entries to the chain ``default``, one per transaction."""

    def one(session: Session) -> None:
        head = session.audit.head("default")
        session.audit.append([entry(1 if head is None else head[0] + 1)])

    for _ in range(times):
        transact(backend, one)


def leases(backend: Backend, signal: Signal, names: list[str], me: str) -> list[str]:
    """Acquire leases and return the names of those that were acquired."""

    def one(session: Session, name: str) -> bool:
        return session.coordination.acquire_lease(name, me, T0, at(60)) is not None

    return [name for name in names if transact(backend, lambda session, name=name: one(session, name))]  # type: ignore[misc]


# --- work that is interrupted -----------------------------------------------------------------


def lock_lease(backend: Backend, signal: Signal, me: str) -> int:
    """Acquire the lease ``job`` for a minute and return its fencing token."""
    lease = transact(backend, lambda session: session.coordination.acquire_lease("job", me, T0, at(60)))
    assert lease is not None
    return lease.fence


def renew_lease(backend: Backend, signal: Signal, me: str, fence: int) -> bool:
    """Extend the lease ``job``."""
    return transact(backend, lambda session: session.coordination.renew_lease("job", me, fence, at(70), at(90)))


def claim_one(backend: Backend, signal: Signal, me: str) -> int:
    """Claim a task of the queue and return its fencing token."""
    [claimed] = transact(backend, lambda session: session.tasks.claim_next(me, "default", 1, T0))
    return claimed.fence


def finish(backend: Backend, signal: Signal, id: str, fence: int) -> bool:
    """Update a claimed task under a fencing token."""
    changes = {"description": "done", "updated_at": at(99)}
    return transact(backend, lambda session: session.tasks.update(id, changes, None, fence))


def calls_of_all(number: int) -> list[Callable[[Session], object]]:
    """Return the calls that write records of several aggregates that belong together."""
    nodes = [put(node(f"n{number}")), put(node("n", attributes={f"k{number}": number}))]
    return [
        lambda s: s.tasks.add([task(f"t{number}")]),
        lambda s: s.thoughts.add([thought(f"h{number}", f"t{number}")]),
        lambda s: s.correlations.add([correlation(f"c{number}")]),
        lambda s: s.graph.put_nodes(nodes, T0),
        lambda s: s.graph.put_edges([edge(f"n{number}", "n")]),
        lambda s: s.audit.append([entry(number + 1)]),
    ]


def write_all(session: Session, number: int) -> None:
    """Write records of several aggregates that belong together."""
    for call in calls_of_all(number):
        call(session)


def stop_before_commit(backend: Backend, signal: Signal) -> None:
    """Write, and stop before the commit."""
    with writing(backend) as session:
        write_all(session, 1)
        signal("stopped", wait=True)


def stop_within_transaction(backend: Backend, signal: Signal) -> None:
    """Stop in a transaction between a deletion and further writes."""
    with writing(backend) as session:
        session.tasks.delete(["t0"])
        session.graph.delete_nodes([NodeKey("n", LOCAL)])
        signal("stopped", wait=True)
        write_all(session, 1)


def stop_in_batch(backend: Backend, signal: Signal, ids: list[str]) -> None:
    """Stop while the backend iterates over a batch of tasks, or before the commit if it does not iterate."""
    tasks = Pausing([task(id) for id in ids], lambda: signal("stopped", wait=True))
    with writing(backend) as session:
        session.tasks.add(tasks)
        if not tasks.paused:
            signal("stopped", wait=True)


def stop_after_commit(backend: Backend, signal: Signal) -> None:
    """Stop after a commit was acknowledged."""
    with writing(backend) as session:
        write_all(session, 1)
    signal("stopped", wait=True)


def stop_after_single_calls(backend: Backend, signal: Signal) -> None:
    """Stop after calls that are no part of a transaction were acknowledged."""
    for call in calls_of_all(1):
        with backend.session(write=True, single=True) as session:
            call(session)
    signal("stopped", wait=True)


def write_on(backend: Backend, signal: Signal, first: int) -> None:
    """Commit transactions and report each, until killed."""
    number = first
    while True:
        with writing(backend) as session:
            write_all(session, number)
        signal("committed", number)
        number += 1


SCRIPTS: dict[str, Callable[..., Any]] = {
    script.__name__: script
    for script in (
        prepare, add_tasks, answers, task_ids, attributes, add_or_get, claim_all, merge, extend_chain, leases,
        lock_lease, renew_lease, claim_one, finish, stop_before_commit, stop_within_transaction, stop_in_batch,
        stop_after_commit, stop_after_single_calls, write_on, *PAYLOAD_SCRIPTS,
    )
}  # fmt: skip
"""All scripts by name."""
