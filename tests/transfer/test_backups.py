"""Backups of stores that are at work, and what can be restored from them."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ciris_store_core import ANY_OCCURRENCE, Conflict, Corrupt, InvalidArgument, Store, Task, Thought, open_store
from ciris_store_core.errors import NotADatabase
from ciris_store_core.sql import load_migrations
from ciris_store_core.transfer import backup_store, digest_store, restore_store
from ciris_store_sqlite import backend
from tests.transfer.conftest import Stores, fill, stop_at
from tests.transfer.test_copy import everything

NATIVE = {"memory": False, "sqlite": True, "postgres": False}


@pytest.mark.parametrize("portable", [False, True])
def test_a_backup_restores_to_any_backend(
    full: Store, stores: Stores, kind: str, portable: bool, tmp_path: Path
) -> None:
    path = tmp_path / "backup.gz"
    report = backup_store(full, path, portable=portable)
    assert report.portable == (portable or not NATIVE[kind])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and report.bytes == path.stat().st_size
    content = path.read_bytes()
    for other in ("memory", "sqlite", "postgres"):
        target = stores.new(other)
        assert restore_store(path, target).kinds == digest_store(full)
        assert everything(target) == everything(full)
        with pytest.raises(Conflict, match="not empty"):
            restore_store(path, target)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["backup.gz"]


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_backup_is_of_one_moment_while_four_write(stores: Stores, kind: str, portable: bool, tmp_path: Path) -> None:
    url = stores.url(kind)
    store = stores.open(url)
    over = threading.Event()
    written = [0] * 4

    def write(number: int) -> None:
        with open_store(url) as mine:
            while not over.is_set():
                name = f"{number}-{written[number]}"
                with mine.transaction() as tx:
                    tx.tasks.add(Task(task_id=name, channel_id="c", description="d"))
                    tx.thoughts.add(Thought(thought_id=name, source_task_id=name, content="x" * 500))
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        while min(written) < 20:
            over.wait(0.01)
        began = list(written)
        backup_store(store, tmp_path / "backup", portable=portable)
        ended = list(written)
    finally:
        over.set()
        for writer in writers:
            writer.join()
    restored = stores.new("memory")
    restore_store(tmp_path / "backup", restored)
    tasks = {task.task_id for task in restored.tasks.scan(occurrence_id=ANY_OCCURRENCE)}
    assert tasks == {thought.thought_id for thought in restored.thoughts.scan(occurrence_id=ANY_OCCURRENCE)}
    for number in range(4):
        mine = {int(name.split("-")[1]) for name in tasks if name.startswith(f"{number}-")}
        assert mine == set(range(len(mine))), "a later write is there, and an earlier one is not"
        assert began[number] <= len(mine) <= ended[number] + 1


def test_a_restore_that_was_stopped_goes_on(stores: Stores, tmp_path: Path) -> None:
    source, target = stores.new("sqlite"), stores.new("memory")
    fill(source)
    backup_store(source, tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        restore_store(tmp_path / "backup", target, on_step=stop_at(5))
    assert restore_store(tmp_path / "backup", target).resumed
    assert digest_store(target) == digest_store(source)


def test_a_file_that_is_there_is_kept(stores: Stores, tmp_path: Path) -> None:
    store = stores.new("sqlite")
    fill(store)
    path = tmp_path / "backup"
    path.write_text("precious")
    with pytest.raises(InvalidArgument, match="exists"):
        backup_store(store, path)
    assert path.read_text() == "precious"
    backup_store(store, path, overwrite=True)
    assert restore_store(path, stores.new("memory")).records == sum(t.count for t in digest_store(store).values())


def test_a_backup_of_a_damaged_database_is_not_made(stores: Stores, tmp_path: Path) -> None:
    url = stores.url("sqlite")
    store = stores.open(url)
    fill(store, 300)
    path = Path(str(store.info()["path"]))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_status'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    store.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x55" * size)
    with pytest.raises(Corrupt):
        backup_store(stores.open(url), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_an_older_schema_is_restored(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backup"
    with monkeypatch.context() as patch:
        patch.setattr(backend, "load_migrations", lambda package: load_migrations(package)[:3])
        older = stores.new("sqlite")
        older.tasks.add(Task(task_id="t", channel_id="c", description="d"))
        backup_store(older, path)
        assert older.info()["schema_version"] == 3
    content = path.read_bytes()
    target = stores.new("memory")
    assert restore_store(path, target).records == 1
    assert target.tasks.get("t") == older.tasks.get("t")
    assert path.read_bytes() == content


def test_what_is_no_backup_is_refused(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_text("just some text\n" * 100)
    target = stores.new("memory")
    with pytest.raises(NotADatabase):
        restore_store(path, target)
    with pytest.raises(InvalidArgument, match="there is no file"):
        restore_store(tmp_path / "gone", target)
    assert target.is_empty()
