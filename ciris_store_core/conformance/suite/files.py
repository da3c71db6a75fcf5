"""Files and resources of a store: modes, damage, reopened backups, timeouts, and closing."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import READS, WRITES, contents, fill, form, offered
from ciris_store_core.conformance.factories import at, task, thought
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import DOES_NOT_APPLY, Level, clause
from ciris_store_core.conformance.peers import PeerMaker
from ciris_store_core.conformance.suite.backends import blank
from ciris_store_core.conformance.suite.injected import error_of
from ciris_store_core.conformance.support import BackgroundCall, reading, transact
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import NotSupported

OPERABLE = Level.OPERABLE
PAIRS = 200
"""Transactions of the writer during a backup, at most."""
TIMEOUT = 0.5
ENOUGH = 5.0
"""Seconds in which a write with that timeout ends, on a machine that is busy."""
CHANGES = (
    "graph.put_nodes", "correlations.add", "tasks.add", "thoughts.add", "coordination.acquire_lease", "secrets.add",
    "audit.append", "audit.prune", "documents.put", "streams.append",
)  # fmt: skip
"""A write of each aggregate."""
DESCRIPTORS = Path("/dev/fd")


def cut_short(file: Path) -> None:
    """Keep the first half of a file, and some bytes of the next page."""
    os.truncate(file, file.stat().st_size // 2 + 100)


def fill_with_garbage(file: Path) -> None:
    """Replace a file by text."""
    file.write_bytes(b"This is no database.\n" * 500)


def replace_by_folder(file: Path) -> None:
    """Put a folder in place of a file."""
    file.unlink()
    file.mkdir()


def file_of(harness: Harness, *, of_blank: bool = False) -> Path:
    """Return the file of the store. Skip the test if there is none."""
    file = harness.store_file(of_blank=of_blank)
    if file is None:
        pytest.skip(f"{DOES_NOT_APPLY}this harness knows no file that is the store")
    return file


def prepare_and_read(backend: Backend) -> None:
    """Prepare a store, and read all of it."""
    backend.prepare(migrate=True)
    with reading(backend) as session:
        contents(session)


def add_pair(session: Session, number: int) -> None:
    """Add a task and its thought."""
    session.tasks.add([task(f"pair {number}")])
    session.thoughts.add([thought(f"pair {number}", f"pair {number}")])


def paired(records: list[object]) -> set[str]:
    """Return the texts of the ids of pairs among records."""
    return {f"pair {number}" for number in range(PAIRS) if f"'pair {number}'" in str(records)}


def descriptors() -> int:
    """Return the number of open descriptors of this process. Skip the test where it cannot be counted."""
    if not DESCRIPTORS.is_dir():
        pytest.skip(f"{DOES_NOT_APPLY}this system does not list open descriptors")
    return len(list(DESCRIPTORS.iterdir()))


def use(opened: Backend) -> None:
    """Write and read, in several threads and blocks."""
    transact(opened, lambda s: s.tasks.delete(["used"]))
    transact(opened, lambda s: s.tasks.add([task("used")]))

    def read() -> None:
        with reading(opened) as session:
            session.tasks.get(["used"], None)

    for call in [BackgroundCall(read) for _ in range(4)]:
        call.result()
    with suppress(NotSupported), opened.snapshot() as session:
        session.tasks.get(["used"], None)


class TestFiles:
    """A store that is a file."""

    @clause("backend.file.modes", OPERABLE)
    def test_modes(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise every user of the host reads what the agent knows."""
        with closing(blank(harness, clock)) as opened:
            opened.prepare(migrate=True)
            transact(opened, fill)
            file = file_of(harness, of_blank=True)
            found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.glob(f"{file.name}*")}
        assert found and {name: oct(mode) for name, mode in found.items() if mode != 0o600} == {}

    @pytest.mark.parametrize("damage", [cut_short, fill_with_garbage, replace_by_folder])
    @clause("backend.file.damaged", OPERABLE)
    def test_a_damaged_file(self, harness: Harness, clock: ManualClock, damage: Callable[[Path], None]) -> None:
        """Otherwise an agent whose file was damaged starts again with no memory, and overwrites what could be saved."""
        with closing(blank(harness, clock)) as first:
            first.prepare(migrate=True)
            transact(first, fill)
        file = file_of(harness, of_blank=True)
        damage(file)
        before = None if file.is_dir() else file.read_bytes()
        with closing(blank(harness, clock)) as damaged:
            error = error_of(partial(prepare_and_read, damaged), "reading a damaged store")
        assert error is not None, "a damaged store was read as if it were sound"
        assert before == (None if file.is_dir() else file.read_bytes()), "opening changed a damaged file"

    @clause("backend.backup.reopened", OPERABLE)
    def test_a_backup_made_while_others_write(
        self, backend: Backend, harness: Harness, clock: ManualClock, tmp_path: Path
    ) -> None:
        """Otherwise a backup opens, and holds half of a transaction or none of the secrets."""
        transact(backend, fill)
        with reading(backend) as session:
            before = contents(session)
        started, stop = threading.Event(), threading.Event()

        def write() -> None:
            for number in range(PAIRS):
                transact(backend, partial(add_pair, number=number))
                started.set()
                if stop.is_set():
                    break

        writer = BackgroundCall(write)
        target = tmp_path / "backup"
        try:
            assert started.wait(30)
            backend.backup(target, lambda done, total: None)
        except NotSupported:
            pytest.skip(f"{DOES_NOT_APPLY}this backend makes no backups")
        finally:
            stop.set()
            writer.result()
        copy = harness.open_backup(target, clock)
        if copy is None:
            pytest.skip(f"{DOES_NOT_APPLY}this harness cannot open a backup")
        with closing(copy), reading(copy) as session:
            found = contents(session)
        moving = ("tasks", "thoughts")
        assert [kind for kind in before if kind not in moving and found.get(kind) != before[kind]] == []
        assert all(row in found[kind] for kind in moving for row in before[kind][1:])
        assert "pair 0" in paired(found["tasks"]) and paired(found["tasks"]) == paired(found["thoughts"])


