"""Thoughts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack, overload

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.thoughts import ThoughtSelector
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.enums import ThoughtStatus, ThoughtType
from ciris_store_core.models.paging import Page
from ciris_store_core.models.thoughts import UPDATABLE_THOUGHT_FIELDS, Thought, ThoughtOrder, ThoughtQuery
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import delete_with_secrets, drop_of, in_batches
from ciris_store_core.store.context import Owner
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    OneOrMore,
    Resource,
    add_or_same,
    all_pages,
    by_id,
    page_of,
    position,
    prepare,
    prepare_many,
    refuse_unknown,
    several,
)
from ciris_store_core.store.work.ownership import Transfer, record_transfer
from ciris_store_core.validation.validator import limit_of, moment, whole

ThoughtList = list[Thought]
Ids = list[str]

_SHAPE = (datetime, str)
_ORDERS = ("created", "updated_desc")


class ThoughtFilters(TypedDict, total=False):
    """Conditions on thoughts; all that are given must hold."""

    status: OneOrMore[ThoughtStatus | str]
    """One status or several."""
    thought_type: OneOrMore[ThoughtType | str]
    """One type or several."""
    occurrence_id: Owner
    """Exactly this owner; ``ANY_OCCURRENCE`` for all. By default the store's own occurrence, ``"default"``."""
    source_task_id: str | None
    parent_thought_id: str | None
    created_from: datetime | None
    updated_to: datetime | None
    """Both bounds inclusive, and aware."""
    of_active_tasks: bool
    """Only thoughts whose task is active and has the same owner."""


