"""Sessions of ADK: events as streams, state as documents."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import datetime
from functools import cached_property
from time import time
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions import Session, State
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from pydantic import PrivateAttr
from pydantic_core import to_jsonable_python

from ciris_store_adk.stores import OnStore
from ciris_store_core import AlreadyExists, Document, NewEntry, RevisionMismatch, Transaction
from ciris_store_core.models.documents import DocumentKey

_PAGE = 10_000
_STALE = "The session has been modified in storage since it was loaded. Load it again before appending more events."

Key = tuple[tuple[str, ...], str]
States = dict[str, dict[str, Any]]


class _LoadedSession(Session):
    """A session that knows which revision of the stored one it is."""

    _revision: int = PrivateAttr(0)
    _born: datetime | None = PrivateAttr(None)
    """When the stored one was created: one that is deleted and created again begins at the same revision."""


class _Repeated(Exception):
    """The event is stored already."""


class CirisSessionService(OnStore, BaseSessionService):
    """Sessions with their events, and the state of sessions, users and applications.

    An event and the state that it changes are one transaction. An append locks its session, and the state of the user
    or the application only if the event changes that. No append reads earlier events.

    >>> runner = Runner(app_name="app", agent=agent, session_service=CirisSessionService(store))
    """

    @cached_property
    def _locks(self) -> WeakValueDictionary[Key, asyncio.Lock]:
        return WeakValueDictionary()

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session; raise ADK's ``AlreadyExistsError`` if there is one with this id."""
        id = session_id or str(uuid4())
        try:
            head = await self._store.run(self._create, (app_name, user_id, id), _parts(state or {}))
        except AlreadyExists:
            raise AlreadyExistsError(f"Session with id {id} already exists.") from None
        return await self._session(app_name, user_id, head, [])

    def _create(self, tx: Transaction, session: tuple[str, str, str], parts: States) -> Document:
        head = tx.documents.put(*self._head(*session), {"updated": time()}, insert=True, secrets="plain")
        self._merge(tx, session, parts)
        return head

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events, or None.

        With ``after_timestamp``, events are read from the newest on until one is older.
        """
        # The head is read first, and then no event that it does not count. So an append in between makes the returned
        # session stale, and cannot make it miss an event unnoticed.
        head = await self._store.documents.get(*self._head(app_name, user_id, session_id))
        if head is None:
            return None
        events = await self._events(self._stream(app_name, user_id, session_id), _last_position(head), config)
        return await self._session(app_name, user_id, head, events)

    async def _events(self, stream: Key, last: int, config: GetSessionConfig | None) -> list[Event]:
        since = config.after_timestamp if config else None
        most = config.num_recent_events if config else None
        wanted = last if most is None else min(most, last)
        found: list[Event] = []
        before = last + 1
        while len(found) < wanted:
            size = min(_PAGE if since is None else 100, wanted - len(found))
            page = await self._store.streams.read(*stream, after=before, limit=size, reverse=True)
            for entry in page.items:
                event, before = Event.model_validate(entry.value), entry.position
                if since is not None and event.timestamp < since:
                    return found[::-1]
                found.append(event)
            if len(page.items) < size:
                break
        return found[::-1]

    async def _session(self, app: str, user: str, head: Document, events: list[Event]) -> Session:
        keys = [DocumentKey(*key) for key in (self._state(app, user, head.key), self._user(app, user), self._app(app))]
        stored = await self._store.documents.get_many(keys)
        own, users, apps = (_value(stored.get(key)) for key in keys)
        return _loaded(app, user, head, _merged(own, users, apps), events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of a user, or of all, with state and without events, the least recently changed first."""
        documents, below = self._store.documents, () if user_id is None else (user_id,)
        heads = [each async for each in documents.scan((*self._root, "session", app_name, *below))]
        own = {
            (each.namespace[-1], each.key): each.value
            async for each in documents.scan((*self._root, "state", app_name, *below))
        }
        users = {each.key: each.value async for each in documents.scan((*self._root, "user", app_name))}
        apps = _value(await documents.get(*self._app(app_name)))
        found = []
        for head in heads:
            user = head.namespace[-1]
            state = deepcopy(_merged(own.get((user, head.key), {}), users.get(user, {}), apps))
            found.append(_loaded(app_name, user, head, state, []))
        found.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=found)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events and its state; the state of the user and the application stay."""
        await self._store.run(self._delete, (app_name, user_id, session_id))

    def _delete(self, tx: Transaction, session: tuple[str, str, str]) -> None:
        # The head first, as appends lock it first: none of them writes an event after the stream is deleted.
        tx.documents.delete(*self._head(*session))
        tx.documents.delete(*self._state(*session))
        tx.streams.delete(*self._stream(*session))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user, its keys without prefix."""
        return _value(await self._store.documents.get(*self._user(app_name, user_id)))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event, and apply the state that it changes, to the stored session and to ``session``.

        An event that is stored already, with the same id and fields, changes nothing.

        Raises:
            StaleSessionError: Another caller appended to the session since this one was loaded.
            SessionNotFoundError: The session was deleted, or never stored.
            Conflict: The session has another event with this id.
        """
        if event.partial:
            return event
        # Branches of one invocation append to one Session: each has to see the revision that the one before it wrote.
        lock = self._locks.setdefault(self._stream(session.app_name, session.user_id, session.id), asyncio.Lock())
        async with lock:
            try:
                head = await self._store.run(self._append, session, event)
            except RevisionMismatch:
                await self._refuse(session, event)
                return event
            except _Repeated:
                return event
            session.last_update_time = event.timestamp
            if isinstance(session, _LoadedSession):
                session._revision, session._born = head.revision, head.created_at
            return await super().append_event(session, event)

    def _append(self, tx: Transaction, session: Session, event: Event) -> Document:
        place = session.app_name, session.user_id, session.id
        revision, born = self._revision(tx, session)
        # This write locks the session, and compares its revision with the one that the caller has seen. A session has
        # one revision more than events, so the position of the event is known without reading the stream.
        head = tx.documents.put(
            *self._head(*place), {"updated": event.timestamp}, expected_revision=revision, secrets="plain"
        )
        if head.created_at != born:
            raise StaleSessionError(_STALE)
        entry = NewEntry(_payload(event), id=event.id or None)
        if tx.streams.append(*self._stream(*place), [entry], secrets=self._mode) != [_last_position(head)]:
            raise _Repeated
        self._merge(tx, place, _parts(event.actions.state_delta))
        return head

    def _revision(self, tx: Transaction, session: Session) -> tuple[int, datetime]:
        """Return the revision that a session is at; of one that this service did not make, by its last event."""
        if isinstance(session, _LoadedSession) and session._born is not None:
            return session._revision, session._born
        place = session.app_name, session.user_id, session.id
        head = tx.documents.get(*self._head(*place))
        if head is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        if head.value["updated"] > session.last_update_time:
            last = tx.streams.last(*self._stream(*place))
            if (last and last.id) != (session.events[-1].id if session.events else None):
                raise StaleSessionError(_STALE)
        return head.revision, head.created_at

    async def _refuse(self, session: Session, event: Event) -> None:
        """Raise what an append to another revision means; nothing if it is the repetition of one."""
        place = session.app_name, session.user_id, session.id
        if await self._store.documents.get(*self._head(*place)) is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        stored = await self._store.streams.get(*self._stream(*place), event.id) if event.id else None
        if stored is None or stored.value != _payload(event):
            raise StaleSessionError(_STALE)

    def _merge(self, tx: Transaction, session: tuple[str, str, str], parts: States) -> None:
        # Always in this order, after the head: so no two appends wait for one another.
        app, user, _ = session
        places = {"session": self._state(*session), "app": self._app(app), "user": self._user(app, user)}
        for part, place in places.items():
            if parts[part]:
                tx.documents.put(*place, parts[part], merge=True, secrets=self._mode)

    def _head(self, app: str, user: str, id: str) -> Key:
        return (*self._root, "session", app, user), id

    def _state(self, app: str, user: str, id: str) -> Key:
        return (*self._root, "state", app, user), id

    def _user(self, app: str, user: str) -> Key:
        return (*self._root, "user", app), user

    def _app(self, app: str) -> Key:
        return (*self._root, "app"), app

    def _stream(self, app: str, user: str, id: str) -> Key:
        return (*self._root, "events", app, user), id


def _last_position(head: Document) -> int:
    return head.revision - 1


def _payload(event: Event) -> dict[str, Any]:
    payload = event.model_dump(mode="json", exclude_none=True)
    actions = payload.get("actions") or {}
    if delta := actions.get("state_delta"):
        actions["state_delta"] = {key: value for key, value in delta.items() if not key.startswith(State.TEMP_PREFIX)}
    return payload


def _parts(state: dict[str, Any]) -> States:
    """Return the state of the application, the user and the session, without prefixes; temporary state is left out."""
    parts: States = {"app": {}, "user": {}, "session": {}}
    for key, value in to_jsonable_python(state, fallback=str).items():
        if key.startswith(State.APP_PREFIX):
            parts["app"][key.removeprefix(State.APP_PREFIX)] = value
        elif key.startswith(State.USER_PREFIX):
            parts["user"][key.removeprefix(State.USER_PREFIX)] = value
        elif not key.startswith(State.TEMP_PREFIX):
            parts["session"][key] = value
    return parts


def _merged(own: dict[str, Any], user: dict[str, Any], app: dict[str, Any]) -> dict[str, Any]:
    return (
        own
        | {State.APP_PREFIX + key: value for key, value in app.items()}
        | {State.USER_PREFIX + key: value for key, value in user.items()}
    )


def _value(document: Document | None) -> dict[str, Any]:
    return document.value if document is not None else {}


def _loaded(app: str, user: str, head: Document, state: dict[str, Any], events: list[Event]) -> Session:
    session = _LoadedSession(
        id=head.key, app_name=app, user_id=user, state=state, events=events, last_update_time=head.value["updated"]
    )
    session._revision, session._born = head.revision, head.created_at
    return session
