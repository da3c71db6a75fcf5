"""Base of the resources of a store: pages, cursors, filters, and idempotent inserts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AlreadyExists, Conflict, Corrupt, InvalidArgument, StoreError, Unavailable
from ciris_store_core.models.base import NamedEnum, Record
from ciris_store_core.models.paging import CorruptRow, Page, ResultPage, SortKey, decode_cursor, encode_cursor
from ciris_store_core.secrets.crypto import keep, resolve_references
from ciris_store_core.secrets.redaction import ExtractedSecrets, owner_of
from ciris_store_core.secrets.references import references_in
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Blocking, Executor
from ciris_store_core.validation.json_values import INT64

T = TypeVar("T")
R = TypeVar("R", bound=Record)
E = TypeVar("E", bound=NamedEnum)
OneOrMore: TypeAlias = T | Iterable[T] | None

SCAN_SIZE = 1000
_TRIES = 10
OnCorrupt = Callable[[CorruptRow], object]


class Resource(Blocking):
    """One aggregate of a store or a transaction, such as its tasks."""

    __slots__ = ("_ctx", "_x")

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Called by the store."""
        self._x = executor
        self._ctx = ctx


# --- pages ------------------------------------------------------------------------------------


def page_of(found: ResultPage[T], listing: str) -> Page[T]:
    """Return the page of a found slice, with its cursor."""
    return Page(found.items, encode_cursor(listing, found.next_after), found.corrupt)


def position(ctx: StoreContext, listing: str, shape: Sequence[type], cursor: str | None) -> SortKey | None:
    """Return the sort key of a cursor. It is validated: cursors come from outside and can be forged."""
    after = decode_cursor(listing, cursor)
    if after is None:
        return None
    if len(after) != len(shape) or any(type(value) is not kind for value, kind in zip(after, shape, strict=True)):
        raise InvalidArgument("the cursor is not one of this store's. Pass on page.next_cursor as it is.")
    return tuple(_checked(ctx, value) for value in after)


def end_after(error: BaseException | None, end: Callable[[], object], name: str) -> None:
    """Call ``end`` after a block. If the block failed, an error of ``end`` becomes a note on the block's error."""
    try:
        end()
    except StoreError as problem:
        if error is None:
            raise
        error.add_note(f"{name} failed as well: {problem}")


def _checked(ctx: StoreContext, value: Any) -> Any:
    if isinstance(value, int) and value not in INT64:
        raise InvalidArgument("the cursor is not one of this store's. Pass on page.next_cursor as it is.")
    return ctx.check.text(value, "cursor") if isinstance(value, str) else value


def all_pages(next_page: Callable[[str | None], Page[T]], on_corrupt: OnCorrupt | None) -> Iterator[T]:
    """Yield the items of all pages, each read when it is needed."""
    cursor: str | None = None
    while True:
        page = next_page(cursor)
        for row in page.corrupt:
            if on_corrupt is None:
                raise_corrupt(row, "Repair it, or pass on_corrupt= to go on.")
            on_corrupt(row)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def raise_corrupt(row: CorruptRow, advice: str = "Repair it.") -> NoReturn:
    """Raise ``Corrupt`` for a row that its listing could not decode."""
    raise Corrupt(f"the stored row {row.key!r} cannot be read ({row.error}). {advice}")


# --- filters ----------------------------------------------------------------------------------


def refuse_unknown(filters: Iterable[str], known: type) -> None:
    """Raise ``InvalidArgument`` if there is any of these filters, which ``known``, a ``TypedDict``, does not name."""
    for name in filters:
        raise InvalidArgument(f"{name!a} is not a filter here. Use one of: {', '.join(known.__annotations__)}.")


def several(kind: type[E], value: OneOrMore[Any], name: str) -> tuple[Any, ...]:
    """Return the members of an enum for None (no filter), one value or several."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (kind.parse(value),)
    members = tuple(dict.fromkeys(kind.parse(item) for item in value))
    if not members:
        raise InvalidArgument(f"{name}: the selection is empty. Leave it out to mean all.")
    return members


def several_ids(ctx: StoreContext, value: OneOrMore[str], name: str) -> tuple[str, ...]:
    """Return the names for None (no filter), one name or several."""
    if value is None:
        return ()
    names = tuple(ctx.check.idents([value] if isinstance(value, str) else value, name))
    if not names:
        raise InvalidArgument(f"{name}: the selection is empty. Leave it out to mean all.")
    return names


class Expiring(Protocol):
    """Record that may expire."""

    @property
    def expires_at(self) -> datetime | None:
        """The time at which it expires; None for never."""


M = TypeVar("M", bound=Expiring)


def living(records: list[M], server_now: Callable[[], datetime]) -> list[M]:
    """Return the records that have not expired. The server's time is asked for only if one of them may expire."""
    if all(record.expires_at is None for record in records):
        return records
    now = server_now()
    return [record for record in records if record.expires_at is None or record.expires_at > now]


def by_id(records: Iterable[R], field: str, ids: Iterable[str]) -> dict[str, R]:
    """Return records by id, in the order of the ids."""
    found = {getattr(record, field): record for record in records}
    return {key: found[key] for key in ids if key in found}


# --- adding -----------------------------------------------------------------------------------


