"""Opening, refusing and sharing files."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Thread

import duckdb
import pytest

from ciris_store_core import ANY_OCCURRENCE, StoreError, Unavailable, open_store
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import task
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import (
    DatabaseError,
    InvalidURL,
    MigrationRequired,
    NotADatabase,
    OutcomeUnknown,
    ReadOnly,
    StorageFull,
    TransactionError,
)
from ciris_store_core.transfer import backup_store, restore_store
from ciris_store_core.url import resolve_url
from ciris_store_duckdb import errors
from ciris_store_duckdb.backend import DuckBackend
from ciris_store_duckdb.session import ROWS_AT_ONCE

OPEN_AND_WAIT = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def backend(path: Path, options: str = "") -> DuckBackend:
    made = DuckBackend(resolve_url(f"duckdb:///{path}{options}"), BackendContext(ManualClock()))
    made.prepare(migrate=True)
    return made


def test_a_store_for_users(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/x.duckdb"
    with open_store(url) as store:
        assert store.info()["schema_version"] == 3
        assert store.is_empty()
    with open_store(url, migrate=False, create=False) as store:
        assert store.info()["path"] == f"{tmp_path}/x.duckdb"


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///:memory:", "duckdb://host/x", "duckdb:///x?nonsense=1"])
def test_urls_that_name_no_file(url: str) -> None:
    with pytest.raises(InvalidURL):
        open_store(url)


def test_a_file_is_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/x.duckdb"
    with pytest.raises(InvalidURL, match="create"):
        open_store(url, create=False)
    with pytest.raises(MigrationRequired):
        open_store(url, migrate=False)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_something_else(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("something else" * 1000)
    with pytest.raises(NotADatabase):
        backend(text)
    assert text.read_text() == "something else" * 1000
    with pytest.raises(InvalidURL, match="directory"):
        backend(tmp_path)
    with pytest.raises(InvalidURL, match="no directory"):
        backend(tmp_path / "missing" / "x.duckdb")


def test_a_database_without_the_schema_gets_it(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    with closing(backend(tmp_path / "x.duckdb")) as opened:
        assert opened.is_empty()


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    command = [sys.executable, "-c", OPEN_AND_WAIT, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        with pytest.raises(Unavailable, match="another process"):
            backend(path)
        other.communicate("")
    with closing(backend(path)) as opened:
        assert opened.is_empty()


def test_writers_wait_for_each_other_across_stores(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with closing(backend(path)) as first, closing(backend(path, "?busy_timeout=0")) as second:
        with first.session(write=True) as session:
            session.tasks.add([task("a")])
            with ThreadPoolExecutor(1) as other, pytest.raises(Unavailable, match="busy_timeout"):
                other.submit(second.session(write=True).__enter__).result()
            with pytest.raises(TransactionError, match="this thread"), second.session(write=True):
                pass
        with second.session(write=True) as session:
            session.tasks.add([task("b")])
            assert len(session.tasks.get(["a", "b"], None)) == 2


def test_more_rows_than_one_statement_takes(tmp_path: Path) -> None:
    ids = [f"t{i}" for i in range(2 * ROWS_AT_ONCE + 1)]
    with closing(backend(tmp_path / "x.duckdb")) as opened, opened.session(write=True) as session:
        session.tasks.add([task(id) for id in ids])
        assert len(session.tasks.get(ids, None)) == len(ids)


def test_statements_reach_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    query = f"SELECT * FROM read_csv('{tmp_path}/secret.csv')"
    reading = backend(tmp_path / "x.duckdb").session(write=False, single=True)
    with reading as session, pytest.raises(StoreError, match="PermissionException"):
        session.rows(query)


def test_a_store_closed_by_another_thread_lets_go_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    opened = backend(path)
    with opened.session(write=True) as session:
        closer = Thread(target=opened.close)
        closer.start()
        closer.join()
        session.tasks.add([task("t")])
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AND_WAIT, str(path)], input="", capture_output=True, text=True, check=True
    )
    assert done.stdout == "open\n"


@pytest.mark.parametrize(
    ("error", "committing", "expected"),
    [
        (duckdb.FatalException, True, OutcomeUnknown),
        (duckdb.FatalException, False, Unavailable),
        (duckdb.TransactionException, False, Unavailable),
        (duckdb.OutOfMemoryException, False, Unavailable),
        (duckdb.InterruptException, False, Unavailable),
        (duckdb.ConnectionException, False, TransactionError),
        (duckdb.IOException, False, Unavailable),
        (duckdb.BinderException, False, DatabaseError),
    ],
)
def test_what_errors_mean(
    error: type[duckdb.Error], committing: bool, expected: type[StoreError], tmp_path: Path
) -> None:
    assert type(errors.translate(error("x"), f"{tmp_path}/x", committing=committing)) is expected


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "ROOM_TO_WRITE", 2**80)
    assert type(errors.translate(duckdb.IOException("x"), f"{tmp_path}/x", committing=False)) is StorageFull


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path) -> StoreError:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(errors, "_reason", refuse)
    found = errors.cannot_open(duckdb.IOException("x"), str(tmp_path / "x"))
    assert type(found) is ReadOnly and "Permission denied" in str(found)


def test_a_native_backup_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of any backend, into a store of it: its file is opened by the backend that wrote it."""

    def copied(self: DuckBackend, path: Path, progress: object) -> None:
        with self.session(write=False) as session:
            session.run("FORCE CHECKPOINT")
            path.write_bytes(Path(self.path).read_bytes())

    monkeypatch.setattr(DuckBackend, "backup", copied, raising=False)
    with open_store(f"duckdb:///{tmp_path}/x.duckdb") as store:
        store.tasks.add(task("t"))
        assert not backup_store(store, tmp_path / "a backup#1").portable
    with open_store(f"duckdb:///{tmp_path}/y.duckdb") as target:
        assert restore_store(tmp_path / "a backup#1", target).verified
        assert [each.task_id for each in target.tasks.scan(occurrence_id=ANY_OCCURRENCE)] == ["t"]
