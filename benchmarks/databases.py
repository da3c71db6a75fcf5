"""Locations of the databases: SQLite files and a PostgreSQL server, on one file system."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from statistics import median
from typing import Protocol

import psutil

from tests.support.pgserver import PostgresServer

# Settings of a production server; the rest of the settings are the defaults, so every commit is on disk.
SETTINGS = "shared_buffers = 256MB\nmax_wal_size = 4GB\ncheckpoint_timeout = 30min\n"


class Place(Protocol):
    """Makes empty databases of one kind."""

    name: str

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        ...

    def apart(self) -> AbstractContextManager[None]:
        """Keep a server and this process on cores of their own."""
        ...

    def remove(self) -> None:
        """Remove all of them."""
        ...


class SqlitePlace:
    """Files in a temporary folder, on the file system that the PostgreSQL servers of the tests use."""

    name = "sqlite"

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="bench-", dir="/tmp" if Path("/tmp").is_dir() else None)
        self._numbers = count()

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        return f"sqlite:///{self.folder}/{next(self._numbers)}.db"

    def apart(self) -> AbstractContextManager[None]:
        """Nothing to do: there is no server."""
        return nullcontext()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresPlace:
    """Databases on a server of our own."""

    name = "postgres"

    def __init__(self) -> None:
        self.server = PostgresServer(settings=SETTINGS)
        self.server.start()

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        return self.server.create_database()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Keep the server and this process on cores of their own, as on two machines.

        Otherwise the kernel decides anew for each connection whether the two share a core, and a short read takes
        half or twice as long by that alone.
        """
        if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
            yield
            return
        allowed = os.sched_getaffinity(0)
        mine = {min(allowed)}
        self._keep_server_on(allowed - mine)
        os.sched_setaffinity(0, mine)
        try:
            yield
        finally:
            os.sched_setaffinity(0, allowed)
            self._keep_server_on(allowed)

    def _keep_server_on(self, cores: set[int]) -> None:
        main = psutil.Process(self.server.pid)
        for process in (main, *main.children()):  # what starts later inherits it
            with suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, cores)

    def remove(self) -> None:
        """Stop the server."""
        self.server.remove()


PLACES: dict[str, type[SqlitePlace] | type[PostgresPlace]] = {"sqlite": SqlitePlace, "postgres": PostgresPlace}


def disk() -> dict[str, object]:
    """The kind of file system, and microseconds to make four kilobytes durable on it."""
    with tempfile.NamedTemporaryFile(dir="/tmp" if Path("/tmp").is_dir() else None) as file:
        seconds = [_sync(file.fileno()) for _ in range(100)]
        mounts = [p for p in psutil.disk_partitions(all=True) if Path(file.name).is_relative_to(p.mountpoint)]
    kind = max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown"
    return {"file_system": kind, "sync_us": round(median(seconds) * 1e6)}


def _sync(descriptor: int) -> float:
    os.write(descriptor, b"x" * 4096)
    start = time.perf_counter()
    os.fsync(descriptor)
    return time.perf_counter() - start
