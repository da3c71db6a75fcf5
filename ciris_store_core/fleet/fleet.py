"""Fleet: the stores of many agents under one URL."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet, WeakValueDictionary

from ciris_store_core.clock import SystemClock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.contract.fleet import AgentPlace, FleetBackend, FleetNode, check_agent
from ciris_store_core.contract.hookspecs import BackendContext, BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidArgument, NotFound, NotSupported, StoreClosed, StoreError
from ciris_store_core.fleet.reopening import ReopeningBackend
from ciris_store_core.opening import open_target
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking
from ciris_store_core.url import StoreURL, resolve_url

MOST_OPEN = 100
"""The default of ``most_open``. Each open SQLite store holds six file descriptors or more, of 1,024 as a rule."""


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """State of a fleet's nodes, and of its agents if they were asked for."""

    nodes: list[FleetNode]
    problems: Mapping[str, str]
    """Agents whose store cannot be opened by this program, with the reason."""

    @property
    def ok(self) -> bool:
        """True if no problem was found."""
        return not self.problems and all(node.problem is None for node in self.nodes)


class Fleet(Blocking):
    """The stores of many agents. It is thread-safe; close it, or use it as a context manager.

    On SQLite each agent has a file in the folder that the URL names, on PostgreSQL a schema in its database. All stores
    of one server share a connection pool. A store is opened by ``store``, closed while it is idle and others need its
    place, and opened again by its next call.
    """

    def __init__(
        self,
        target: StoreURL,
        spec: BackendSpec,
        *,
        most_open: int = MOST_OPEN,
        idle_seconds: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        """Called by ``open_fleet``."""
        if most_open < 1 or idle_seconds < 0:
            raise InvalidArgument("most_open must be at least 1, and idle_seconds at least 0")
        if spec.open_fleet is None:
            raise NotSupported(f"{spec.name} has no fleets. Use an sqlite:// or postgresql:// URL.")
        self._url = str(target)
        self._target, self._spec, self._options = target, spec, options
        self._backend: FleetBackend = spec.open_fleet(target)
        self._most_open = most_open
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._opening: WeakValueDictionary[str, _Slot] = WeakValueDictionary()
        # A store whose database is closed is kept by its users alone. One that is open is kept here as well.
        self._stores: WeakValueDictionary[str, Store] = WeakValueDictionary()
        self._backends: WeakSet[ReopeningBackend] = WeakSet()
        self._open: dict[str, Store] = {}
        self._closed = False

    def __repr__(self) -> str:
        """Return the class name and the URL without its password."""
        return f"Fleet({self._url!r})"

    def store(self, agent: str, *, create: bool = True) -> Store:
        """Return the store of an agent, opened and migrated; the same one while the caller keeps a reference.

        The fleet closes it. A call on it may open the database again.

        Args:
            agent: The name: up to 60 of ``a-z``, ``0-9``, ``_`` and ``-``.
            create: Create the store if there is none.

        Raises:
            InvalidArgument: The name cannot be used.
            StoreClosed: The fleet is closed.
            StoreError: As raised by ``open_store``.
        """
        check_agent(agent)
        with self._lock:
            if self._closed:
                raise StoreClosed("the fleet is closed. Open it again.")
            slot = self._opening.setdefault(agent, _Slot())
        # Opening may wait for a server: only callers of the same agent wait with it.
        with slot.lock:
            found = self._stores.get(agent)
            if found is None:
                found = self._stores[agent] = self._opened(agent, create)
                with self._lock:
                    self._open[agent] = found
            return found

    def _opened(self, agent: str, create: bool) -> Store:
        def make(_: StoreURL, context: BackendContext) -> Backend:
            backend = ReopeningBackend(
                agent,
                self._spec.name,
                self._spec.capabilities,
                lambda: self._backend.open(agent, context.clock, migrate=context.migrate, create=context.create),
                self._make_room,
                self._monotonic,
            )
            with self._lock:
                self._backends.add(backend)
            return backend

        options = self._options if create else {**self._options, "create": False}
        return open_target(self._backend.url_of(agent), make, **options)

    def _make_room(self, wanted: ReopeningBackend) -> None:
        """Close the stores that were idle for long, and those used least recently if too many are open."""
        with self._lock:
            if (store := self._stores.get(wanted.agent)) is not None:
                self._open[wanted.agent] = store
            opened = [each for each in self._backends if each.is_open and each is not wanted]
        opened.sort(key=lambda each: each.last_used)
        excess = len(opened) + 1 - self._most_open
        stale = self._monotonic() - self._idle_seconds
        for number, each in enumerate(opened):
            if number >= excess and each.last_used > stale:
                break
            self._close_if_idle(each)

    def _close_if_idle(self, backend: ReopeningBackend) -> bool:
        # First forgotten, then closed: a call that opens it again meanwhile adds it again after that.
        with self._lock:
            store = self._open.pop(backend.agent, None)
        if backend.close_if_idle():
            return True
        if store is not None:
            with self._lock:
                self._open[backend.agent] = store
        return False

    # --- operation ------------------------------------------------------------------------------

    def agents(self) -> list[AgentPlace]:
        """Return the agents that have a store, by name, each with its node."""
        return self._backend.agents()

    def create(self, agent: str) -> None:
        """Create the store of an agent, or migrate the one that exists."""
        self.store(agent)

    def move(self, agent: str, node: str) -> None:
        """Move an agent's data to another node of the cluster; its writers go on.

        Raises:
            NotFound: There is no such agent or node.
            NotSupported: The fleet has one node only.
        """
        if check_agent(agent) not in {place.agent for place in self.agents()}:
            raise NotFound(f"there is no agent {agent!r}", kind="agent", key=agent, hint="List them with agents().")
        self._backend.move(agent, node)
        self.close_idle(seconds=0)  # opened again, a store is reached at its new node

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each agent's store by name, indexes included."""
        return self._backend.sizes()

    def health(self, *, agents: bool = False) -> FleetHealth:
        """Return the state of each node. With ``agents``, open each store without migrating it, and report failures."""
        problems = {}
        for place in self.agents() if agents else ():
            try:
                self._probe(place.agent)
            except StoreError as error:
                problems[place.agent] = str(error)
        return FleetHealth(self._backend.nodes(), problems)

    def _probe(self, agent: str) -> None:
        backend = self._backend.open(agent, SystemClock(), migrate=False, create=False)
        try:
            backend.prepare(migrate=False)
        finally:
            backend.close()

    def stats(self) -> Mapping[str, Any]:
        """Return counters: the stores that exist in this process, those that are open, and the backend's own."""
        with self._lock:
            backends = list(self._backends)
        opened = sum(each.is_open for each in backends)
        return {"stores": len(backends), "open": opened, **self._backend.stats()}

    def close_idle(self, *, seconds: float | None = None) -> int:
        """Close the stores that no call has used for so long, by default ``idle_seconds``. Return their number."""
        with self._lock:
            backends = list(self._backends)
        before = self._monotonic() - (self._idle_seconds if seconds is None else seconds)
        return sum(each.is_open and each.last_used <= before and self._close_if_idle(each) for each in backends)

    def close(self) -> None:
        """Close all stores. Idempotent."""
        with self._lock:
            self._closed = True
            stores, backends = list(self._stores.values()), list(self._backends)
            self._open.clear()
        for store in stores:
            store.close()
        for backend in backends:
            backend.close()
        self._backend.close()

    def __enter__(self) -> Self:
        """Return the fleet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the fleet."""
        self.close()


class _Slot:
    """Lock of one agent, for as long as a thread opens its store."""

    def __init__(self) -> None:
        self.lock = Lock()


def open_fleet(
    url: str | os.PathLike[str] | None = None,
    *,
    most_open: int = MOST_OPEN,
    idle_seconds: float = 300.0,
    **options: Any,
) -> Fleet:
    """Open the stores of many agents that a URL names. No store is opened yet.

    Args:
        url: ``sqlite:///agents`` for the folder ``agents`` with a file for each agent, or a PostgreSQL database, with a
            schema for each agent; ``pool_size`` then limits the connections to each server. By default the environment
            variable ``CIRIS_DB_URL``.
        most_open: How many stores are open at the same time, unless more are in use.
        idle_seconds: Seconds after which an unused store is closed when another one is opened.
        options: Those of ``open_store``, for each store.

    Raises:
        InvalidURL: The URL is malformed, or no installed backend serves it.
        NotSupported: The backend has no fleets.
    """
    try:
        target = resolve_url(url)
    finally:
        del url  # It may hold a password, which a traceback with local variables would show.
    seams = options.get("testing")
    registry = (seams.registry if seams else None) or Registry()
    spec = registry.spec_for(target.scheme)
    return Fleet(target, spec, most_open=most_open, idle_seconds=idle_seconds, **options)
