"""Power cuts: what a disk may hold after one, and whether a database found on it is whole.

The statements of our writes are noted where they reach the driver, and replayed on another SQLite (apsw's, the one that
lets its file system be written in Python). Below it every operation on a file is noted in turn. At any of them the
power may fail: what was synced is on the disk then; of what was written since, any part, in whole sectors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

import apsw
import pytest

from ciris_store_core import ManualClock, TestSeams, open_store
from ciris_store_core.conformance.factories import T0
from tests.reliability.calls import PLAIN_WRITES, call, plain_arguments
from tests.reliability.filling import empty, fill

SECTOR = 512
WRITE_OUT = "PRAGMA wal_checkpoint"


class Statement(NamedTuple):
    """One statement as the driver was given it."""

    text: str
    values: Any
    many: bool


# --- the statements of our writes ---------------------------------------------------------------


def statements_of_all_writes(folder: Path) -> list[Statement]:
    """Calls of the store to SQLite while it is made and filled, and while every method that writes is called."""
    noted: list[Statement] = []
    clock = ManualClock(T0)
    with (
        _noting(noted),
        open_store(
            f"sqlite:///{folder}/traced.db?synchronous=normal", testing=TestSeams(clock=clock, server_clock=clock)
        ) as store,
    ):
        for name in PLAIN_WRITES:
            fill(store, clock)
            call(store, name, plain_arguments(name))
            empty(store)
    return [each for each in noted if not each.text.lstrip().upper().startswith(("SELECT", "PRAGMA"))]


@contextmanager
def _noting(noted: list[Statement]) -> Iterator[None]:
    class Cursor(sqlite3.Cursor):
        def execute(self, text: str, values: Any = (), /) -> Self:
            noted.append(Statement(text, values, False))
            return super().execute(text, values)

        def executemany(self, text: str, values: Any, /) -> Self:
            rows = list(values)
            noted.append(Statement(text, rows, True))
            return super().executemany(text, rows)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> sqlite3.Cursor:  # type: ignore[override]
            return Cursor(self)

    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, **options, factory=Connection))
        yield


# --- the operations on files below them ---------------------------------------------------------


class Operation(NamedTuple):
    """One operation on a file, or with ``kind`` "committed" the return of a commit."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""


