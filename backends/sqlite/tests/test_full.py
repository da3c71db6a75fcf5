"""A full disk, and a log that would grow without bound."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backends.sqlite.tests.support import backend_of, integrity, open_once, output_of
from ciris_store_core import Store
from ciris_store_core.errors import (
    StorageFull,
    StoreError,
    TransactionError,
)
from tests.support.factories import task, thought

# --- no room ----------------------------------------------------------------------------------


@pytest.fixture
def full(store: Store) -> Store:
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
        with pytest.raises(StorageFull, match="Make room"):
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
    kept = ["first"]
    try:
        with full.transaction() as tx:
            tx.tasks.add(task("first"))
            with pytest.raises(StorageFull), tx.savepoint():
                tx.thoughts.add(thought("h", "first", content=LARGE))
    except StoreError:
        kept = []
    # Either all of the rest is kept, or the whole was undone and said so.
    assert full.thoughts.get("h") is None
    make_room(full)
    full.tasks.add(task("after"))
    assert [found.task_id for found in full.tasks.scan()] == ["old", *kept, "after"]


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
    assert store.tasks.get(f"t{n}").description == "x" * 20000 and store.thoughts.get(f"h{n}").content == "y" * 20000
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


NEW_FILES = """
import resource, sys
from pathlib import Path
from ciris_store_core import StoreError, Task, open_store
from ciris_store_core.transfer import backup_store
folder, free = Path(sys.argv[1]), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
source = open_store(folder / "source.db")
source.tasks.add_many([Task(task_id=f"t{n}", channel_id="c", description="x" * 90_000) for n in range(100)])
ways = {
    "backup": lambda: backup_store(source, folder / "backup"),
    "open": lambda: open_store(folder / "new.db").close(),
}
told = []
for kilobytes in (1, 4, 16, 40, 100, 300, 8900):
    for name in ("open", "backup"):
        if name == "open" and kilobytes > 300:
            continue
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, free[1]))
        try:
            ways[name]()
            told.append((name, kilobytes, "done"))
        except Exception as error:
            told.append((name, kilobytes, type(error).__name__, str(error)))
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
        left = [each.name for each in folder.iterdir() if "backup" in each.name]
        told += [("left", *left)] if left else []
wrong = [each for each in told if each[2:3] != ("StorageFull",) or "Make room" not in each[3]]
assert not wrong, wrong
for name in ways:  # now there is room
    ways[name]()
"""


def test_new_files_on_a_full_disk(tmp_path: Path) -> None:
    """A new store and a backup say what is lacking; of a backup nothing is left."""
    assert output_of(NEW_FILES, tmp_path) == ""
    assert integrity(tmp_path / "backup") == integrity(tmp_path / "new.db") == "ok"


# --- the log ----------------------------------------------------------------------------------


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciris_store_sqlite.backend.WAL_LIMIT", 50_000)
    monkeypatch.setattr("ciris_store_sqlite.backend.COMMITS_BETWEEN_WAL_CHECKS", 5)


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


@pytest.mark.usefixtures("short_log")
def test_the_log_is_cut_back(path: Path) -> None:
    with open_once(path) as store:
        for n in range(50):
            store.tasks.add(task(f"t{n}", description=LARGE))
            assert log_size(path) < 6 * 2 * len(LARGE)
        assert backend_of(store)._writer.pragma("busy_timeout") == (30_000,)


@pytest.mark.usefixtures("short_log")
def test_a_long_reader_stalls_no_writer(path: Path) -> None:
    with open_once(path, busy_timeout=5) as store:
        store.tasks.add(task("t"))
        with backend_of(store).session(write=False) as session:
            assert session.tasks.get(["t"], None)
            began = time.monotonic()
            for n in range(20):
                store.tasks.add(task(f"t{n}", description=LARGE))
            assert time.monotonic() - began < 4
            assert log_size(path) > 20 * len(LARGE), "the reader needs the log as it is"
        for n in range(5):
            store.tasks.add(task(f"last {n}"))
        assert log_size(path) < len(LARGE)
