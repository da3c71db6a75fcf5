"""The memory of ADK: events of past sessions as documents, found by their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry

from ciris_store_adk.stores import OnStore
from ciris_store_core import NewDocument, Transaction
from ciris_store_core.words import words_of

if TYPE_CHECKING:
    from google.adk.events.event import Event
    from google.adk.sessions import Session

_MOST = 10
_NO_SESSION = "-"


class CirisMemoryService(OnStore, BaseMemoryService):
    """Memories of users, by application: events with contents, and entries that are added as they are.

    A search ranks the memories of a user by how many of the query's words they hold, and reads all of that user's.

    >>> runner = Runner(app_name="app", agent=agent, memory_service=CirisMemoryService(store))
    """

    async def add_session_to_memory(self, session: Session) -> None:
        """Store the events of a session in place of those that were stored of it."""
        place = *self._user(session.app_name, session.user_id), session.id
        await self._store.run(self._add, place, list(_entries(session.events)), replace=True)

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store further events of a session. One that is stored, or was deleted by ``delete_memory``, is left out."""
        place = *self._user(app_name, user_id), session_id or _NO_SESSION
        await self._store.run(self._add, place, list(_entries(events, custom_metadata)))

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store entries as they are; one without id gets one."""
        entries = []
        for each in memories:
            metadata = {**each.custom_metadata, **(custom_metadata or {})}
            entries.append(each.model_copy(update={"id": each.id or str(uuid4()), "custom_metadata": metadata}))
        await self._store.run(self._add, (*self._user(app_name, user_id), _NO_SESSION), entries)

    def _add(
        self, tx: Transaction, place: tuple[str, ...], entries: list[MemoryEntry], *, replace: bool = False
    ) -> None:
        if replace:
            tx.documents.delete_matching(place)
        by_id = {each.id: each for each in entries if each.id}
        deleted = (*self._root, "deleted memory", *place[-3:-1])
        known = tx.documents.get_many([(namespace, id) for id in by_id for namespace in (place, deleted)])
        gone = {key.key for key in known}
        new = [
            NewDocument(place, id, {"position": position, "entry": each.model_dump(mode="json", exclude_none=True)})
            for position, (id, each) in enumerate(by_id.items())
            if id not in gone
        ]
        tx.documents.put_many(new, secrets=self._mode)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return at most ten memories that share a word with the query, those with most of its words first."""
        wanted = set(words_of(query))
        found: list[tuple[int, Any]] = []
        async for each in self._store.documents.scan(self._user(app_name, user_id)):
            entry = each.value["entry"]
            parts = entry["content"].get("parts") or []
            text = " ".join(part["text"] for part in parts if part.get("text"))
            if shared := len(wanted.intersection(words_of(text))):
                found.append((-shared, each))
        found.sort(key=lambda each: (each[0], each[1].created_at, each[1].value["position"]))
        return SearchMemoryResponse(
            memories=[MemoryEntry.model_validate(each.value["entry"]) for _, each in found[:_MOST]]
        )

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Delete a memory by its id. Adding its session again doesn't bring it back."""
        if memory_id:
            await self._store.run(self._delete, self._user(app_name, user_id), memory_id)

    def _delete(self, tx: Transaction, user: tuple[str, ...], id: str) -> None:
        found = [each for each in tx.documents.scan(user, key_prefix=id) if each.key == id]
        if tx.documents.delete_many([(each.namespace, each.key) for each in found]):
            tx.documents.put((*self._root, "deleted memory", *user[-2:]), id, True, secrets="plain")

    def _user(self, app: str, user: str) -> tuple[str, ...]:
        return *self._root, "memory", app, user


def _entries(events: Iterable[Event], metadata: Mapping[str, object] | None = None) -> Iterable[MemoryEntry]:
    for event in events:
        if event.content and event.content.parts:
            yield MemoryEntry(
                id=event.id,
                content=event.content,
                author=event.author,
                timestamp=datetime.fromtimestamp(event.timestamp).isoformat(),
                custom_metadata=dict(metadata or {}),
            )
