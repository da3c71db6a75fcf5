"""Faults: each replaces methods of the reference backend and names the clauses whose tests must catch it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock, ManualClock
from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.instruments import Instrument, Point
from ciris_store_core.conformance.peers import Peer
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import Conflict, DatabaseError, IncompatibleSchema
from ciris_store_core.inmemory.backend import CAPABILITIES, Database, MemoryBackend, MemorySession
from ciris_store_core.inmemory.tables import Tables
from ciris_store_core.models.operations import PendingMigration
from ciris_store_core.models.paging import CorruptRow, ResultPage
from tests.mutants.instruments import STEPS_OF_A_MIGRATION, LabInstrument
from tests.mutants.peers import LabPeer

SOUND = CAPABILITIES | {Capability.DURABLE, Capability.MULTI_PROCESS}
"""Capabilities of the mutants: the reference backend, extended by reopening and by peers."""
STORES = ("graph", "correlations", "tasks", "thoughts", "coordination", "secrets", "audit", "documents", "streams")
"""Aggregates of a session."""
LISTINGS = {
    "graph_nodes": "graph.list_nodes",
    "correlations": "correlations.find",
    "tasks": "tasks.find",
    "thoughts": "thoughts.find",
    "documents": "documents.find",
    "stream_entries": "streams.read",
}
"""Listing that reports the corrupt rows of each table."""

Replacement = Callable[..., Any]
"""Function of the object, its sound method, and the arguments."""


@dataclass(frozen=True)
class Fault:
    """Planted fault."""

    name: str
    clauses: tuple[str, ...]
    """Broken clauses; a test of each must fail."""
    plants: tuple[tuple[str, Replacement], ...]
    """Replaced methods (``tasks.add``, ``backend.session``, ``harness.open``) and their replacements."""
    capabilities: frozenset[Capability] = SOUND
    """Declared capabilities."""


FAULTS: list[Fault] = []


def raises_plain_conflict(self: Any, sound: Any, *arguments: Any) -> Any:
    """Call the sound method, and raise ``Conflict`` itself in place of an error that derives from it."""
    try:
        return sound(*arguments)
    except Conflict as error:
        raise Conflict(*error.args) from error


NO_FAULT = Fault("none", (), ())


def plant(
    clauses: str, *targets: str, capabilities: frozenset[Capability] = SOUND
) -> Callable[[Replacement], Replacement]:
    """Register a function as a replacement of each target. Its name is the name of the fault."""

    def register(function: Replacement) -> Replacement:
        add(function.__name__, clauses, *((target, function) for target in targets), capabilities=capabilities)
        return function

    return register


def add(name: str, clauses: str, *plants: tuple[str, Replacement], capabilities: frozenset[Capability] = SOUND) -> None:
    """Register a fault. ``clauses`` are separated by spaces."""
    FAULTS.append(Fault(name, tuple(clauses.split()), plants, capabilities))


def always(answer: Any) -> Replacement:
    """Return a method with a constant result."""
    return lambda *arguments, **more: answer


def _replace(root: Any, path: str, function: Replacement) -> None:
    *way, name = path.split(".")
    for step in way:
        root = getattr(root, step)
    setattr(root, name, partial(function, root, getattr(root, name)))


class LabBackend(MemoryBackend):
    """Reference backend with a planted fault."""

    def __init__(self, clock: Clock, harness: LabHarness, name: str, fault: Fault) -> None:
        super().__init__(clock, name, wait_seconds=30.0)
        self.capabilities = fault.capabilities
        self.fault, self.damaged, self.lab_instrument = fault, harness.damaged, harness.lab_instrument
        self.backups, self.file = harness.backups, harness.folder / name
        self.plant_in(self, "backend")

    @property
    def database(self) -> Database:
        """Return the committed database."""
        return self._opened()

    @contextmanager
    def session(self, *, write: bool, single: bool = False) -> Iterator[Session]:
        with super().session(write=write, single=single) as session:
            yield self.prepared(session)
            if write:
                self.lab_instrument.step(Point.COMMIT)

    def prepare(self, *, migrate: bool) -> None:
        self.pending()
        if not is_sound(self.file):
            raise DatabaseError("the file is no store")
        for _ in range(STEPS_OF_A_MIGRATION if migrate else 0):
            self.lab_instrument.step(Point.STATEMENT)
        super().prepare(migrate=migrate)

    def backup(self, path: Path, progress: Callable[[int, int], object]) -> None:
        path.touch(mode=0o600)
        path.write_text(SOUND_FILE)
        self.backups[path] = list(self.database.committed)
        progress(1, 1)

    def pending(self) -> Sequence[PendingMigration]:
        if vars(self.database).get("excludes"):
            raise IncompatibleSchema("the schema is of a later program that excludes this one")
        return super().pending()

    def prepared(self, session: Session) -> Session:
        """Return the session with the corrupt rows and the fault planted in it."""
        assert isinstance(session, MemorySession)
        before = session._tables.snapshot()
        self.lab_instrument.wrap(session)
        for name in STORES:
            store = getattr(session, name)
            store.lab, store.before, store.writable = self, before, session._tables.nodes._writable
        for listing in LISTINGS.values():
            _replace(session, listing, partial(_with_damage, self.damaged))
        self.plant_in(session, "")
        return session

    def plant_in(self, root: Any, kind: str) -> None:
        """Plant the replacements whose path starts with ``kind``."""
        for path, function in self.fault.plants:
            owner, _, rest = path.partition(".")
            if owner == kind:
                _replace(root, rest, function)
            elif not kind and owner not in ("backend", "harness"):
                _replace(root, rest if owner == "session" else path, function)

    def transaction(
        self, commit: Callable[[Database, Tables], None], *, write: bool, locked: bool = True
    ) -> AbstractContextManager[Session]:
        """Begin a transaction with another commit."""
        return self._transaction(commit, write, locked)

    @contextmanager
    def _transaction(self, commit: Callable[[Database, Tables], None], write: bool, locked: bool) -> Iterator[Session]:
        database = self.database
        write_lock: AbstractContextManager[None] = database.writing(5.0) if write and locked else nullcontext()
        with write_lock:
            tables = Tables.of(list(database.committed), writable=write)
            try:
                yield self.prepared(MemorySession(tables))
                if write:
                    commit(database, tables)
            finally:
                tables.end()


def _with_damage(damaged: set[tuple[str, str]], store: Any, sound: Any, *arguments: Any) -> ResultPage[Any]:
    page = sound(*arguments)
    bad = [row for row in page.items if (type(row).__name__, key_of(row)) in damaged]
    good = [row for row in page.items if row not in bad]
    return ResultPage(good, page.next_after, [CorruptRow(key_of(row), "damaged") for row in bad])


SOUND_FILE = "sound" * 100


def is_sound(file: Path) -> bool:
    """Return whether the file that stands for a store is sound, if there is one."""
    return not file.exists() or (file.is_file() and file.read_text() == SOUND_FILE)


def key_of(row: Any) -> str:
    """Return the id of a record."""
    names = {"GraphNode": "id", "Correlation": "correlation_id", "Task": "task_id", "Thought": "thought_id"}
    names |= {"StoredDocument": "key", "StoredEntry": "position"}
    return str(getattr(row, names[type(row).__name__]))


_numbers = count()
_RECORDS = {"graph_nodes": "GraphNode", "correlations": "Correlation", "tasks": "Task", "thoughts": "Thought"}
_RECORDS |= {"documents": "StoredDocument", "stream_entries": "StoredEntry"}


class LabHarness(Harness):
    """Harness over a new store of a mutant."""

    capabilities = SOUND
    passwords = ("hunter2",)

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.capabilities = fault.capabilities
        self.name = f"lab-{next(_numbers)}"
        self.damaged: set[tuple[str, str]] = set()
        self.lab_instrument = LabInstrument()
        self.backups: dict[Path, Any] = {}
        self.folder = Path(tempfile.gettempdir(), "no-such-folder")  # until a test asks for a file
        # An in-memory database exists as long as a backend refers to it.
        self.keepers = [MemoryBackend(_NoClock(), name) for name in (self.name, f"{self.name}-blank")]
        for path, function in fault.plants:
            if path.startswith("harness."):
                _replace(self, path.removeprefix("harness."), function)

    def open(self, clock: Clock) -> Backend:
        backend = LabBackend(clock, self, self.name, self.fault)
        backend.prepare(migrate=True)
        return backend

    def blank(self, clock: Clock) -> Backend | None:
        return LabBackend(clock, self, f"{self.name}-blank", self.fault)

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        clock = ManualClock(T0)
        opened = self.blank(clock) if blank else self.open(clock)
        assert opened is not None
        return LabPeer(opened)

    def corrupt(self, table: str, key: str) -> bool:
        self.damaged.add((_RECORDS[table], key))
        return True

    def instrument(self, backend: Backend) -> Instrument | None:
        return self.lab_instrument

    def migrate_further(self, backend: Backend, *, excluding: bool) -> bool:
        assert isinstance(backend, LabBackend)
        vars(backend.database)["excludes"] = excluding
        return True

    def store_file(self, *, of_blank: bool = False) -> Path | None:
        self.folder = Path(tempfile.mkdtemp(prefix="lab-"))
        path = self.folder / (f"{self.name}-blank" if of_blank else self.name)
        path.touch(mode=0o600)
        path.write_text(SOUND_FILE)
        return path

    def open_backup(self, path: Path, clock: Clock) -> Backend | None:
        backend = LabBackend(clock, self, "", self.fault)
        backend.database.committed = self.backups[path]
        backend.prepare(migrate=True)
        return backend

    def open_impatient(self, clock: Clock, seconds: float) -> Backend | None:
        backend = LabBackend(clock, self, self.name, self.fault)
        backend._wait_seconds = seconds
        return backend

    def cleanup(self) -> None:
        self.keepers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


class _NoClock:
    def now(self) -> Any:
        raise AssertionError("a keeper needs no time")


def clauses_of(faults: Iterable[Fault]) -> set[str]:
    """Return all clauses that the faults break."""
    return {clause for fault in faults for clause in fault.clauses}
