"""How the suite gets at a backend.

A harness stands for one store. What the suite asks for beyond opening it is optional, and a test that needs
what the harness cannot do does not run: it says so, and its level is not reached.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.conformance.peers import Peer, open_peer
from ciris_store_core.conformance.wiping import damage
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext, BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.url import StoreURL, build_url, resolve_url


class Harness(ABC):
    """One store of the backend under test, empty when the harness is made."""

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """What the backend is known to do beyond the contract; the suite checks what it declares against this."""

    @abstractmethod
    def open(self, clock: Clock) -> Backend:
        """Open the store and prepare it.

        - It is opened any number of times, one after the other and at the same time; all see the same records.
        - After the last one was closed, or its process was killed, it can be opened again, with what was stored
          [cap: durable].
        """

    def cleanup(self) -> None:  # noqa: B027 - optional
        """Remove the store. All that ``open`` returned was closed before."""

    # --- optional: without these, the tests that need them do not run ----------------------------

    def blank(self, clock: Clock) -> Backend | None:
        """A backend that ``prepare`` was never called on, over another store that has nothing in it, not even a schema.

        Called again, it is the same store. None, the default, where that cannot be had.
        """
        return None

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        """Another process that opens the same store, or, with ``blank``, that of ``blank`` without preparing it.

        ``peers.open_peer`` makes one from a URL. None, the default, where that cannot be had.
        """
        return None

    def corrupt(self, table: str, key: str) -> bool:
        """Damage a stored row, so that the record can no longer be read while its key and times can.

        Args:
            table: ``graph_nodes``, ``correlations``, ``tasks`` or ``thoughts``.
            key: The record's id.

        Returns:
            False, the default, where that cannot be done.
        """
        return False


class UrlHarness(Harness):
    """A store of any installed backend, named by a URL."""

    def __init__(
        self,
        url: str,
        *,
        blank_url: str | None = None,
        registry: Registry | None = None,
        spec: BackendSpec | None = None,
    ) -> None:
        """Look up the backend; nothing is opened yet.

        Args:
            url: Of a store that is empty, or does not exist yet.
            blank_url: Of another one that nobody ever opened, for the tests of its first start.
            registry: Where to look the scheme up; by default among what is installed. Other processes cannot see
                what was registered by hand, so with a registry there are none.
            spec: The backend, where it was looked up before.
        """
        self._url = resolve_url(url)
        self._blank_url = None if blank_url is None else resolve_url(blank_url)
        self._spec = spec or (registry or Registry()).spec_for(self._url.scheme)
        self._has_peers = registry is None
        self._opened = False
        self.blank_used = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the backend declares for this URL; one that its plugin does not declare fails a test."""
        backend = self._spec.factory(self._url, BackendContext(SystemClock()))
        try:
            return backend.capabilities & self._spec.capabilities
        finally:
            backend.close()

    def open(self, clock: Clock) -> Backend:
        """Open the store; the first time it must be empty, as tests would harm what is in it."""
        backend = self._spec.factory(self._url, BackendContext(clock))
        backend.prepare(migrate=True)
        if not self._opened and not backend.is_empty():
            backend.close()
            raise InvalidArgument(f"{self._url} has records in it: give the suite an empty store of its own")
        self._opened = True
        return backend

    def blank(self, clock: Clock) -> Backend | None:
        """The backend of ``blank_url``, if there is one."""
        if self._blank_url is None:
            return None
        self.blank_used = True
        return self._spec.factory(self._blank_url, BackendContext(clock))

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        """A process that opens the URL, or ``blank_url``."""
        url = self._blank_url if blank else self._url
        return open_peer(url_text(url), prepare=not blank) if url is not None and self._has_peers else None

    def corrupt(self, table: str, key: str) -> bool:
        """Damage a row, where the backend is made with the SQL toolkit."""
        with closing(self._spec.factory(self._url, BackendContext(SystemClock()))) as backend:
            backend.prepare(migrate=False)
            return damage(backend, table, key)


def url_text(url: StoreURL) -> str:
    """A URL as text, its password included."""
    return build_url(
        url.scheme,
        username=url.username,
        password=url.password,
        hosts=url.hosts,
        database=url.database,
        options=url.options,
    )
