"""Files, good and bad: what becomes of each when a store is opened on it, and when it changes underneath."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backends.sqlite.tests.support import beside, open_files, open_once, output_of, task, thought, url_of
from ciris_store_core import Store, open_store
from ciris_store_core.errors import (
    Corrupt,
    InvalidURL,
    MigrationRequired,
    NotADatabase,
    PoolTimeout,
    StorageFull,
    StoreClosed,
    StoreError,
    TransactionError,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_once(path) as opened:
        yield opened


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def backend_of(store: Store) -> Any:
    return store._backend


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


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


def test_a_link_leads_to_one_file_and_one_turn(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with open_once(path) as first, open_once(link) as second:
        first.tasks.add(task("t"))
        assert second.tasks.get("t")
        assert beside(link) == set()


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


def unreadable_file(folder: Path) -> Path:
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
        unreadable_file,
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


# --- no room ----------------------------------------------------------------------------------


@pytest.fixture
def full(store: Store) -> Iterator[Store]:
    """A store with a task ``old`` and room for a few pages more."""
    store.tasks.add(task("old"))
    writer = backend_of(store)._writer
    pages = writer.pragma("page_count")[0]
    writer.pragma(f"max_page_count = {pages + 2}")
    return store


def make_room(store: Store) -> None:
    backend_of(store)._writer.pragma("max_page_count = 1000000")


LARGE = "x" * 100_000


def test_a_full_disk_keeps_the_old_and_nothing_of_the_new(full: Store, path: Path) -> None:
    for _ in range(3):
        with pytest.raises(StorageFull, match="make room"):
            full.tasks.add(task("new", description=LARGE))
        assert full.tasks.get("old")
        assert full.tasks.get("new") is None
    make_room(full)
    full.tasks.add(task("new", description=LARGE))
    assert full.tasks.count() == 2
    assert integrity(path) == "ok"


def test_a_full_disk_in_a_transaction_undoes_all_of_it(full: Store) -> None:
    with pytest.raises(StorageFull), full.transaction() as tx:
        tx.tasks.add(task("new"))
        tx.thoughts.add(thought("h", "new", content=LARGE))
    assert full.tasks.get("new") is None
    make_room(full)
    with full.transaction() as tx:
        tx.tasks.add(task("new"))
        tx.thoughts.add(thought("h", "new", content=LARGE))
    assert full.thoughts.get("h")


def test_a_transaction_that_goes_on_after_a_full_disk_is_not_half_kept(full: Store) -> None:
    """SQLite undoes all of it by itself then, and would run what follows on its own."""
    with pytest.raises(TransactionError), full.transaction() as tx:
        tx.tasks.add(task("first"))
        with pytest.raises(StorageFull):
            tx.thoughts.add(thought("h", "first", content=LARGE))
        make_room(full)
        tx.tasks.add(task("last"))
    assert full.tasks.get("first") is None
    assert full.tasks.get("last") is None
    full.tasks.add(task("after"))


def test_a_full_disk_in_a_savepoint_is_not_half_kept(full: Store) -> None:
    with pytest.raises(StoreError), full.transaction() as tx:
        tx.tasks.add(task("first"))
        with pytest.raises(StorageFull), tx.savepoint():
            tx.thoughts.add(thought("h", "first", content=LARGE))
    # Either all of the rest is kept, or the whole was undone and said so.
    assert full.tasks.get("first") is None
    make_room(full)
    full.tasks.add(task("after"))
    assert [found.task_id for found in full.tasks.scan()] == ["old", "after"]


FILE_SIZE_LIMIT = """
import resource, sys
from pathlib import Path
from ciris_store_core import RetryPolicy, StoreError, Task, Thought, open_store
task = lambda n: Task(task_id=f"t{n}", channel_id="c", description="x" * 20000)
thought = lambda n: Thought(thought_id=f"h{n}", source_task_id=f"t{n}", content="y" * 20000)

def write(n):
    with store.transaction() as tx:
        tx.tasks.add(task(n)); tx.thoughts.add(thought(n))

