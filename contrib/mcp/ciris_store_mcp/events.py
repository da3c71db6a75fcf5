"""Events of resumable MCP sessions, as streams of a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from ciris_store_core import AsyncStore, Store
from ciris_store_core.integrations.frameworks import secrets_mode

__all__ = ["CirisEventStore", "separate_sessions"]

_KEPT = timedelta(days=1)


class CirisEventStore(EventStore):
    """Events that a client has missed, so that it can go on where its connection broke.

    The SDK names streams by the id of a request, which sessions share: give each session a store of its own, by
    ``separate_sessions``, or one client can read the events of another. Streams that nothing was added to for a day
    are deleted when a session begins.
    """

    def __init__(self, store: Store | AsyncStore, *, namespace: Sequence[str] = ("mcp", "events")) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of the streams of all sessions."""
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._root = tuple(namespace)
        self._own = self._root
        self._mode = secrets_mode(self._store.sync, "MCP")
        self._begun = False

    def for_session(self) -> CirisEventStore:
        """Return an event store that shares no event with others."""
        made = CirisEventStore(self._store, namespace=self._root)
        made._own = (*self._root, uuid4().hex)
        return made

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Append an event, and return its id: its position and its stream."""
        if not self._begun:
            self._begun = True
            await self._delete_old()
        value = None if message is None else message.model_dump(mode="json", by_alias=True, exclude_none=True)
        [position] = await self._store.streams.append(self._own, stream_id, [value], secrets=self._mode)
        return f"{position}:{stream_id}"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send the events of the stream that follow an event; return the stream, or None if there is no such event."""
        text, _, stream_id = last_event_id.partition(":")
        if not (stream_id and text.isascii() and text.isdigit()):
            return None
        info = await self._store.streams.info(self._own, stream_id)
        if info is None:
            return None
        async for each in self._store.streams.scan(self._own, stream_id, after=int(text)):
            if each.value is not None:
                message = jsonrpc_message_adapter.validate_python(each.value)
                await send_callback(EventMessage(message, f"{each.position}:{stream_id}"))
        return stream_id

    async def _delete_old(self) -> None:
        before = await self._store.server_now() - _KEPT
        found = await self._store.streams.find(self._root, order="updated", limit=1000)
        old = [(each.namespace, each.name) for each in found if each.updated_at < before]
        await self._store.streams.delete_many(old)


class _SeparateSessions(StreamableHTTPSessionManager):
    """Session manager that gives each session an event store of its own."""

    @property
    def event_store(self) -> EventStore | None:
        found = self.__dict__.get("event_store")
        return found.for_session() if isinstance(found, CirisEventStore) else found

    @event_store.setter
    def event_store(self, value: EventStore | None) -> None:
        self.__dict__["event_store"] = value


def separate_sessions(manager: Any) -> None:
    """Make a session manager of the SDK give each new session an event store of its own."""
    # The manager makes the transports of sessions itself, and reads this attribute for each.
    manager.__class__ = _SeparateSessions
