"""Conversations of Pydantic AI: entries as streams, records as documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from ciris_store_core import AlreadyExists, AsyncStore, Document, NewDocument, NewEntry, Store, StreamEntry, Transaction
from ciris_store_core.integrations.frameworks import secrets_mode

_RECORD = TypeAdapter(ConversationRecord)
_PAGE = 10_000
_BATCH = 1000

Key = tuple[tuple[str, ...], str]


class _Link(NamedTuple):
    """An entry as it is stored, its message not decoded yet."""

    id: str
    parent: str | None
    message: Any


class CirisConversationStore(ConversationStore):
    """Conversations: each entry is stored once, also where branches and forks share it.

    A record and its new entries are one transaction. Every conversation appends to a log of its own. A fork holds the
    logs that its history runs through; ``delete`` deletes those that no other conversation holds, with the entries of
    branches that were left.

    >>> store = CirisConversationStore(open_store("sqlite:///agent.db"))
    """

    def __init__(self, store: Store | AsyncStore, *, namespace: Sequence[str] = ("pydantic", "conversation")) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of all that this writes."""
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._root = tuple(namespace)
        self._mode = secrets_mode(self._store.sync, "Pydantic AI")

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None."""
        found = await self._store.documents.get(*self._record(conversation_id))
        return None if found is None else _record_of(found)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """Return the records, of one scope or all, newest first; ``limit`` counts by when they were written."""
        documents = self._store.documents
        found: list[Document] = []
        below, last = (*self._root, "record") if scope is None else self._scope(scope), None
        while limit is None or len(found) < limit:
            size = _BATCH if limit is None else min(_BATCH, limit - len(found))
            page = await documents.find(below, order="updated", descending=True, limit=size, cursor=last)
            if scope is None:
                found += page.items
            else:
                # Not in one transaction: a record that is deleted meanwhile is left out.
                found += (await documents.get_many([self._record(each.key) for each in page.items])).values()
            if (last := page.next_cursor) is None:
                break
        return sorted((_record_of(each) for each in found), key=lambda each: each.updated_at, reverse=True)

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and its new entries, all or nothing; raise ``ConversationConflict`` at another revision."""
        try:
            await self._store.run(self._write, record, list(new_entries), expected_revision)
        except AlreadyExists:
            raise ConversationConflict(record.conversation_id) from None

    def _write(
        self, tx: Transaction, record: ConversationRecord, entries: list[ConversationEntry], expected: str | None
    ) -> None:
        id = record.conversation_id
        # The lock makes two writers of one revision wait for one another, and the second one find a conflict.
        stored = tx.documents.get(*self._record(id), for_update=True)
        if (_record_of(stored).revision if stored else None) != expected:
            raise ConversationConflict(id)
        before = entries[0].parent_id if entries else record.head_id
        held = self._hold(tx, id, stored.value["logs"] if stored else [], before)
        log = held[0]
        if record.head_id is not None and record.head_id not in {each.id for each in entries}:
            self._place(tx, id, record.head_id)
        if entries:
            self._append(tx, log, entries)
        if stored and (scope := stored.value["record"]["scope"]) is not None and scope != record.scope:
            tx.documents.delete(self._scope(scope), id)
        if record.scope is not None:
            tx.documents.put(self._scope(record.scope), id, None, secrets="plain")
        value = {"record": _RECORD.dump_python(record, mode="json"), "logs": held}
        tx.documents.put(*self._record(id), value, insert=stored is None, secrets=self._mode)

    def _hold(self, tx: Transaction, id: str, held: list[str], before: str | None) -> list[str]:
        """Return the logs that a history runs through, its own first, each held by the conversation."""
        if held and (before is None or self._place(tx, id, before) in held):
            return held
        own = held[0] if held else uuid4().hex
        logs = [own]
        if before is not None:
            log = self._place(tx, id, before)
            first = tx.documents.get(*self._log(log))
            logs += [each for each in [log, *(first.value["below"] if first else [])] if each != own]
        for log in sorted(logs):
            found = tx.documents.get(*self._log(log), for_update=True)
            if found is None and log != own:
                raise ConversationConflict(id)
            below = logs[1:] if found is None else found.value["below"]
            holders = sorted({*(found.value["holders"] if found else ()), id})
            tx.documents.put(*self._log(log), {"holders": holders, "below": below}, secrets="plain")
        return logs

    def _append(self, tx: Transaction, log: str, entries: list[ConversationEntry]) -> None:
        messages = json.loads(ModelMessagesTypeAdapter.dump_json([each.message for each in entries]))
        new = [
            NewEntry({"parent": each.parent_id, "message": message}, id=each.id)
            for each, message in zip(entries, messages, strict=True)
        ]
        positions = tx.streams.append(*self._stream(log), new, secrets=self._mode)
        tx.documents.put_many(
            [
                NewDocument(*self._entry(each.id), {"log": log, "position": position})
                for each, position in zip(entries, positions, strict=True)
            ],
            secrets="plain",
        )

    def _place(self, tx: Transaction, id: str, entry_id: str) -> str:
        """Return the log of an entry, or raise ``ConversationConflict``: another caller deleted it."""
        found = tx.documents.get(*self._entry(entry_id))
        if found is None:
            raise ConversationConflict(id)
        log: str = found.value["log"]
        return log

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a record and the logs that it alone holds; raise ``ConversationConflict`` at another revision."""
        await self._store.run(self._delete, conversation_id, expected_revision)

    def _delete(self, tx: Transaction, id: str, expected: str) -> None:
        stored = tx.documents.get(*self._record(id), for_update=True)
        if stored is None or _record_of(stored).revision != expected:
            raise ConversationConflict(id)
        tx.documents.delete(*self._record(id))
        if (scope := stored.value["record"]["scope"]) is not None:
            tx.documents.delete(self._scope(scope), id)
        # In this order always. A fork that begins meanwhile waits for the lock of a log, and then finds none.
        for log in sorted(stored.value["logs"]):
            found = tx.documents.get(*self._log(log), for_update=True)
            holders = [each for each in found.value["holders"] if each != id] if found else []
            if found and holders:
                tx.documents.put(*self._log(log), {**found.value, "holders": holders}, secrets="plain")
            else:
                self._delete_log(tx, log)

    def _delete_log(self, tx: Transaction, log: str) -> None:
        ids = [each.id for each in tx.streams.scan(*self._stream(log)) if each.id is not None]
        for start in range(0, len(ids), _BATCH):
            tx.documents.delete_many([self._entry(id) for id in ids[start : start + _BATCH]])
        tx.streams.delete(*self._stream(log))
        tx.documents.delete(*self._log(log))

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry; raise ``KeyError`` if there is none."""
        return _entries([await self._link(entry_id)])[0]

    async def _link(self, entry_id: str) -> _Link:
        found = await self._store.documents.get(*self._entry(entry_id))
        entry = found and await self._store.streams.get(*self._stream(found.value["log"]), entry_id)
        if not entry:
            raise KeyError(entry_id)
        return _link_of(entry)

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to ``head_id``, oldest first, or the last ``limit`` of them."""
        found: list[_Link] = []
        wanted = head_id
        while wanted is not None and (limit is None or len(found) < limit):
            place = await self._store.documents.get(*self._entry(wanted))
            if place is None:
                raise KeyError(wanted)
            most = None if limit is None else limit - len(found)
            links = await self._chain(place.value["log"], place.value["position"], wanted, most)
            if not links:
                raise KeyError(wanted)
            found += links
            wanted = found[-1].parent
        return _entries(reversed(found))

    async def _chain(self, log: str, position: int, wanted: str | None, most: int | None) -> list[_Link]:
        """Return the entries of one log from a position back to where the history leaves it."""
        found: list[_Link] = []
        before = position + 1
        while wanted is not None and (most is None or len(found) < most):
            size = _PAGE if most is None else min(_PAGE, max(50, most - len(found)))
            page = await self._store.streams.read(*self._stream(log), after=before, limit=size, reverse=True)
            for entry in page.items:
                # In between are entries of other branches.
                if entry.id == wanted and (most is None or len(found) < most):
                    found.append(_link_of(entry))
                    wanted = found[-1].parent
            if len(page.items) < size:
                break
            before = page.items[-1].position
        return found

    def _record(self, id: str) -> Key:
        return (*self._root, "record"), id

    def _scope(self, scope: str) -> tuple[str, ...]:
        return *self._root, "scope", "=" + scope

    def _entry(self, id: str) -> Key:
        return (*self._root, "entry"), id

    def _log(self, log: str) -> Key:
        return (*self._root, "log"), log

    def _stream(self, log: str) -> Key:
        return (*self._root, "log"), log


def _record_of(document: Document) -> ConversationRecord:
    return _RECORD.validate_python(document.value["record"])


def _link_of(entry: StreamEntry) -> _Link:
    return _Link(entry.id or "", entry.value["parent"], entry.value["message"])


def _entries(links: Iterable[_Link]) -> list[ConversationEntry]:
    known = list(links)
    # As JSON, because only then are bytes read from base64.
    messages: list[ModelMessage] = ModelMessagesTypeAdapter.validate_json(json.dumps([each.message for each in known]))
    return [
        ConversationEntry(id=each.id, parent_id=each.parent, message=message)
        for each, message in zip(known, messages, strict=True)
    ]