class _NotingFiles(apsw.VFS):
    """The ordinary file system, noting what changes files."""

    def __init__(self, noted: list[Operation]) -> None:
        self.noted = noted
        super().__init__("noting", base="")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        return _NotingFile(self.noted, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self.noted.append(Operation("delete", Path(name).name))


class _NotingFile(apsw.VFSFile):
    def __init__(self, noted: list[Operation], name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._noted, self._name = noted, Path(path or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._noted.append(Operation("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._noted.append(Operation("truncate", self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        # Nothing is waited for: this disk forgets by our rules, not by its own.
        self._noted.append(Operation("sync", self._name))


@dataclass
class Replay:
    """Log of the writes to the files, and the content of the database after each commit."""

    operations: list[Operation] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    first: int = 0
    """The first operation at which the power is cut."""


def replay(statements: Iterable[Statement], folder: Path, synchronous: str) -> Replay:
    """Run the statements with our settings, and write the log out now and then."""
    found = Replay()
    files = _NotingFiles(found.operations)
    path = folder / f"{synchronous}.db"
    try:
        connection = apsw.Connection(str(path), vfs="noting")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 40")  # Sooner than usual, so that it happens in between.
        for setting in (f"synchronous = {synchronous}", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {setting}")
        # A transaction cut off before may be lost as a whole: the database is only being made.
        connection.execute(f"{WRITE_OUT}(TRUNCATE)")
        found.operations.extend([Operation("sync", f"{path.name}{end}") for end in ("", "-wal")])
        found.first = len(found.operations)
        with closing(sqlite3.connect(path)) as reader:
            _run_all(connection, statements, found, lambda: digest(reader))
        connection.close()
    finally:
        files.unregister()
    return found


def _run_all(connection: Any, statements: Iterable[Statement], found: Replay, state: Callable[[], str]) -> None:
    found.states.append(state())
    for text, values, many in statements:
        if many:
            connection.executemany(text, values)
        else:
            connection.execute(text, values)
        if connection.in_transaction or text.startswith(("BEGIN", "ROLLBACK")):
            continue
        found.states.append(state())
        found.operations.append(Operation("committed", ""))


def digest(connection: sqlite3.Connection) -> str:
    """Stands for everything that a database holds."""
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    total = sha256()
    for name, text in tables:
        total.update(repr((name, text)).encode())
        if text is not None and "VIRTUAL" not in text:
            rows = connection.execute(f'SELECT * FROM "{name}"')
            total.update("".join(sorted(map(repr, rows))).encode())
    return total.hexdigest()


# --- the cuts -----------------------------------------------------------------------------------


class Disk:
    """Content that is surely on the disk, and the writes since the last sync of each file."""

    def __init__(self) -> None:
        self.synced: dict[str, bytearray] = {}
        self.pending: dict[str, list[Operation]] = {}
        self.deleted: list[str] = []

    def take(self, operation: Operation) -> None:
        """One more operation."""
        if operation.kind == "sync":
            content = self.synced.setdefault(operation.file, bytearray())
            for each in self.pending.pop(operation.file, []):
                _apply(content, each, len(each.data))
        elif operation.kind == "delete":
            self.synced.pop(operation.file, None)
            self.pending.pop(operation.file, None)
        elif operation.kind != "committed":
            self.pending.setdefault(operation.file, []).append(operation)

    def after_a_cut(self, random: Random) -> dict[str, bytes]:
        """The files as they may be found: of what was not synced nothing, all, the beginning or any sectors."""
        how = random.choice(("nothing", "beginning", "any", "torn"))
        files = {name: bytearray(content) for name, content in self.synced.items()}
        for name, operations in self.pending.items():
            content = files.setdefault(name, bytearray())
            for operation in _that_arrived(operations, how, random):
                size = len(operation.data)
                _apply(content, operation, random.randrange(0, size + 1, SECTOR) if how == "torn" and size else size)
        return {name: bytes(content) for name, content in files.items()}


def _that_arrived(operations: list[Operation], how: str, random: Random) -> list[Operation]:
    if how == "nothing":
        return []
    if how == "beginning":
        return operations[: random.randrange(len(operations) + 1)]
    return [each for each in operations if random.random() < 0.5]


def _apply(content: bytearray, operation: Operation, size: int) -> None:
    if operation.kind == "truncate":
        del content[operation.offset :]
        return
    end = operation.offset + size
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[operation.offset : end] = operation.data[:size]


@dataclass
class Cuts:
    """Findings after a number of cuts."""

    cuts: int = 0
    lost: int = 0
    """Acknowledged transactions were missing."""
    torn: int = 0
    """The state that was found never existed."""
    corrupt: int = 0
    """The file is damaged."""

    def add(self, state: str | None, states: list[str], acknowledged: int) -> None:
        """Take in one more: what was found, and how many commits had returned."""
        self.cuts += 1
        self.corrupt += state is None
        self.torn += state is not None and state not in states
        # The transaction after the last acknowledged one may be there: no caller was told yet.
        self.lost += state in states and state not in states[acknowledged : acknowledged + 2]

    @property
    def wrong(self) -> int:
        """Number of cuts that broke the promise."""
        return self.lost + self.torn + self.corrupt


def cut_everywhere(found: Replay, folder: Path, cuts: int, seed: int = 1) -> Cuts:
    """Cut the power at each operation in turn, again and again with other remains, and open what is left."""
    result, random, looker = Cuts(), Random(seed), _Looker(folder)
    places = len(found.operations) - found.first
    disk, acknowledged = Disk(), 0
    for number, operation in enumerate(found.operations, -found.first):
        disk.take(operation)
        acknowledged += operation.kind == "committed"
        # Spread evenly where there are fewer cuts than operations.
        times = (number + 1) * cuts // places - number * cuts // places if number >= 0 else 0
        for _ in range(times):
            result.add(looker.look(disk.after_a_cut(random)), found.states, acknowledged)
    return result


class _Looker:
    """Opens what a cut left; what was looked at before is not looked at again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[bytes, str | None] = {}

    def look(self, files: dict[str, bytes]) -> str | None:
        """Return the content of the database; None if it is damaged."""
        key = sha256()
        for name, content in sorted(files.items()):
            key.update(f"{name} {len(content)} ".encode() + content)
        if key.digest() not in self._seen:
            self._seen[key.digest()] = self._open(files)
        return self._seen[key.digest()]

    def _open(self, files: dict[str, bytes]) -> str | None:
        for old in self._folder.iterdir():
            old.unlink()
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        try:
            with closing(sqlite3.connect(self._folder / min(files))) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                return digest(connection) if whole else None
        except sqlite3.DatabaseError:
            return None
