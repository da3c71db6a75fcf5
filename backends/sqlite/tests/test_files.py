"""Files, good and bad: what becomes of each when a store is opened on it, and when it changes underneath."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.sqlite.tests.support import backend_of, beside, open_once, output_of, url_of
from ciris_store_core import Store, open_store
from ciris_store_core.errors import (
    Corrupt,
    InvalidURL,
    MigrationRequired,
    NotADatabase,
    StoreClosed,
)
from tests.support.factories import task


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- new files --------------------------------------------------------------------------------


def test_every_file_is_its_owners_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        with open_once(path) as store:
            store.tasks.add(task("t"))
            assert beside(path) == {"-wal", "-shm", "-turn"}
            assert {mode(file) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(previous)


def test_a_closed_store_leaves_one_database_file(path: Path) -> None:
    with open_once(path) as store:
        store.tasks.add(task("t"))
    assert not beside(path) & {"-wal", "-shm", "-journal"}
    with open_once(path) as store:
        assert store.tasks.get("t")


def test_the_default_url_makes_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIRIS_DB_URL", raising=False)
    with open_store() as store:
        store.tasks.add(task("t"))
    assert (tmp_path / "data" / "ciris.db").is_file()


def test_the_default_url_where_its_directory_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIRIS_DB_URL", raising=False)
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InvalidURL, match="data"):
        open_store()
    assert (tmp_path / "data").read_text() == "mine"


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    with open_once(path) as store:
        store.tasks.add(task("t"))
        assert store.tasks.get("t")


@pytest.mark.parametrize("existing", [True, False])
def test_create_false_makes_nothing(path: Path, existing: bool) -> None:
    if existing:
        path.touch()
    with pytest.raises(InvalidURL, match="create=false"):
        open_once(path, create="false")
    assert [file.stat().st_size for file in path.parent.iterdir()] == [0] * existing


def test_create_false_opens_what_is_there(path: Path) -> None:
    open_once(path).close()
    with open_once(path, create="false") as store:
        assert store.tasks.count() == 0


def test_without_migrations_an_empty_file_stays_empty(path: Path) -> None:
    path.touch()
    with pytest.raises(MigrationRequired):
        open_once(path, migrate="false")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("name", ["with space", "a?b", "a#b", "a%b", "a%20b", "é", "a;b", "a'b", 'a"b', "a&b", "a=b"])
def test_names_of_files_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.db"
    with open_store(path) as store:
        store.tasks.add(task("t"))
    assert {file.name for file in tmp_path.iterdir()} == {path.name, f"{path.name}-turn"}


def test_a_link_leads_to_one_file_and_one_write_lock(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with open_once(path) as first, open_once(link) as second:
        first.tasks.add(task("t"))
        assert second.tasks.get("t")
        assert beside(link) == set()


def test_a_link_to_a_file_that_is_not_there_yet(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    open_once(link).close()
    assert mode(path) == 0o600


OPEN_AND_CLOSE = """
import sys
from ciris_store_core import open_store
open_store(sys.argv[1]).close()
"""


def test_opening_a_file_again_keeps_the_locks_of_the_first_store(path: Path) -> None:
    """Without them another process takes itself for the last one, and removes the log that this one writes to."""
    with open_once(path) as first:
        first.tasks.add(task("before"))
        open_once(path).close()
        output_of(OPEN_AND_CLOSE, path)
        first.tasks.add(task("after"))
        assert "-wal" in beside(path)
        with open_once(path) as second:
            assert [found.task_id for found in second.tasks.scan()] == ["before", "after"]


def test_urls_name_relative_and_absolute_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///rel.db") as relative, open_store(url_of(tmp_path / "rel.db")) as absolute:
        relative.tasks.add(task("t"))
        assert absolute.tasks.get("t")


# --- paths that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("missing/agent.db", "there is no directory"),
        (".", "is a directory"),
        ("file/agent.db", "there is no directory"),
        ("x" * 300, "x"),
    ],
)
def test_a_path_that_cannot_be(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidURL, match=why):
        open_store(tmp_path / place)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_an_unknown_option(path: Path) -> None:
    with pytest.raises(InvalidURL, match="busytimeout"):
        open_once(path, busytimeout=3)
    assert not path.exists()


# Everything is imported and used once before the user changes: the new one may not be able to read this installation.
AS_NOBODY = """
import os, sys
from ciris_store_core import StoreError, Task, open_store
with open_store("sqlite://") as store:
    store.tasks.count()
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    store = open_store(sys.argv[1])
    store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    print("opened")
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o700)
    shutil.rmtree(folder)


def corrupt_file(folder: Path) -> Path:
    open_once(folder / "agent.db").close()
    (folder / "agent.db").chmod(0o000)
    return folder / "agent.db"


def file_that_only_reads(folder: Path) -> Path:
    open_once(folder / "agent.db").close()
    (folder / "agent.db").chmod(0o444)
    folder.chmod(0o777)
    return folder / "agent.db"


def folder_that_only_reads(folder: Path) -> Path:
    inner = folder / "inner"
    inner.mkdir()
    path = inner / "agent.db"
    open_once(path).close()
    path.with_name("agent.db-turn").unlink()
    path.chmod(0o666)
    inner.chmod(0o555)
    return path