class TestResources:
    """Resources of an open store, its timeout, and its reads in other processes."""

    @clause("backend.close.frees", OPERABLE)
    def test_closing_frees(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a program that opens and closes stores runs out of descriptors, connections or threads."""
        with closing(harness.open(clock)) as opened:  # what is made once for a process is made now
            use(opened)
        before, threads = descriptors(), threading.active_count()
        for _ in range(3):
            with closing(harness.open(clock)) as opened:
                use(opened)
        until = time.monotonic() + 5
        while (descriptors() > before or threading.active_count() > threads) and time.monotonic() < until:
            time.sleep(0.01)  # threads that were told to end
        assert descriptors() <= before, "closing leaves descriptors open"
        assert threading.active_count() <= threads, "closing leaves threads running"

    @clause("processes.reads.current", Level.MULTI_INSTANCE)
    def test_reads_in_another_process(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise an instance reads from a copy that is out of date."""
        transact(backend, fill)
        other = new_peer()
        reads = offered(READS, backend.capabilities)
        for name, call in offered({name: WRITES[name] for name in CHANGES}, backend.capabilities).items():
            transact(backend, call)
            with reading(backend) as session:
                here = {read: repr(form(read, ask(session))) for read, ask in reads.items()}
            there = other.call("answers")
            assert [read for read in reads if there[read] != here[read]] == [], f"after {name}"

    @clause("session.write_timeout", OPERABLE)
    def test_a_write_that_waits_too_long(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise one transaction that hangs stops every agent that writes to the store."""
        impatient = harness.open_impatient(clock, TIMEOUT)
        if impatient is None:
            pytest.skip(f"{DOES_NOT_APPLY}this harness cannot open the store with a timeout for writes")

        def change(session: Session) -> None:
            session.tasks.update("t", {"description": "changed", "updated_at": at(1)}, None, 0)

        def write() -> None:
            with impatient.session(write=True) as session:
                change(session)

        transact(backend, lambda s: s.tasks.add([task()]))
        with closing(impatient):
            with backend.session(write=True) as session:
                change(session)
                waiting = BackgroundCall(write)
                assert waiting.finished(ENOUGH), "a write waits without end"
                assert error_of(waiting.result, "a write that waited too long") is not None
            write()
