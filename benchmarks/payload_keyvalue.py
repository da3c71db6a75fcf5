"""py-key-value's stores on documents: of its listings only keys come back, and it has neither bytes nor streams."""
# ruff: noqa: D102 - PayloadContender says what each workload is

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

from diskcache import Cache
from key_value.aio.stores.disk import DiskStore
from key_value.aio.stores.postgresql import PostgreSQLStore

from benchmarks import payload_values as content
from benchmarks.fill import path_of, settle
from benchmarks.payload_contenders import NEW, PayloadContender

FULL = 2
"""SQLite's ``synchronous``: every commit is on disk, as those of the other contenders."""


class WithKeyValuePayloads(PayloadContender):
    """Its ``DiskStore``, which is SQLite by way of diskcache, and its ``PostgreSQLStore``, on one event loop."""

    name = "py-key-value"
    only = frozenset({"document_put", "document_get", "documents_put"})

    def __init__(self, url: str) -> None:
        self.url = url
        self.loop = asyncio.new_event_loop()
        self.cache: Cache | None = None
        self.store: DiskStore | PostgreSQLStore
        if url.startswith("sqlite"):
            # The folder that DiskStore makes for itself would not survive a loss of power.
            self.cache = Cache(f"{path_of(url)}.cache", eviction_policy="none", sqlite_synchronous=FULL)
            self.store = DiskStore(disk_cache=self.cache)
        else:
            self.store = PostgreSQLStore(url=url)
        self._run(self.store.setup())

    def _run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(call)

    def close(self) -> None:
        self._run(self.store.close())
        if self.cache is not None:
            self.cache.close()
        self.loop.close()

    def fill(self, documents: int, text: int) -> None:
        """Put as many items as the other contenders hold."""
        with self.cache.transact() if self.cache is not None else nullcontext():
            for first in range(0, documents, content.LISTED):
                numbers = range(first, min(first + content.LISTED, documents))
                keys = [content.document_key(i)[1] for i in numbers]
                items = [content.value(i, text) for i in numbers]
                self._run(self.store.put_many(keys, items, collection=_collection(content.document_key(first)[0])))
        settle(self.url)

    def document_put(self, number: int) -> Any:
        self._run(self.store.put(f"n{number}", content.value(number), collection=_collection(NEW)))

    def document_get(self, number: int) -> Any:
        namespace, key = self.chosen(number)
        return self._run(self.store.get(key, collection=_collection(namespace)))

    def documents_put(self, number: int) -> Any:
        keys = [f"m{number}-{i}" for i in range(content.LISTED)]
        items = [content.value(i) for i in range(content.LISTED)]
        with self.cache.transact() if self.cache is not None else nullcontext():  # all or none, in one commit
            self._run(self.store.put_many(keys, items, collection=_collection(NEW)))


def _collection(namespace: tuple[str, ...]) -> str:
    return "/".join(namespace)
