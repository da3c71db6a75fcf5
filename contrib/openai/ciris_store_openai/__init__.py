"""Sessions of the OpenAI Agents SDK on CIRIS Store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.items import TResponseInputItem
from agents.memory import SessionSettings
from agents.memory.session import SessionABC

from ciris_store_core import AsyncStore, Store
from ciris_store_core.integrations.frameworks import secrets_mode

__all__ = ["CirisSession"]

_MOST = 10_000


class CirisSession(SessionABC):
    """History of one conversation, as a stream of a store.

    Items come back exactly as they were added, encrypted meanwhile if the store has a key.

    >>> result = await Runner.run(agent, "hello", session=CirisSession("user-1", store))
    """

    def __init__(
        self,
        session_id: str,
        store: Store | AsyncStore,
        *,
        session_settings: SessionSettings | None = None,
        namespace: Sequence[str] = ("openai",),
    ) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of the streams of all sessions."""
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._stream = tuple(namespace), session_id
        self._mode = secrets_mode(self._store.sync, "OpenAI Agents SDK")

    async def get_items(self, limit: int | None = None, *, turns: int | None = None) -> list[TResponseInputItem]:
        """Return the items, oldest first.

        Args:
            limit: Only the newest so many; by default as ``session_settings`` say, else all.
            turns: Only those of the newest so many turns, each of which begins with an item of the user. A limit by
                items can cut a turn, and so a tool call from its result; this one cannot.
        """
        if turns is not None:
            return await self._turns(turns)
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is None or limit < 0:
            return [each.value async for each in self._store.streams.scan(*self._stream)]
        return [each.value for each in await self._newest(limit)]

    async def _newest(self, limit: int) -> list[Any]:
        if limit <= _MOST:
            return await self._store.streams.tail(*self._stream, limit) if limit else []
        found: list[Any] = []
        async for each in self._store.streams.scan(*self._stream, reverse=True):
            found.append(each)
            if len(found) == limit:
                break
        return found[::-1]

    async def _turns(self, turns: int) -> list[TResponseInputItem]:
        found: list[TResponseInputItem] = []
        if turns < 1:
            return found
        async for each in self._store.streams.scan(*self._stream, reverse=True):
            found.append(each.value)
            if isinstance(each.value, dict) and each.value.get("role") == "user":
                turns -= 1
                if turns == 0:
                    break
        return found[::-1]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append items, all or none."""
        if items:
            await self._store.streams.append(*self._stream, items, secrets=self._mode)

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item and return it, or None; no two callers get the same."""
        found = await self._store.streams.pop(*self._stream)
        return None if found is None else found.value

    async def clear_session(self) -> None:
        """Delete all items of the session."""
        await self._store.streams.delete(*self._stream)