def prepare(ctx: StoreContext, record: R, model: type[R], now: datetime, extracted: ExtractedSecrets | None) -> R:
    """Return the record as it is to be stored: validated, with its owner. See ``Validator.record``."""
    ready = ctx.check.record(record, model, now, extracted)
    if "agent_occurrence_id" not in record.__pydantic_fields_set__:
        ready.__dict__["agent_occurrence_id"] = ctx.occurrence_id
    elif ctx.bound and ready.__dict__["agent_occurrence_id"] != ctx.occurrence_id:
        raise ctx.other_owner(ready.__dict__["agent_occurrence_id"])
    return ready


def prepare_many(
    ctx: StoreContext, records: Iterable[R], model: type[R], key: str, extracted: ExtractedSecrets
) -> tuple[list[R], list[R]]:
    """Return the records as given and as they are to be stored; refuse an id that occurs twice."""
    given = list(records)
    now = ctx.clock.now()
    ready = [prepare(ctx, record, model, now, extracted) for record in given]
    refuse_repeats([record.__dict__[key] for record in ready], key)
    return given, ready


def refuse_repeats(keys: Sequence[Any], name: str) -> None:
    """Raise ``InvalidArgument`` if a batch names one key twice."""
    if len(set(keys)) != len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise InvalidArgument(f"{name} {ascii(twice)[:80]} occurs twice in this batch. Keep one of them.")


def add_or_same(
    operation: str,
    executor: Executor,
    ctx: StoreContext,
    given: Sequence[R],
    ready: Sequence[R],
    key: str,
    stored: Callable[[Session, list[str]], list[R]],
    add: Callable[[Session, list[R]], None],
    extracted: ExtractedSecrets,
) -> list[R]:
    """Store new records and return what is stored; ``AlreadyExists`` if a stored record differs in a given field.

    ``extracted``: the secrets of what is ready; where a record is stored already, its secrets are too.
    """
    ids = [record.__dict__[key] for record in ready]

    def fn(session: Session) -> list[R]:
        found = {record.__dict__[key]: record for record in stored(session, ids)}
        for want, wanted in zip(given, ready, strict=True):
            known = found.get(wanted.__dict__[key])
            if known is not None:
                _refuse_difference(session, ctx, want, wanted, known, key, extracted)
        new = [record for record in ready if record.__dict__[key] not in found]
        if new:
            try:
                add(session, new)
            except Conflict as error:  # Backends of contract 1 raise no AlreadyExists.
                raise _Raced from error
            if extracted:
                keep(session, extracted, [owner_of(record) for record in new])
        return [found.get(record.__dict__[key], record) for record in ready]

    for _ in range(_TRIES):
        try:
            return executor.write(operation, fn, single=False)
        except _Raced:
            continue  # Another caller inserted one of them between the read and the write; now it can be compared.
    raise Unavailable(f"other callers added and deleted the same records {_TRIES} times meanwhile. Call again.")


class _Raced(Exception):
    """Another caller inserted a record between the read and the write."""


def _refuse_difference(
    session: Session, ctx: StoreContext, given: R, wanted: R, stored: R, key: str, extracted: ExtractedSecrets
) -> None:
    field = stored_otherwise(session, ctx, given, wanted, stored, extracted)
    if ctx.bound and stored.__dict__["agent_occurrence_id"] != wanted.__dict__["agent_occurrence_id"]:
        field = "agent_occurrence_id"  # Not given by the caller, but implied by a bound handle.
    if field is not None:
        kind = type(wanted).__name__.lower()
        raise AlreadyExists(
            f"{kind} {ascii(wanted.__dict__[key])[:80]} already exists, with another {field}",
            kind=kind,
            key=wanted.__dict__[key],
            hint="Read it and decide, or use another id.",
        )


def stored_otherwise(
    session: Session, ctx: StoreContext, given: Record, wanted: Record, stored: Record, extracted: ExtractedSecrets
) -> str | None:
    """Return the first given field that is stored with another value; ``extracted``: the secrets of ``wanted``."""
    field = difference(given, wanted, stored)
    if field is None or not ctx.crypto.has_keys or not (ids := references_in(stored)):
        return field
    # Every encryption gives a secret a new reference, so the decrypted values are compared.
    known = [secret for secret in session.secrets.get(list(ids)) if secret.metadata.get("owner") == owner_of(stored)]
    return difference(
        given, resolve_references(ctx.crypto, wanted, extracted), resolve_references(ctx.crypto, stored, known)
    )


def difference(given: Record, wanted: Record, stored: Record) -> str | None:
    """Return the first given field that is stored with another value."""
    for name in sorted(given.__pydantic_fields_set__):
        ours, theirs = wanted.__dict__[name], stored.__dict__[name]
        if isinstance(ours, Record) and isinstance(theirs, Record):
            inner = difference(given.__dict__[name], ours, theirs)
            if inner is not None:
                return f"{name}.{inner}"
        elif not identical(ours, theirs):
            return name
    return None


def identical(a: Any, b: Any) -> bool:
    """Return True if both are equal as JSON, which distinguishes 1, 1.0 and True."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(identical(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, bool | int | float) or isinstance(b, bool | int | float):
        return type(a) is type(b) and a == b
    return bool(a == b)