class Thoughts(Resource):
    """Steps of reasoning about tasks. Every thought has one owner, its ``agent_occurrence_id``.

    Every method with an ``occurrence_id`` looks only at thoughts of that owner; by default at those of the store's
    own occurrence, ``"default"`` unless the store was opened otherwise; ``ANY_OCCURRENCE`` means all.
    """

    __slots__ = ()

    def add(self, thought: Thought, *, exist_ok: bool = False) -> Thought:
        """Store a new thought and return it as stored. Its task must exist.

        Times that were not given are the store's; an owner that was not given is the store's own occurrence.

        Args:
            thought: The thought to store. It is not changed.
            exist_ok: If a stored thought has that id, and every given field with the same value, return it.
                This makes it safe to call again after ``OutcomeUnknown``.

        Raises:
            NotFound: There is no such task. No transaction deletes the task before this one is over.
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored thought differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
        if exist_ok:
            return self.add_many([thought], exist_ok=True)[0]
        extracted = ExtractedSecrets()
        ready = prepare(self._ctx, thought, Thought, self._ctx.clock.now(), extracted)
        self._x.write("thoughts.add", lambda session: session.thoughts.add([ready], True), extracted=extracted)
        return ready

    def add_many(self, thoughts: Iterable[Thought], *, exist_ok: bool = False) -> ThoughtList:
        """Store many thoughts, all or none, and return them as stored, in the order given. See ``add``."""
        extracted = ExtractedSecrets()
        given, ready = prepare_many(self._ctx, thoughts, Thought, "thought_id", extracted)
        if not ready:
            return []
        if exist_ok:
            return add_or_same(
                "thoughts.add_many", self._x, self._ctx, given, ready, "thought_id", _stored, _add, extracted
            )
        self._x.write("thoughts.add_many", lambda session: session.thoughts.add(ready, True), extracted=extracted)
        return ready

    def get(self, thought_id: str, *, occurrence_id: Owner = None, for_update: bool = False) -> Thought | None:
        """Return the thought with that id, or None if that owner has none.

        ``for_update``, in a transaction only, locks the thought: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
        ids, owner = [self._ctx.check.ident(thought_id, "thought_id")], self._ctx.owner(occurrence_id)
        found = self._stored(ids, owner, for_update)
        return found[0] if found else None

    def get_many(
        self, thought_ids: Iterable[str], *, occurrence_id: Owner = None, for_update: bool = False
    ) -> dict[str, Thought]:
        """Return the existing thoughts among these ids, by id, in the order of the ids; one round trip. See ``get``."""
        ids, owner = self._ctx.check.idents(thought_ids, "thought_ids"), self._ctx.owner(occurrence_id)
        found = self._stored(ids, owner, for_update) if ids or for_update else []
        return by_id(found, "thought_id", ids)

    def _stored(self, ids: Ids, owner: str | None, for_update: bool) -> ThoughtList:
        if for_update:
            return self._x.lock(lambda session: session.thoughts.lock(ids, owner))
        return self._x.read("thoughts.get", lambda session: session.thoughts.get(ids, owner))

    def update(self, thought_id: str, *, occurrence_id: Owner = None, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; return False if that owner has no such thought.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
        key, owner = self._ctx.check.ident(thought_id, "thought_id"), self._ctx.owner(occurrence_id)
        extracted = ExtractedSecrets()
        now = self._ctx.changed_at()
        new = self._ctx.check.changes(Thought, key, changes, UPDATABLE_THOUGHT_FIELDS, now, extracted)
        return self._x.write(
            "thoughts.update", lambda session: session.thoughts.update(key, new, owner), extracted=extracted
        )

    def find(
        self,
        *,
        order: ThoughtOrder = "created",
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[ThoughtFilters],
    ) -> Page[Thought]:
        """Return one page of thoughts.

        Args:
            order: ``created``: oldest first; ``updated_desc``: updated last first. Ties go by id.
            limit: The longest page, 1 to 10,000 thoughts.
            cursor: The ``next_cursor`` of the page before, of the same order and filters.
            filters: See ``ThoughtFilters``; statuses and types are accepted as members or text, one or several.
        """
        return self._page(self._query(**filters), order, limit, cursor)

    def scan(
        self,
        *,
        order: ThoughtOrder = "created",
        on_corrupt: OnCorrupt | None = None,
        **filters: Unpack[ThoughtFilters],
    ) -> Iterator[Thought]:
        """Yield every thought that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
        query = self._query(**filters)
        return all_pages(lambda cursor: self._page(query, order, SCAN_SIZE, cursor), on_corrupt)

    def count(self, **filters: Unpack[ThoughtFilters]) -> int:
        """Return the number of thoughts that match the filters, without loading them."""
        query = ThoughtQuery(**self._query(**filters))
        return self._x.read("thoughts.count", lambda session: session.thoughts.count(query))

    def count_by_status(self, *, occurrence_id: Owner = None) -> dict[ThoughtStatus, int]:
        """Return the number of thoughts of each status, 0 included; one round trip."""
        owner = self._ctx.owner(occurrence_id)
        counts = self._x.read("thoughts.count_by_status", lambda session: session.thoughts.count_by_status(owner))
        return {status: counts.get(status, 0) for status in ThoughtStatus}

    def delete(self, thought_id: str) -> int:
        """Delete a thought of any owner; return 1, or 0 if there is no such thought.

        A handle that is bound to an occurrence deletes only its own.
        """
        return self.delete_many([thought_id])

    def delete_many(self, thought_ids: Iterable[str]) -> int:
        """Delete many thoughts and return the number of deleted ones. See ``delete``.

        Ids that do not exist are passed over.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that others
        need not wait for all of them; after an error, some batches may be deleted. In a transaction it is all or none.
        """
        ids = self._ctx.check.idents(thought_ids, "thought_ids")
        if not ids:
            return 0
        if self._ctx.bound:
            write = self._x.write
            return in_batches(
                self._x,
                ids,
                lambda batch: write("thoughts.delete_many", lambda s: self._delete_own(s, batch), single=False),
            )
        return delete_with_secrets(
            "thoughts.delete_many",
            self._x,
            self._ctx,
            ids,
            lambda session, batch: session.thoughts.get(batch, None),
            lambda session, batch: session.thoughts.delete(batch),
        )

    def _delete_own(self, session: Session, ids: Sequence[str]) -> int:
        own = session.thoughts.get(ids, self._ctx.occurrence_id)
        count = session.thoughts.delete([thought.thought_id for thought in own]) if own else 0
        drop_of(session, own)
        return count

    def pending_of_active_tasks(self, limit: int = 100, *, occurrence_id: Owner = None) -> Page[Thought]:
        """Return pending thoughts whose task is active and has the same owner, oldest first; one query."""
        return self.find(status=ThoughtStatus.PENDING, of_active_tasks=True, occurrence_id=occurrence_id, limit=limit)

    def retry(self, thought_id: str, max_retries: int = 3, *, occurrence_id: Owner = None) -> bool:
        """Move a failed thought to pending and add 1 to ``retry_count``.

        Return False, and change nothing, if it is not failed, was retried ``max_retries`` times, or does not exist.
        """
        key, owner = self._ctx.check.ident(thought_id, "thought_id"), self._ctx.owner(occurrence_id)
        most, now = whole(max_retries, "max_retries", 0, 2**31 - 1), self._ctx.changed_at()
        return self._x.write("thoughts.retry", lambda session: session.thoughts.retry(key, owner, most, now))

    def escalate(self, thought_id: str, *, occurrence_id: Owner = None) -> bool:
        """Add 1 to ``escalation_level``; return False if that owner has no such thought."""
        key, owner = self._ctx.check.ident(thought_id, "thought_id"), self._ctx.owner(occurrence_id)
        now = self._ctx.changed_at()
        return self._x.write("thoughts.escalate", lambda session: session.thoughts.escalate(key, owner, now))

    @overload
    def transfer(self, *, thought_id: str, from_occurrence: str, to_occurrence: str) -> bool: ...

    @overload
    def transfer(self, *, task_id: str, from_occurrence: str, to_occurrence: str) -> int: ...

    def transfer(
        self, *, thought_id: str | None = None, task_id: str | None = None, from_occurrence: str, to_occurrence: str
    ) -> bool | int:
        """Transfer thoughts to another owner; only owner and ``updated_at`` change.

        Give exactly one of ``thought_id``, which returns True if ``from_occurrence`` owned the thought and it moved,
        and ``task_id`` for all thoughts of that task, which returns the number moved. If any moved, an audit event
        ``thought_ownership_transfer`` is stored in the same transaction, as a correlation of type ``audit_event``.
        """
        check, ctx = self._ctx.check, self._ctx
        if (thought_id is None) == (task_id is None):
            raise InvalidArgument(
                "exactly one of thought_id and task_id is needed. "
                "Give thought_id for one thought, or task_id for all of a task."
            )
        thought, task = check.optional(thought_id, "thought_id"), check.optional(task_id, "task_id")
        source, target = ctx.one_owner(from_occurrence, "from_occurrence"), check.ident(to_occurrence, "to_occurrence")
        selector = ThoughtSelector(task_id=task, thought_ids=[] if thought is None else [thought])
        now = ctx.changed_at()

        def fn(session: Session) -> int:
            moved = session.thoughts.transfer(selector, source, target, now)
            if moved:
                action: Transfer = "thought_ownership_transfer"
                record_transfer(session, ctx, action, source, target, task_id=task, thought_id=thought, count=moved)
            return moved

        moved = self._x.write("thoughts.transfer", fn, single=False)
        return moved if thought_id is None else moved == 1

    # --- inside ---------------------------------------------------------------------------------

    def _query(
        self,
        *,
        status: OneOrMore[ThoughtStatus | str] = None,
        thought_type: OneOrMore[ThoughtType | str] = None,
        occurrence_id: Owner = None,
        source_task_id: str | None = None,
        parent_thought_id: str | None = None,
        created_from: datetime | None = None,
        updated_to: datetime | None = None,
        of_active_tasks: bool = False,
        **unknown: object,
    ) -> dict[str, Any]:
        refuse_unknown(unknown, ThoughtFilters)
        check = self._ctx.check
        return {
            "occurrence_id": self._ctx.owner(occurrence_id),
            "statuses": several(ThoughtStatus, status, "status"),
            "thought_types": several(ThoughtType, thought_type, "thought_type"),
            "source_task_id": check.optional(source_task_id, "source_task_id"),
            "parent_thought_id": check.optional(parent_thought_id, "parent_thought_id"),
            "created_from": moment(created_from, "created_from"),
            "updated_to": moment(updated_to, "updated_to"),
            "of_active_tasks": bool(of_active_tasks),
        }

    def _page(self, query: dict[str, Any], order: ThoughtOrder, limit: int, cursor: str | None) -> Page[Thought]:
        if order not in _ORDERS:
            raise InvalidArgument(f"order must be one of {', '.join(_ORDERS)}, not {order!r}")
        listing = f"thoughts:{order}"
        after = position(self._ctx, listing, _SHAPE, cursor)
        page = ThoughtQuery(**query, order=order, limit=limit_of(limit), after=after)
        return page_of(self._x.read("thoughts.find", lambda session: session.thoughts.find(page)), listing)


def _stored(session: Session, ids: Ids) -> ThoughtList:
    return session.thoughts.get(ids, None)


def _add(session: Session, thoughts: ThoughtList) -> None:
    session.thoughts.add(thoughts, True)
