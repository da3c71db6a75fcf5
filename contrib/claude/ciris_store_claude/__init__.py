"""Sessions of the Claude Agent SDK on CIRIS Store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_agent_sdk import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
    fold_session_summary,
)

from ciris_store_core import AsyncStore, NewEntry, Store, Transaction
from ciris_store_core.integrations.frameworks import secrets_mode
from ciris_store_core.store import Streams

__all__ = ["CirisSessionStore"]

_PAGE = 1000


class CirisSessionStore(SessionStore):
    """Transcripts of sessions as streams, and their summaries as documents, below one namespace of a store.

    An append and the summary that it changes are one transaction. An entry whose ``uuid`` is stored is not appended
    again. Entries are encrypted if the store has a key.

    >>> options = ClaudeAgentOptions(session_store=CirisSessionStore(store))
    """

    def __init__(self, store: Store | AsyncStore, *, namespace: Sequence[str] = ("claude",)) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of all that this writes."""
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._root = tuple(namespace)
        self._mode = secrets_mode(self._store.sync, "Claude Agent SDK")

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries, all or none, in the order given."""
        if entries:
            await self._store.run(self._append, key, entries)

    def _append(self, tx: Transaction, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        stream = self._stream(key)
        by_id: dict[Any, SessionStoreEntry] = {}
        for index, entry in enumerate(entries):
            by_id.setdefault(_id_of(entry) or index, entry)
        known = tx.streams.get_many(*stream, [id for id in by_id if isinstance(id, str)])
        new = [entry for id, entry in by_id.items() if id not in known]
        if not new:
            return
        tx.streams.append(*stream, [NewEntry(entry, id=_id_of(entry)) for entry in new], secrets=self._mode)
        if not key.get("subpath"):
            self._fold(tx, key, new)

    def _fold(self, tx: Transaction, key: SessionKey, new: list[SessionStoreEntry]) -> None:
        # The append has locked the stream, so no other appender of this session folds at the same time.
        place = (*self._root, "summary", key["project_key"]), key["session_id"]
        stored, info = tx.documents.get(*place), tx.streams.info(*self._stream(key))
        assert info is not None
        summary = fold_session_summary(stored.value if stored else None, key, new)
        summary["mtime"] = _milliseconds(info.updated_at)
        tx.documents.put(*place, dict(summary), secrets=self._mode)

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return the entries of a session, oldest first; None if there is none."""
        found: list[SessionStoreEntry] = [each.value async for each in self._store.streams.scan(*self._stream(key))]
        return found or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project, without those of subagents, newest first."""
        return await self._store.run(lambda tx: self._sessions(tx.streams, project_key))

    def _sessions(self, streams: Streams, project_key: str) -> list[SessionStoreListEntry]:
        return [
            {"session_id": each.name, "mtime": _milliseconds(each.updated_at)}
            for each in _all(streams, (*self._root, "main", project_key))
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summaries of all sessions of a project."""
        found = self._store.documents.scan((*self._root, "summary", project_key))
        return [each.value async for each in found]

    async def delete(self, key: SessionKey) -> None:
        """Delete a session with its subagents' transcripts and its summary; with a subpath, that transcript alone."""
        await self._store.run(self._delete, key)

    def _delete(self, tx: Transaction, key: SessionKey) -> None:
        tx.streams.delete(*self._stream(key))
        if not key.get("subpath"):
            below = (*self._root, "sub", key["project_key"], key["session_id"])
            tx.streams.delete_many([(each.namespace, each.name) for each in _all(tx.streams, below)])
            tx.documents.delete((*self._root, "summary", key["project_key"]), key["session_id"])

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session."""
        below = (*self._root, "sub", key["project_key"], key["session_id"])
        return await self._store.run(lambda tx: [each.name for each in _all(tx.streams, below)])

    def _stream(self, key: SessionKey) -> tuple[tuple[str, ...], str]:
        if subpath := key.get("subpath"):
            return (*self._root, "sub", key["project_key"], key["session_id"]), subpath
        return (*self._root, "main", key["project_key"]), key["session_id"]


def _all(streams: Streams, prefix: tuple[str, ...]) -> list[Any]:
    found, cursor = [], None
    while True:
        page = streams.find(prefix, limit=_PAGE, cursor=cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


def _id_of(entry: SessionStoreEntry) -> str | None:
    return entry.get("uuid") or None


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