path = Path(sys.argv[1])
store = open_store(path, retry=RetryPolicy(attempts=1))
write(0)
largest = max(path.stat().st_size, Path(f"{path}-wal").stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + int(sys.argv[2]), resource.RLIM_INFINITY))
written = 0
try:
    while written < 1000:
        write(written + 1)
        written += 1
except StoreError as error:
    print(type(error).__name__)
for n in range(written + 1):
    assert store.tasks.get(f"t{n}") == task(n).replaced(**store.tasks.get(f"t{n}").__dict__) and store.thoughts.get(f"h{n}")
assert store.tasks.count() == store.thoughts.count() == written + 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write("after")
assert store.tasks.count() == store.thoughts.count() == written + 2
store.close()
"""


@pytest.mark.parametrize("room", [0, 1, 50_000, 333_333])
def test_a_limit_to_the_size_of_files(path: Path, room: int) -> None:
    assert output_of(FILE_SIZE_LIMIT, path, room) == "StorageFull\n"
    assert integrity(path) == "ok"


# --- in memory --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", ":memory:"])
def test_in_memory_there_is_one_database_per_process(url: str) -> None:
    with open_store(url) as first, open_store("sqlite:///:memory:") as second:
        first.tasks.add(task("t"))
        assert second.tasks.get("t")
        first.close()
        second.tasks.add(task("u"))
        assert second.tasks.count() == 2
    with open_store(url) as third:
        assert third.tasks.count() == 0


def test_in_memory_names_tell_databases_apart() -> None:
    with open_store("sqlite:///:memory:?name=a") as a, open_store("sqlite:///:memory:?name=b") as b:
        a.tasks.add(task("t"))
        assert b.tasks.get("t") is None
        with open_store("sqlite:///:memory:?name=a") as again:
            assert again.tasks.get("t")


def test_in_memory_stores_take_turns() -> None:
    def write(store: Store, name: str) -> None:
        for n in range(100):
            store.tasks.add(task(f"{name} {n}"))
            assert store.tasks.get(f"{name} {n}")

    with open_store("sqlite:///:memory:?name=t") as first, open_store("sqlite:///:memory:?name=t") as second:
        in_threads(*(lambda s=s, n=n: write(s, f"{n}") for n, s in enumerate([first, second] * 3)))
        assert first.tasks.count() == 600


def in_threads(*works: Callable[[], object]) -> None:
    """Run works side by side; raises what the first of them raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread is stuck"
    if errors:
        raise errors[0]


# --- connections ------------------------------------------------------------------------------


def test_connections_are_bounded_and_outlive_their_threads(path: Path) -> None:
    before = open_files()
    with open_once(path, pool_size=3) as store:
        store.tasks.add(task("t"))
        for _ in range(10):
            in_threads(*[lambda: [store.tasks.get("t") for _ in range(20)]] * 20)
            in_threads(*[lambda: store.tasks.update("t", status="active")] * 5)
        assert store.stats()["connections"] <= 4
        # Each connection has the database and its log open, and the process the turn and the shared index.
        assert open_files() <= before + 4 * 2 + 2 + 2
    assert open_files() == before


def test_all_connections_in_use_is_an_error_after_the_timeout(path: Path) -> None:
    with open_once(path, pool_size=2, busy_timeout=0.1) as store:
        backend = backend_of(store)
        with backend.session(write=False), backend.session(write=False):
            with pytest.raises(PoolTimeout, match="pool_size"):
                store.tasks.count()
            store.tasks.add(task("t"))
        assert store.tasks.count() == 1


def test_errors_leak_no_connection(path: Path) -> None:
    with open_once(path, pool_size=2, busy_timeout=1) as store:
        for n in range(20):
            with pytest.raises(ZeroDivisionError), store.transaction() as tx:
                tx.tasks.add(task(f"t{n}"))
                _ = 1 / 0
            with pytest.raises(ZeroDivisionError), backend_of(store).session(write=False) as session:
                session.tasks.get(["t"], None)
                _ = 1 / 0
        assert store.tasks.count() == 0
        assert store.stats()["connections"] <= 3


