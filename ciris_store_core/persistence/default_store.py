"""The stores of the functions: one for each URL, opened on demand and shared by the process."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ciris_store_core.aio.workers import Workers
from ciris_store_core.opening import open_store
from ciris_store_core.store import Store
from ciris_store_core.url import StoreURL, resolve_url

__all__ = ["DbPath", "close_stores", "get_store", "use_store"]

DbPath = str | os.PathLike[str] | None
"""A database URL or the path of an SQLite file. None means the store of ``use_store``, else the default URL."""

_THREADS = 8

_Key = tuple[StoreURL, str]
_Identity = tuple[int, int] | None


class _StoreSlot:
    """The store of one URL, once it is open."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.store: Store | None = None
        self.file: _Identity = None


class _OpenStores:
    """The stores that this process opened by URL, and the chosen ones that replace the default."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: dict[_Key, _StoreSlot] = {}
        self.chosen: list[Store] = []
        self.workers = Workers(_THREADS, "ciris-store")

    def get(self, target: StoreURL, url: DbPath, *, renew: bool = False) -> Store:
        key = (target, _folder(target))
        with self._lock:
            slot = self._slots.setdefault(key, _StoreSlot())
        # Opening may wait for a remote database: only callers of the same URL wait with it.
        with slot.lock:
            if renew and slot.store is not None and slot.file != _identity(target):
                slot.store.close()
                slot.store = None
            if slot.store is None:
                slot.store = open_store(url)
                slot.file = _identity(target)
            return slot.store

    def close(self) -> None:
        with self._lock:
            slots, self._slots = self._slots, {}
        for slot in slots.values():
            with slot.lock:
                if slot.store is not None:
                    slot.store.close()


_open_stores = _OpenStores()


def get_store(db_path: DbPath = None) -> Store:
    """Return the store for this ``db_path``. The first call opens it and migrates its schema.

    The store is shared: do not close it. ``close_stores`` and the end of the process close all stores.

    Args:
        db_path: A database URL, or the path of an SQLite file. By default the store of ``use_store``, else the
            database that ``CIRIS_DB_URL`` names at this moment, else ``sqlite:///data/ciris.db``.

    Raises:
        InvalidURL, PluginError, MigrationRequired, Unavailable: As ``open_store``. The next call tries again.
    """
    if db_path is None and _open_stores.chosen:
        return _open_stores.chosen[-1]
    return _open_stores.get(resolve_url(db_path), db_path)


def renew_store(db_path: DbPath = None) -> Store:
    """Return the store for this ``db_path``. If its file was deleted or replaced, open a new one."""
    if db_path is None and _open_stores.chosen:
        return _open_stores.chosen[-1]
    return _open_stores.get(resolve_url(db_path), db_path, renew=True)


@contextmanager
def use_store(store: Store) -> Iterator[Store]:
    """Make all functions without ``db_path`` use this store, in every thread, until the block ends.

    Use it for a store that was opened with options, or by a test. The caller closes the store.
    """
    stores = _open_stores
    stores.chosen.append(store)
    try:
        yield store
    finally:
        stores.chosen.remove(store)


def workers() -> Workers:
    """Return the threads that run the async counterparts."""
    return _open_stores.workers


def close_stores() -> None:
    """Close every store that the functions opened. A later call opens it again."""
    _open_stores.close()


def _folder(target: StoreURL) -> str:
    # A relative path names another file after the process has changed its directory.
    relative = _is_file(target) and not target.database.startswith("/")
    return str(Path.cwd()) if relative else ""


def _is_file(target: StoreURL) -> bool:
    return target.scheme == "sqlite" and not target.database.startswith(":memory:")


def _identity(target: StoreURL) -> _Identity:
    """Return the identity of the SQLite file that has the name now; None if there is none."""
    try:
        status = Path(target.database).stat() if _is_file(target) else None
    except OSError:
        return None
    return None if status is None else (status.st_dev, status.st_ino)


def _forget() -> None:
    """Forget all stores in a forked child: the parent owns the connections, and its threads may hold the locks."""
    global _open_stores
    _open_stores = _OpenStores()


atexit.register(close_stores)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
