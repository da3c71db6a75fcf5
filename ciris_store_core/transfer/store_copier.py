"""Copying of records into a store: resumable, and verified by digests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, Corrupt, InvalidArgument
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.models.paging import CorruptRow
from ciris_store_core.store import Store
from ciris_store_core.store.access.known_authorities import ROOT_KEY, has_authorities, lock_authorities
from ciris_store_core.store.access.session_guard import GuardedSession, guarded
from ciris_store_core.store.audit.store_identity import copy_identity
from ciris_store_core.transfer.copy_progress import CopyProgress, end_progress, read_progress, save_progress
from ciris_store_core.transfer.digest import Tally, canonical
from ciris_store_core.transfer.payload_kinds import is_encrypted
from ciris_store_core.transfer.read_ahead import read_ahead
from ciris_store_core.transfer.record_kinds import GROUPS, KINDS, KindSelection, RecordKind
from ciris_store_core.transfer.store_reader import Chunk, Reader, StoreReader, refuse_corrupt, tallied

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransferStep:
    """The progress of a transfer, for progress bars."""

    phase: str
    """``copy``, ``check`` (reading the source again, or the file) or ``verify`` (reading the target)."""
    kind: str
    done: int
    """The number of records of that kind so far."""
    total: int | None = None
    """The number of records of that kind, if it is known."""


OnStep = Callable[[TransferStep], object]


def silent(step: TransferStep) -> None:
    """Report no progress."""


@dataclass(slots=True)
class TransferReport:
    """The result of a transfer."""

    source: str
    target: str
    kinds: dict[str, Tally] = field(default_factory=dict)
    """The number and digest of the records of each kind that has any."""
    resumed: bool = False
    """True if the transfer continued where an earlier run had stopped."""
    verified: bool = False
    """True if the target was read again and holds exactly the records that were read from the source."""
    corrupt: list[str] = field(default_factory=list)
    """Corrupt rows that were left out, as ``kind key``."""
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """Return the number of records of all kinds."""
        return sum(tally.count for tally in self.kinds.values())

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that can be written as JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "records": self.records,
            "kinds": {name: {"count": t.count, "digest": f"{t.total:064x}"} for name, t in self.kinds.items()},
            "resumed": self.resumed,
            "verified": self.verified,
            "corrupt": self.corrupt,
            "seconds": round(self.seconds, 3),
        }


def copy_store(
    source: Store,
    target: Store,
    *,
    without: Iterable[str] = (),
    into_existing: bool = False,
    skip_corrupt: bool = False,
    verify: bool = True,
    on_step: OnStep = silent,
) -> TransferReport:
    """Copy a whole store to another one, of any backend, as the source is at one moment.

    If the copy is interrupted, call it again with the same arguments: it continues where it stopped. Until it is
    finished, the target holds a marker (the occurrence ``__copy__``, which is not alive). If the source changes between
    two runs, the digests differ and the copy fails.

    Args:
        source: The store to copy. It is not changed.
        target: An empty store, or the target of the same copy, unfinished.
        without: Names of kinds (``tasks``), groups (``graph``, ``secrets``, ``audit``) or scopes (``identity``) to
            leave out.
        into_existing: Add to the records of the target. A record that exists there raises ``AlreadyExists``. No
            other program may write to the target meanwhile.
        skip_corrupt: Leave out corrupt rows, and report them.
        verify: Read the target at the end, and compare its digests with those of the records that were read.
        on_step: Called with the progress.

    Raises:
        Conflict: The target is not empty, or holds another unfinished copy; or the source changed between two runs.
        Corrupt: A row of the source is corrupt, or the target does not hold the records that were written.
    """
    selection = KindSelection.of(without)
    if str(source.info()["url"]) == str(target.info()["url"]) and source.info()["backend"] != "memory":
        raise InvalidArgument("source and target are the same store. Name another target.")
    skipped: list[str] = []

    def skip(kind: str, row: CorruptRow) -> None:
        skipped.append(f"{kind} {row.key}")

    opened = StoreReader.of_source(source, selection, skip if skip_corrupt else refuse_corrupt)
    with read_ahead(opened) as reader:
        report = move(reader, target, selection, into_existing=into_existing, verify=verify, on_step=on_step)
    report.corrupt = list(dict.fromkeys(skipped))
    return report


def move(
    reader: Reader, target: Store, selection: KindSelection, *, into_existing: bool, verify: bool, on_step: OnStep
) -> TransferReport:
    """Write all records of a reader into a store."""
    began = time.monotonic()
    copier = _StoreCopier(reader, target, selection, on_step)
    progress, resumed = copier.progress_or_begin(into_existing)
    copier.write_all(progress)
    if verify:
        copier.verify(progress, resumed)
    copier.finish(progress)
    return TransferReport(
        source=reader.identity,
        target=str(target.info()["url"]),
        kinds=progress.copied,
        resumed=resumed,
        verified=verify,
        seconds=time.monotonic() - began,
    )


class _StoreCopier:
    def __init__(self, reader: Reader, target: Store, selection: KindSelection, on_step: OnStep) -> None:
        self._reader = reader
        self._target = target
        self._selection = selection
        self._on_step = on_step
        self._x = target._x

    def write(self, fn: Callable[[GuardedSession], T]) -> T:
        """Run ``fn`` in a transaction of its own."""
        return self._x.write("transfer.write", lambda session: fn(guarded(session)), single=False)

    # --- progress ------------------------------------------------------------------------------

    def progress_or_begin(self, into_existing: bool) -> tuple[CopyProgress, bool]:
        """Return the progress of the copy, and whether an earlier run began it."""
        found = self._x.read("transfer.read_progress", read_progress, single=True)
        if found is None or not (found.copied or self._is_same_copy(found)):
            return self._begin(into_existing), False
        if not self._is_same_copy(found):
            left_out = f" without {', '.join(found.without)}" if found.without else ""
            raise Conflict(
                f"the target holds an unfinished copy of {found.source}{left_out}",
                hint="Continue that copy, or empty the target.",
            )
        return found, True

    def _is_same_copy(self, found: CopyProgress) -> bool:
        return (found.source, found.without) == (self._reader.identity, self._selection.without)

    def _begin(self, into_existing: bool) -> CopyProgress:
        progress = CopyProgress(self._reader.identity, self._selection.without, into_existing=into_existing)
        if into_existing:
            progress.before = self._read_tallies("check")
        elif self._has_records():
            raise Conflict(
                "the target is not empty", hint="Name an empty store, or pass into_existing=True to add to it."
            )
        now = self._target.server_now()
        self.write(lambda session: save_progress(session.inner, progress, now))
        return progress

    def _has_records(self) -> bool:
        # The marker of a copy that has written nothing yet does not count as a record.
        with StoreReader.of(self._target, KindSelection(), ask=False) as target:
            return next(target.chunks(None), None) is not None

    # --- the records --------------------------------------------------------------------------

    def write_all(self, progress: CopyProgress) -> None:
        """Write every chunk in one transaction, together with the progress after it."""
        now = self._target.server_now()
        tell = self._progress_reporter("copy", self._reader, progress.copied)
        stores = self._reader.stores()
        for chunk in self._reader.chunks(progress.position):
            name = chunk.kind.name
            after = replace(
                progress,
                position=chunk.position,
                copied={**progress.copied, name: progress.copied.get(name, Tally()) + chunk.tally},
            )

            def fn(session: GuardedSession, chunk: Chunk = chunk, after: CopyProgress = after) -> None:
                records = [each for each in chunk.records if not (isinstance(each, GraphNode) and each.key == ROOT_KEY)]
                chunk.kind.add(self._writer(session, chunk.kind, records, after), records)
                if stores and (chunk.kind.name in GROUPS["audit"] or any(map(is_encrypted, records))):
                    copy_identity(session.inner, self._target._ctx.signer, now, stores)
                save_progress(session.inner, after, now)

            try:
                self.write(fn)
            except Conflict as error:
                raise type(error)(
                    error.args[0],
                    kind=error.kind,
                    key=error.key,
                    hint=f"Leave {name} out, or copy into an empty store.",
                ) from error
            progress.position, progress.copied = after.position, after.copied
            tell(chunk)

    def _writer(
        self, session: GuardedSession, kind: RecordKind, records: Sequence[Any], progress: CopyProgress
    ) -> Session:
        """Return the session to write to: the guarded one, unless the target has no authority."""
        # The guards would append the copied audit events to the chain again, so only the graph is written through them.
        ask = kind.name in GROUPS["graph"] and (progress.into_existing or self._has_authority(session, records))
        return cast(Session, session) if ask else session.inner

    def _has_authority(self, session: GuardedSession, records: Sequence[Any]) -> bool:
        """Return whether a record is protected and the target has an authority that must approve it."""
        if not any(record.scope in session.guard.policy.protected for record in records):
            return False
        # The lookup happens in the transaction that writes, under the lock of bootstrap. The marker proves nothing: it
        # says only that the target was empty when the copy began.
        lock_authorities(session.inner)
        return has_authorities(session.inner.graph)

    def finish(self, progress: CopyProgress) -> None:
        """Write the node that gives the target its authorities: last, so that an unfinished copy brings none along."""
        root = self._reader.root()

        def fn(session: GuardedSession) -> None:
            if root is not None:
                nodes = KINDS["nodes"]
                nodes.add(self._writer(session, nodes, [root], progress), [root])
            end_progress(session.inner)

        self.write(fn)

    def _progress_reporter(
        self, phase: str, reader: Reader, so_far: Mapping[str, Tally], totals: Mapping[str, int] | None = None
    ) -> Callable[[Chunk], None]:
        done = {kind: tally.count for kind, tally in so_far.items()}
        known: dict[str, int | None] = dict(totals or {})

        def tell(chunk: Chunk) -> None:
            name = chunk.kind.name
            if name not in known:
                known[name] = reader.total(chunk.kind)
            done[name] = done.get(name, 0) + len(chunk.records)
            self._on_step(TransferStep(phase, name, done[name], known[name]))

        return tell

    # --- verification -------------------------------------------------------------------------

    def verify(self, progress: CopyProgress, resumed: bool) -> None:
        """Compare the records of the target with those that were read."""
        wanted = dict(progress.copied)
        if resumed:
            # Records that were read in several runs need not have existed together at any one moment.
            now = tallied(self._reader, self._progress_reporter("check", self._reader, {}))
            self._refuse_difference(
                now, wanted, Conflict, "the source changed between the runs", "Empty the target, and copy again."
            )
        for kind, tally in progress.before.items():
            wanted[kind] = wanted.get(kind, Tally()) + tally
        held = self._read_tallies("verify", {kind: tally.count for kind, tally in wanted.items()})
        root = self._reader.root()
        if root is not None:
            held["nodes"] = held.get("nodes", Tally()) + Tally.of([canonical(root)])
        self._refuse_difference(
            held, wanted, Corrupt, "the target does not hold what was written to it", "Do not use it, and copy again."
        )

    def _read_tallies(self, phase: str, totals: Mapping[str, int] | None = None) -> dict[str, Tally]:
        with StoreReader.of(self._target, KindSelection(), ask=False) as target:
            return tallied(target, self._progress_reporter(phase, target, {}, totals))

    def _refuse_difference(
        self,
        found: Mapping[str, Tally],
        wanted: Mapping[str, Tally],
        error: type[Conflict | Corrupt],
        what: str,
        hint: str,
    ) -> None:
        names = [name for name in KINDS if found.get(name, Tally()) != wanted.get(name, Tally())]
        if names:
            counts = {name: (found.get(name, Tally()).count, wanted.get(name, Tally()).count) for name in names}
            shown = ", ".join(f"{name} ({there} for {expected})" for name, (there, expected) in counts.items())
            raise error(f"{what}: digests differ for {shown}", hint=hint)
