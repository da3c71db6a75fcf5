"""Harness: the interface by which the suite opens, reopens, damages and removes a store of the backend under test.

A harness stands for one store. Only ``capabilities`` and ``open`` are required. A test that needs another method does
not run without it: the report gives the reason, and the level of the test is not reached. The tests that need
``store_file``, ``open_backup`` or ``open_impatient`` do not apply without it: not every database has such things.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.conformance.instruments import Instrument, SqlInstrument
from ciris_store_core.conformance.peers import Peer, open_peer
from ciris_store_core.conformance.wiping import add_later_migration, damage
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext, BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidArgument, InvalidURL
from ciris_store_core.sql import SqlSession
from ciris_store_core.url import StoreURL, build_url, resolve_url


class Harness(ABC):
    """One store of the backend under test, empty when the harness is created."""

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """Return the expected capabilities; the suite compares the backend's declaration with them."""

    @abstractmethod
    def open(self, clock: Clock) -> Backend:
        """Open the store and prepare it.

        - It is opened any number of times, in sequence and in parallel; all see the same records.
        - After the last one was closed, or its process was killed, the store can be opened again with its records
          [cap: durable].
        """

    def cleanup(self) -> None:  # noqa: B027 - optional
        """Remove the store. Every backend that ``open`` returned was closed before."""

    # --- optional: tests that need one of these do not run without it ----------------------------

    def blank(self, clock: Clock) -> Backend | None:
        """Return an unprepared backend over a second store that is empty and has no schema.

        Every call uses the same second store. The default returns None: there is no such store.
        """
        return None

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        """Start another process that opens the same store or, with ``blank``, the unprepared store of ``blank``.

        ``peers.open_peer`` starts one from a URL. The default returns None: there are no other processes.
        """
        return None

    def corrupt(self, table: str, key: str) -> bool:
        """Damage a stored row so that its record cannot be decoded, while its key and times can be read.

        Args:
            table: ``graph_nodes``, ``correlations``, ``tasks`` or ``thoughts``.
            key: The record's id.

        Returns:
            True if the row was damaged. The default returns False.
        """
        return False

    @property
    def passwords(self) -> tuple[str, ...]:
        """Return the passwords by which the store is opened, which no report may show."""
        return ()

    def instrument(self, backend: Backend) -> Instrument | None:
        """Return an instrument that counts the steps of the open stores, and lets one fail.

        The default returns None: what happens if the driver fails is not tested, and no cost is.
        """
        return None

    def migrate_further(self, backend: Backend, *, excluding: bool) -> bool:
        """Record a migration of a later program, which excludes this program or not.

        Returns:
            True if it was recorded. The default returns False.
        """
        return False

    def store_file(self, *, of_blank: bool = False) -> Path | None:
        """Return the file that holds the store, or the second store of ``blank``. The default returns None."""
        return None

    def open_backup(self, path: Path, clock: Clock) -> Backend | None:
        """Open a backup that ``Backend.backup`` made. The default returns None: there is no way to."""
        return None

    def open_impatient(self, clock: Clock, seconds: float) -> Backend | None:
        """Open the store so that a write waits for another one for that long. The default returns None."""
        return None


TIMEOUTS = ("busy_timeout", "operation_timeout")
"""URL options, in seconds, of which one limits how long a write waits for another."""


class UrlHarness(Harness):
    """Harness over a store of any installed backend, named by a URL."""

    def __init__(
        self,
        url: str,
        *,
        blank_url: str | None = None,
        registry: Registry | None = None,
        spec: BackendSpec | None = None,
    ) -> None:
        """Look up the backend without opening it.

        Args:
            url: URL of a store that is empty or does not exist.
            blank_url: URL of a second store that was never opened, for the tests of the first start.
            registry: Registry to look the scheme up in; by default that of the installed plugins. Other processes
                cannot see it, so with a registry there are none.
            spec: The backend's specification, if it was looked up before.
        """
        self._url = resolve_url(url)
        self._blank_url = None if blank_url is None else resolve_url(blank_url)
        self._spec = spec or (registry or Registry()).spec_for(self._url.scheme)
        self._has_peers = registry is None
        self._opened = False
        self.blank_used = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return the capabilities that both the backend, for this URL, and its plugin declare."""
        backend = self._spec.factory(self._url, BackendContext(SystemClock()))
        try:
            return backend.capabilities & self._spec.capabilities
        finally:
            backend.close()

    def open(self, clock: Clock) -> Backend:
        """Open the store. At the first call it must be empty, since tests would damage records in it."""
        backend = self._spec.factory(self._url, BackendContext(clock))
        backend.prepare(migrate=True)
        if not self._opened and not backend.is_empty():
            backend.close()
            raise InvalidArgument(f"{self._url} contains records. Give the suite an empty store of its own.")
        self._opened = True
        return backend

    def blank(self, clock: Clock) -> Backend | None:
        """Return the backend of ``blank_url``, or None without such a URL."""
        if self._blank_url is None:
            return None
        self.blank_used = True
        return self._spec.factory(self._blank_url, BackendContext(clock))

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        """Start a process that opens the URL, or ``blank_url``."""
        url = self._blank_url if blank else self._url
        return open_peer(url_text(url), prepare=not blank) if url is not None and self._has_peers else None

    def corrupt(self, table: str, key: str) -> bool:
        """Damage a row, if the backend is built on the SQL toolkit."""
        with closing(self._spec.factory(self._url, BackendContext(SystemClock()))) as backend:
            backend.prepare(migrate=False)
            return damage(backend, table, key)

    @property
    def passwords(self) -> tuple[str, ...]:
        """Return the password of the URL, if it has one."""
        return (self._url.password,) if self._url.password else ()

    def instrument(self, backend: Backend) -> Instrument | None:
        """Return the instrument of the SQL toolkit, if the backend is built on it."""
        with backend.session(write=False) as session:
            return SqlInstrument() if isinstance(session, SqlSession) else None

    def migrate_further(self, backend: Backend, *, excluding: bool) -> bool:
        """Record a migration, if the backend is built on the SQL toolkit."""
        with backend.session(write=True) as session:
            if isinstance(session, SqlSession):
                add_later_migration(session, excluding=excluding)
                return True
        return False

    def store_file(self, *, of_blank: bool = False) -> Path | None:
        """Return the path of the URL, if it is a file's."""
        url = self._blank_url if of_blank else self._url
        path = Path(url.database) if url is not None and not url.hosts else Path()
        return path if path.is_absolute() and path.exists() else None

    def open_backup(self, path: Path, clock: Clock) -> Backend | None:
        """Open a backup of a file, which is such a file."""
        if self.store_file() is None:
            return None
        backend = self._spec.factory(replace(self._url, database=str(path)), BackendContext(clock))
        backend.prepare(migrate=False)
        return backend

    def open_impatient(self, clock: Clock, seconds: float) -> Backend | None:
        """Open the store with the first of ``TIMEOUTS`` that its URL may have."""
        for name in TIMEOUTS:
            with suppress(InvalidURL):
                url = replace(self._url, options={**self._url.options, name: str(seconds)})
                backend = self._spec.factory(url, BackendContext(clock))
                backend.prepare(migrate=False)
                return backend
        return None


def url_text(url: StoreURL) -> str:
    """Return a URL as text, including its password."""
    return build_url(
        url.scheme,
        username=url.username,
        password=url.password,
        hosts=url.hosts,
        database=url.database,
        options=url.options,
    )