def new_file_in_a_folder_that_only_reads(folder: Path) -> Path:
    (folder / "inner").mkdir(mode=0o555)
    return folder / "inner" / "agent.db"


def file_behind_a_closed_door(folder: Path) -> Path:
    (folder / "inner").mkdir()
    open_once(folder / "inner" / "agent.db").close()
    (folder / "inner").chmod(0o000)
    return folder / "inner" / "agent.db"


def folder_behind_a_closed_door(folder: Path) -> Path:
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "inner").chmod(0o000)
    return folder / "inner" / "deep" / "agent.db"


@pytest.mark.parametrize(
    "prepare",
    [
        corrupt_file,
        file_that_only_reads,
        folder_that_only_reads,
        new_file_in_a_folder_that_only_reads,
        file_behind_a_closed_door,
        folder_behind_a_closed_door,
    ],
)
def test_no_permission(public: Path, prepare: Callable[[Path], Path]) -> None:
    path = prepare(public)
    answer = output_of(AS_NOBODY, path)
    assert answer.startswith("ReadOnly ")
    assert str(path.parent) in answer


def test_another_user_may_use_what_it_may_write(public: Path) -> None:
    """The control: permission alone made the difference."""
    open_once(public / "agent.db").close()
    public.chmod(0o777)
    for file in public.iterdir():
        file.chmod(0o666)
    assert output_of(AS_NOBODY, public / "agent.db") == "opened\n"


# --- other content ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"notes\n",
        b"\0" * 4096,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
        b"{" + b'"a": 1, ' * 2000 + b"}",
        b"SQLite format 2\0" + b"\0" * 4096,
    ],
    ids=["byte", "text", "zeros", "picture", "json", "old"],
)
def test_another_kind_of_file_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(NotADatabase, match=r"agent\.db"):
        open_once(path)
    assert path.read_bytes() == content
    assert not beside(path) & {"-wal", "-shm", "-journal"}


def filled(path: Path) -> bytes:
    with open_once(path) as store:
        store.tasks.add_many(task(f"t{n}", description="x" * 500) for n in range(200))
    return path.read_bytes()


@pytest.mark.parametrize("part", [0.9, 0.5, 0.1])
def test_a_truncated_file_is_damaged(path: Path, part: float) -> None:
    content = filled(path)
    content = content[: int(len(content) * part)]
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="backup"), open_once(path) as store:
        list(store.tasks.scan())
    assert path.read_bytes() == content


@pytest.mark.parametrize("column", ["applied_at", "oldest_program", "version"])
def test_a_record_of_a_migration_that_cannot_be_read_is_damage(path: Path, column: str) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE schema_migrations RENAME TO old")
        connection.execute("CREATE TABLE schema_migrations AS SELECT * FROM old")
        connection.execute(f"UPDATE schema_migrations SET {column} = NULL WHERE version = 2")
        connection.commit()
    with pytest.raises(Corrupt, match="record of a migration"):
        open_once(path)


@pytest.mark.parametrize("kept", [99, 100, 600, 4095, 4096])
def test_what_is_left_of_a_file_is_never_taken_for_a_database(path: Path, kept: int) -> None:
    content = filled(path)[:kept]
    path.write_bytes(content)
    with pytest.raises((Corrupt, NotADatabase)):
        open_once(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_of_the_original_engine_is_left_alone(path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE service_correlations (correlation_id TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO service_correlations VALUES ('c')")
        connection.commit()
    content = path.read_bytes()
    with pytest.raises(MigrationRequired, match="ciris-store import-ciris"):
        open_once(path)
    assert path.read_bytes() == content
    assert not beside(path) & {"-wal", "-shm", "-journal"}


# --- files that change underneath -------------------------------------------------------------


def test_a_deleted_file_takes_no_writes(store: Store, path: Path) -> None:
    store.tasks.add(task("t"))
    path.unlink()
    with pytest.raises(StoreClosed, match="deleted or replaced"):
        store.tasks.add(task("lost"))


def test_a_replaced_file_takes_no_writes(store: Store, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    open_once(other).close()
    other.replace(path)
    with pytest.raises(StoreClosed, match="deleted or replaced"):
        store.tasks.add(task("lost"))
    with open_once(path) as fresh:
        assert fresh.tasks.count() == 0


@pytest.mark.parametrize(("option", "level"), [({}, 2), ({"synchronous": "full"}, 2), ({"synchronous": "normal"}, 1)])
def test_synchronous_is_what_the_url_says_on_every_connection(path: Path, option: dict[str, str], level: int) -> None:
    with open_once(path, **option) as store:
        for write in (True, False):
            with backend_of(store).session(write=write) as session:
                assert session.pragma("synchronous") == (level,)
                assert session.pragma("foreign_keys") == (1,)
                assert session.pragma("trusted_schema") == (0,)
                assert session.pragma("journal_mode") == ("wal",)


def test_what_python_cannot_read_of_a_damaged_file_is_corrupt(path: Path) -> None:
    """A text that is no UTF-8, which the driver notices only as it hands out the row."""
    with open_once(path) as store:
        store.tasks.add_many([task(f"t{n}") for n in range(3)])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE tasks SET description = CAST(x'ff41' AS TEXT) WHERE task_id = 't2'")
        with pytest.raises(Corrupt):
            store.tasks.find()
        with pytest.raises(Corrupt):
            store.tasks.get("t2")
        assert store.tasks.get("t1")
