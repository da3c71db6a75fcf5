"""The key-value protocol of py-key-value, which FastMCP uses, on CIRIS Store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, SupportsFloat

from key_value.aio.errors import InvalidTTLError

from ciris_store_core import AsyncStore, Document, NewDocument, Store
from ciris_store_core.aio import AsyncDatabaseMaintenanceService
from ciris_store_core.integrations.frameworks import secrets_mode

__all__ = ["CirisKeyValue"]

DEFAULT_COLLECTION = "default_collection"
_MOST = 10_000


class CirisKeyValue:
    """Objects by collection and key, as documents of a store, with expiry.

    Every call is atomic, the bulk ones too. Values are encrypted if the store has a key. An expired value counts as
    absent at once; ``cull``, and the store's maintenance, delete it.

    >>> mcp = FastMCP("server", session_state_store=CirisKeyValue(store))
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        default_collection: str = DEFAULT_COLLECTION,
        namespace: Sequence[str] = ("keyvalue",),
    ) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of all documents that this writes."""
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._default = default_collection
        self._root = tuple(namespace)
        self._mode = secrets_mode(self._store.sync, "key-value")

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """Return the value, or None."""
        return (await self.get_many([key], collection=collection))[0]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """Return the value and its seconds left, None for a value without expiry; (None, None) if there is none."""
        return (await self.ttl_many([key], collection=collection))[0]

    async def put(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> None:
        """Store a value, for ``ttl`` seconds or for good."""
        await self.put_many([key], [value], collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Delete a value; return whether there was one."""
        return await self.delete_many([key], collection=collection) == 1

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """Return the values in the order of the keys, None for those that are absent."""
        return [None if found is None else found.value for found in await self._find(keys, collection)]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """Return values and seconds left, in the order of the keys."""
        found = await self._find(keys, collection)
        now = await self._store.server_now() if any(each and each.expires_at for each in found) else None
        return [(None, None) if each is None else (each.value, _seconds_left(each, now)) for each in found]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Store values, all or none. Of a key that occurs twice, the last value is stored."""
        if len(keys) != len(values):
            raise ValueError(f"there are {len(keys)} keys and {len(values)} values. Give as many of each.")
        path, seconds = self._path(collection), _seconds(ttl)
        wrong = next((value for value in values if not isinstance(value, Mapping)), None)
        if wrong is not None:
            raise TypeError(f"a value must be a mapping, not {type(wrong).__name__}")
        new = {key: NewDocument(path, key, dict(value), ttl=seconds) for key, value in zip(keys, values, strict=True)}
        await self._store.documents.put_many(list(new.values()), secrets=self._mode)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Delete values; return how many there were."""
        path = self._path(collection)
        return await self._store.documents.delete_many([(path, key) for key in keys])

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Return the keys of a collection in order, at most 10,000 unless ``limit`` says otherwise."""
        found, most = [], _MOST if limit is None else limit
        if most > 0:
            async for each in self._store.documents.scan(self._path(collection)):
                found.append(each.key)
                if len(found) == most:
                    break
        return found

    async def collections(self, *, limit: int | None = None) -> list[str]:
        """Return the names of the collections that hold values, in order, at most 10,000."""
        most = min(_MOST if limit is None else limit, _MOST)
        if most < 1:
            return []
        found = await self._store.documents.namespaces(self._root, limit=most)
        return [namespace[-1] for namespace in found if len(namespace) > len(self._root)]

    async def cull(self) -> None:
        """Delete what has expired; it is absent already."""
        await AsyncDatabaseMaintenanceService(self._store, archive_dir=None).run()

    async def destroy(self) -> bool:
        """Delete all collections."""
        await self._store.documents.delete_matching(self._root)
        return True

    async def destroy_collection(self, collection: str) -> bool:
        """Delete one collection; return whether it held a value."""
        return await self._store.documents.delete_matching(self._path(collection)) > 0

    async def _find(self, keys: Sequence[str], collection: str | None) -> list[Document | None]:
        path = self._path(collection)
        found = await self._store.documents.get_many([(path, key) for key in keys]) if keys else {}
        return [found.get((path, key)) for key in keys]  # type: ignore[call-overload]

    def _path(self, collection: str | None) -> tuple[str, ...]:
        return (*self._root, self._default if collection is None else collection)


def _seconds(ttl: SupportsFloat | None) -> float | None:
    if ttl is None:
        return None
    try:
        seconds = float(ttl)
    except (TypeError, ValueError):
        raise InvalidTTLError(ttl=ttl) from None  # type: ignore[arg-type]
    if not (isfinite(seconds) and seconds > 0):
        raise InvalidTTLError(ttl=seconds)
    return seconds


def _seconds_left(document: Document, now: datetime | None) -> float | None:
    if document.expires_at is None or now is None:
        return None
    return max(0.0, (document.expires_at - now).total_seconds())
