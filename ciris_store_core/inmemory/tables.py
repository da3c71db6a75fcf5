"""Tables of records as one transaction sees them, and the operations that all aggregates share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from ciris_store_core.errors import AlreadyExists, TransactionError
from ciris_store_core.models.audit import AuditAnchor, AuditEntry
from ciris_store_core.models.base import Record
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.documents import DocumentKey, StoredDocument
from ciris_store_core.models.graph import EdgeKey, GraphEdge, GraphNode, NodeKey
from ciris_store_core.models.paging import PageRequest, ResultPage, SortKey
from ciris_store_core.models.secrets import SecretAccess, SecretRecord
from ciris_store_core.models.streams import StoredEntry, StreamInfo, StreamKey
from ciris_store_core.models.tasks import Task
from ciris_store_core.models.thoughts import Thought

K = TypeVar("K")
R = TypeVar("R", bound=Record | StoredDocument | StoredEntry)

Snapshot = list[dict[Any, Any]]
"""The rows of all tables at one moment, in the order of ``Tables``' fields. Nothing changes them any more."""


class Table(Generic[K, R]):
    """Records of one kind by key, as one transaction sees them.

    A stored record is never changed, only replaced, so copies of the dict can share records. The dict itself is
    copied before the first change after a snapshot.
    """

    def __init__(self, kind: str, rows: dict[K, R], *, writable: bool) -> None:
        """Begin with ``rows``, which belong to a snapshot; errors name a record by its ``kind``."""
        self._kind = kind
        self._rows = rows
        self._shared = True
        self._writable = writable
        self._over = False

    @property
    def rows(self) -> Mapping[K, R]:
        """The stored rows. The records are not copies: never change one, and never return one to a caller."""
        if self._over:
            raise TransactionError("the transaction is over. Open a new one and use its own handle.")
        return self._rows

    def pick(self, keys: Iterable[K]) -> list[R]:
        """Copies of the records of these keys that exist, each once."""
        return [copied(self.rows[key]) for key in dict.fromkeys(keys) if key in self.rows]

    def add(self, records: Mapping[K, R]) -> None:
        """Store new records; a key that exists: AlreadyExists, and nothing is written."""
        for key in records:
            if key in self.rows:
                raise AlreadyExists(
                    f"{self._kind} {key!r} already exists",
                    kind=self._kind,
                    key=key,
                    hint="Use another id, or, as in tasks.add(..., exist_ok=True), accept an identical record.",
                )
        for key, record in records.items():
            self.put(key, record)

    def put(self, key: K, record: R) -> None:
        """Store a copy of the record, replacing what is stored under the key."""
        self._own()[key] = copied(record)

    def change(self, key: K, **changes: Any) -> None:
        """Replace some fields of a stored record."""
        stored = self.rows[key]
        self.put(key, stored.replaced(**changes) if isinstance(stored, Record) else replace(stored, **changes))

    def delete(self, keys: Iterable[K]) -> int:
        """Remove records; return the number of removed ones."""
        rows = self._own()
        return sum(rows.pop(key, None) is not None for key in list(keys))

    def require_write(self) -> None:
        """Raise ``TransactionError`` in a transaction that holds no lock, since it was opened for reading."""
        if not self._writable:
            raise TransactionError("the session was opened for reading. Open it with write=True.")

    def snapshot(self) -> dict[K, R]:
        """The rows as they are now; later changes of this table do not reach them."""
        self._shared = True
        return self._rows

    def restore(self, rows: dict[K, R]) -> None:
        """Go back to an earlier snapshot."""
        self._rows, self._shared = rows, True

    def end(self) -> None:
        """Refuse any further use."""
        self._over = True

    def _own(self) -> dict[K, R]:
        self.require_write()
        if self._shared:
            self.restore(dict(self.rows))
            self._shared = False
        return self._rows


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables, as one transaction sees them."""

    nodes: Table[NodeKey, GraphNode]
    edges: Table[EdgeKey, GraphEdge]
    correlations: Table[str, Correlation]
    tasks: Table[str, Task]
    thoughts: Table[str, Thought]
    occurrences: Table[str, Occurrence]
    leases: Table[str, Lease]
    secrets: Table[str, SecretRecord]
    accesses: Table[str, SecretAccess]
    entries: Table[tuple[str, int], AuditEntry]
    anchors: Table[str, AuditAnchor]
    documents: Table[DocumentKey, StoredDocument]
    streams: Table[StreamKey, StreamInfo]
    stream_entries: Table[tuple[StreamKey, int], StoredEntry]

    @classmethod
    def of(cls, snapshot: Snapshot, *, writable: bool) -> Tables:
        """The tables of a transaction that begins with this snapshot."""
        return cls(*(Table(kind, rows, writable=writable) for kind, rows in zip(_KINDS, snapshot, strict=True)))

    def snapshot(self) -> Snapshot:
        """The rows of all tables as they are now."""
        return [table.snapshot() for table in self._all()]

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to an earlier snapshot."""
        for table, rows in zip(self._all(), snapshot, strict=True):
            table.restore(rows)

    def end(self) -> None:
        """Refuse any further use."""
        for table in self._all():
            table.end()

    def _all(self) -> list[Table[Any, Any]]:
        return [getattr(self, name) for name in TABLE_NAMES]


TABLE_NAMES = tuple(field.name for field in fields(Tables))
_KINDS = (
    "node",
    "edge",
    "correlation",
    "task",
    "thought",
    "occurrence",
    "lease",
    "secret",
    "secret access",
    "audit entry",
    "audit anchor",
    "document",
    "stream",
    "stream entry",
)


def copied(value: Any) -> Any:
    """Return a deep copy of a record or of JSON, as a database would return it: tuples as lists, -0.0 as 0.0."""
    if isinstance(value, StreamInfo):
        return value.replaced()  # its namespace stays a tuple
    if isinstance(value, Record):
        return _copied_record(value)
    if isinstance(value, StoredDocument):
        return replace(value, metadata=copied(value.metadata))
    if isinstance(value, StoredEntry):
        return replace(value)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value


def _copied_record(record: Record) -> Record:
    copy = record.replaced(**copied(record.__dict__))
    # Attributes beyond an edge's fields; pydantic's own assignment would validate them one by one.
    object.__setattr__(copy, "__pydantic_extra__", copied(record.__pydantic_extra__))
    return copy


def page(
    rows: Iterable[R], request: PageRequest, key: Callable[[R], SortKey], descending: tuple[bool, ...]
) -> ResultPage[R]:
    """The page of the rows that was asked for, by sort key; ``descending`` says which of its columns are so."""
    after = request.after
    left = [row for row in rows if after is None or _beyond(key(row), after, descending)]
    items = ordered(left, key, descending)[: request.limit]
    more = len(left) > len(items) > 0
    return ResultPage([copied(row) for row in items], key(items[-1]) if more else None)


def ordered(rows: Iterable[R], key: Callable[[R], SortKey], descending: tuple[bool, ...]) -> list[R]:
    """The rows by sort key, each column of it in its own direction."""
    result = list(rows)
    # Sorting is stable: by the last column first, each earlier one keeps the order of the later ones among equals.
    for column, down in reversed(list(enumerate(descending))):
        result.sort(key=_column(key, column), reverse=down)
    return result


def _column(key: Callable[[R], SortKey], column: int) -> Callable[[R], Any]:
    return lambda row: key(row)[column]


def _beyond(key: SortKey, after: SortKey, descending: tuple[bool, ...]) -> bool:
    for mine, theirs, down in zip(key, after, descending, strict=True):
        if mine != theirs:
            return bool((mine < theirs) == down)
    return False