@pytest.mark.parametrize("prepare", [lambda path: path.write_bytes(b"no database"), lambda path: path.mkdir()])
def test_a_failed_start_leaves_nothing_open(path: Path, prepare: Callable[[Path], object]) -> None:
    prepare(path)
    before = open_files()
    for _ in range(5):
        with pytest.raises(StoreError):
            open_once(path)
    assert open_files() == before


def test_a_closed_store_says_so(path: Path) -> None:
    store = open_once(path)
    store.close()
    store.close()
    for call in (lambda: store.tasks.add(task("t")), store.tasks.count):
        with pytest.raises(StoreClosed, match="open it again"):
            call()


def test_closing_lets_open_transactions_end(path: Path) -> None:
    before = open_files()
    store = open_once(path)
    backend = backend_of(store)
    with backend.session(write=True) as writing, backend.session(write=False) as reading:
        writing.tasks.add([task("t")])
        store.close()
        assert reading.tasks.get(["t"], None) == []
        writing.thoughts.add([thought("h", "t")])
    assert open_files() == before
    with open_once(path) as again:
        assert again.tasks.count() == again.thoughts.count() == 1


def test_closing_among_many_threads_ends_all_of_them_with_one_error(path: Path) -> None:
    before = open_files()
    for _ in range(10):
        store = open_once(path)
        ready = threading.Barrier(9)

        def work(number: int, store: Store = store, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            with pytest.raises(StoreClosed):
                while True:
                    store.tasks.update("t", status="active") if number % 2 else store.tasks.count()

        def close(store: Store = store, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            store.tasks.count()
            store.close()

        in_threads(close, *(lambda n=n: work(n) for n in range(8)))
        assert open_files() == before


def test_closing_while_a_thread_waits_for_the_turn_leaves_the_turn_free(path: Path) -> None:
    with open_once(path) as other:
        store = open_once(path)
        with backend_of(other).session(write=True):
            waiting = threading.Thread(target=lambda: pytest.raises(StoreClosed, store.tasks.add, task("late")))
            waiting.start()
            while backend_of(store)._turn._file._waiter is None:
                pass
            store.close()
        waiting.join(30)
        assert not waiting.is_alive()
        # Another process, since turns are passed among threads in another way.
        assert output_of(WRITE_ONE, path) == "written\n"


WRITE_ONE = """
import sys
from ciris_store_core import RetryPolicy, Task, open_store
with open_store(f"sqlite:///{sys.argv[1]}?busy_timeout=3", retry=RetryPolicy(attempts=1)) as store:
    store.tasks.add(Task(task_id="other", channel_id="c", description="d"))
print("written")
"""

FORK = """
import os, sys
from ciris_store_core import StoreClosed, Task, open_store
store = open_store(sys.argv[1])
add = lambda n: store.tasks.add(Task(task_id=n, channel_id="c", description="d"))
add("before")
child = os.fork()
if child == 0:
    for call in (lambda: add("child"), store.tasks.count, lambda: store.transaction().__enter__()):
        try:
            call()
        except StoreClosed as error:
            assert "fork" in str(error)
        else:
            raise SystemExit("the child used the store")
    store.close()
    with open_store(sys.argv[1]) as own:
        own.tasks.add(Task(task_id="own", channel_id="c", description="d"))
    raise SystemExit(0)
assert os.waitpid(child, 0)[1] == 0
add("after")
print(sorted(task.task_id for task in store.tasks.scan()))
"""


def test_a_forked_process_opens_its_own(path: Path) -> None:
    assert output_of(FORK, path) == "['after', 'before', 'own']\n"
    assert integrity(path) == "ok"


def test_urls_name_relative_and_absolute_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///rel.db") as relative, open_store(url_of(tmp_path / "rel.db")) as absolute:
        relative.tasks.add(task("t"))
        assert absolute.tasks.get("t")
