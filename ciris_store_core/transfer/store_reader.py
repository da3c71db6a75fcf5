"""Reading of a whole store in chunks, as it is at one moment, from any position on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.models.paging import CorruptRow, SortKey, decode_cursor, encode_cursor
from ciris_store_core.store import Store
from ciris_store_core.store.access.known_authorities import ROOT_KEY
from ciris_store_core.store.audit.store_identity import read_identity
from ciris_store_core.store.execution import StoreExecutor
from ciris_store_core.transfer.copy_progress import refuse_unfinished
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.record_kinds import KindSelection, Read, RecordKind

FIRST_PAGE = 200
LARGEST_PAGE = 2000
CHUNK_BYTES = 4 * 2**20
"""The size of a chunk to aim at. Large records make smaller pages."""

OnCorrupt = Callable[[str, CorruptRow], object]
"""Called with a kind and a corrupt row of it, which is then left out."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one kind."""

    kind: RecordKind
    records: list[Any]
    tally: Tally
    position: str
    """The position of the next chunk."""


class Reader(Protocol):
    """A source of records."""

    @property
    def identity(self) -> str:
        """Return the name of the source, which stays the same from run to run."""
        ...

    def chunks(self, position: str | None) -> Iterator[Chunk]:
        """Yield all records from a position on, by kind in the order of ``KINDS``."""
        ...

    def total(self, kind: RecordKind) -> int | None:
        """Return the number of records of a kind, if it is known."""
        ...

    def root(self) -> GraphNode | None:
        """Return the root node if the source has authorities."""
        ...

    def stores(self) -> tuple[str, ...]:
        """Return the ids of the stores that audit entries of the source are bound to."""
        ...


def executor_of(store: Store) -> StoreExecutor:
    """Return the executor of an open store, which also applies its policy."""
    return cast(StoreExecutor, store._x)


def refuse_corrupt(kind: str, row: CorruptRow) -> None:
    """Raise ``Corrupt`` for the row: the default ``OnCorrupt``."""
    raise Corrupt(
        f"a stored row of {kind}, {row.key!r}, cannot be read ({row.error}). Fix or delete it, or leave it out."
    )


def tallied(reader: Reader, told: Callable[[Chunk], object] = lambda chunk: None) -> dict[str, Tally]:
    """Return the tally of each kind that has records; call ``told`` with every chunk."""
    found: dict[str, Tally] = {}
    for chunk in reader.chunks(None):
        found[chunk.kind.name] = found.get(chunk.kind.name, Tally()) + chunk.tally
        told(chunk)
    return found


@dataclass(slots=True)
class StoreReader:
    """A snapshot of a store."""

    session: Session
    identity: str
    selection: KindSelection
    on_corrupt: OnCorrupt = refuse_corrupt
    _limit: int = field(default=FIRST_PAGE)

    @classmethod
    @contextmanager
    def of(
        cls,
        store: Store,
        selection: KindSelection,
        on_corrupt: OnCorrupt = refuse_corrupt,
        identity: str | None = None,
        ask: bool = True,
    ) -> Iterator[StoreReader]:
        """Open a snapshot of the store for the block; its ``identity`` is the URL unless one is given.

        The store's policy is asked about each read, except if the store itself reads (``ask=False``).
        """
        name = identity or str(store.info()["url"])
        # Layers above the API that work on rows use the same backend as the parts of the store.
        executor = executor_of(store)
        guard = executor.guard
        try:
            with store._backend.snapshot() as session:
                read = guard(session, False) if ask and guard.watches else session
                yield cls(read, name, selection, on_corrupt)
        finally:
            if guard.denied:
                executor._record_denials()

    @classmethod
    @contextmanager
    def of_source(
        cls, store: Store, selection: KindSelection, on_corrupt: OnCorrupt = refuse_corrupt
    ) -> Iterator[StoreReader]:
        """Open a snapshot of a store to be moved; raise ``Conflict`` if that store is an unfinished copy itself."""
        with cls.of(store, selection, on_corrupt) as reader:
            refuse_unfinished(reader.session, reader.identity)
            yield reader

    def total(self, kind: RecordKind) -> int | None:
        """Return the number of records if counting loads no row. All scopes count."""
        return None if kind.count is None else kind.count(self._unasked)

    @property
    def _unasked(self) -> Session:
        """Return the session below the policy, for reads that disclose no record."""
        return getattr(self.session, "inner", self.session)

    def root(self) -> GraphNode | None:
        """Return the root node, unless the selection leaves it out."""
        if {"nodes", "graph", str(GraphScope.IDENTITY)} & set(self.selection.without):
            return None
        return next(iter(self.session.graph.get_nodes([ROOT_KEY], None)), None)

    def stores(self) -> tuple[str, ...]:
        """Return the store's own id, and the ids of stores that were copied into it."""
        found = read_identity(self._unasked)
        return (found.store, *found.copied) if found else ()

    def chunks(self, position: str | None) -> Iterator[Chunk]:
        """Yield page by page; ``position`` names a stream and a place in it."""
        begin, _, cursor = (position or "").partition(" ")
        for kind in self.selection.kinds():
            for name, read in self.selection.streams(kind).items():
                stream = f"{kind.name}/{name}"
                if begin and stream != begin:
                    continue
                at_end = cursor == END
                after = None if at_end else decode_cursor(stream, cursor or None)
                begin = cursor = ""
                if not at_end:
                    yield from self._pages(kind, stream, read, after)

    def _pages(self, kind: RecordKind, stream: str, read: Read, after: SortKey | None) -> Iterator[Chunk]:
        while True:
            page = read(self.session, after, self._limit)
            for row in page.corrupt:
                self.on_corrupt(kind.name, row)
            after = page.next_after
            tally = Tally()
            size = tally.add(page.items)
            if page.items:
                where = encode_cursor(stream, after) or END
                yield Chunk(kind, page.items, tally, f"{stream} {where}")
                fitting = CHUNK_BYTES * len(page.items) // max(size, 1)
                self._limit = max(1, min(fitting, self._limit * 4, LARGEST_PAGE))
            if after is None:
                return


END = "end"
"""The cursor of a stream that was read to its end."""


def digest_store(store: Store, *, without: Iterable[str] = ()) -> dict[str, Tally]:
    """Return the tally of each kind of records, as the store is at one moment. It reads the whole store.

    Two stores with equal digests hold the same records. ``without`` names kinds or scopes to leave out, as for
    ``copy_store``.
    """
    with StoreReader.of(store, KindSelection.of(without)) as reader:
        return tallied(reader)
