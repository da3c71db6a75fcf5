"""Bytes of the database's files are flipped: a typed error or the right data.

PostgreSQL has checksums. SQLite has none, so a flipped byte within a text or a number is another text or number, and
a damaged index may leave a row out: wrong data may be read where reading notices nothing. The database must never
report damage that the caller is not told of.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import pytest

from ciris_store_core import ManualClock, RetryPolicy, Store, StoreError, TestSeams, open_store
from ciris_store_core.conformance.factories import T0, correlation, node, task, thought
from ciris_store_core.sql.session import SqlSession
from ciris_store_sqlite import session as sqlite_session
from tests.reliability.corpus import changed_by, plain
from tests.reliability.filling import fill
from tests.reliability.rows import counts, record
from tests.support.pgserver import PostgresServer, execute

pytestmark = pytest.mark.fault

PARTS = {"graph": "graph_", "correlations": "correlations", "tasks": "t", "occurrences": "occurrences"}
"""The parts of a store that are read one by one, and how the names of their tables and indexes begin."""


def opened(url: str) -> Store:
    clock = ManualClock(T0)
    return open_store(url, testing=TestSeams(clock=clock, server_clock=clock), retry=RetryPolicy(attempts=1))


def fill_more(store: Store) -> None:
    """Records of every kind, over several pages."""
    fill(store, store.clock)  # type: ignore[arg-type]  # a ManualClock, see opened()
    store.tasks.add_many([task(f"t{n}", description=f"task {n}", metadata={"n": n}) for n in range(60)])
    store.thoughts.add_many([thought(f"h{n}", f"t{n}", content=f"thought {n}") for n in range(60)])
    store.correlations.add_many([correlation(f"c{n}", tags={"n": str(n)}) for n in range(60)])
    store.graph.put_many([node(f"n{n}", attributes={"n": n, "text": f"node {n}"}) for n in range(60)])


def read(url: str) -> dict[str, Any]:
    """Return the content of each part, read through the store; or the name of the error."""
    try:
        with opened(url) as store:
            return {part: _read_part(store, part) for part in PARTS}
    except StoreError as error:
        return dict.fromkeys(PARTS, type(error).__name__)


def _read_part(store: Store, part: str) -> Any:
    try:
        return plain(changed_by(store, part))
    except StoreError as error:
        return type(error).__name__
    except Exception as error:
        return f"untyped: {error!r}"


def damage(file: Path, random: Random) -> None:
    """Flip a bit, overwrite some bytes, or blank a sector."""
    content = bytearray(file.read_bytes())
    place = random.randrange(len(content))
    how = random.choice(("bit", "bytes", "sector"))
    if how == "bit":
        content[place] ^= 1 << random.randrange(8)
    elif how == "bytes":
        content[place : place + 8] = random.randbytes(len(content[place : place + 8]))
    else:
        start = place // 512 * 512
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    file.write_bytes(content)


@dataclass
class Findings:
    """Reports of damaged data to callers."""

    told: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    """Wrong data though the database knew, and errors that are none of the store's."""

    def add(self, said: Any, right: Any, *, knew: bool) -> None:
        """Reports to one caller."""
        if said == right:
            self.told["right data"] += 1
        elif isinstance(said, str):
            self.told[said] += 1
            self.silent += said.startswith("untyped")
        else:
            self.told["wrong data"] += 1
            self.silent += knew


# --- SQLite -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was closed in order."""
    path = tmp_path_factory.mktemp("sound") / "sound.db"
    with opened(f"sqlite:///{path}?synchronous=normal") as store:
        fill_more(store)
    return path


def damage_copies(sound: Path, folder: Path, times: int) -> Findings:
    """Outcomes of a number of damaged copies."""
    random, found, complaints = Random(times), Findings(), []
    copy = folder / "copy.db"
    url = f"sqlite:///{copy}?synchronous=normal"
    shutil.copy(sound, copy)
    right = read(url)
    translate = sqlite_session.translate

    def noting(*arguments: Any, **more: Any) -> StoreError:
        complaints.append(arguments)
        return translate(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_session, "translate", noting)
        for _ in range(times):
            for old in folder.iterdir():
                old.unlink()
            shutil.copy(sound, copy)
            damage(copy, random)
            complaints.clear()
            said = read(url)
            texts = [each for each in said.values() if isinstance(each, str)]
            found.add(texts[0] if texts else said, right, knew=bool(complaints))
            found.told["wrong data, which a check finds"] += said != right and not texts and finds_damage(copy)
    return found


def finds_damage(path: Path) -> bool:
    """Return True if SQLite's own check finds the damage."""
    # Not even Python can read a message that quotes what is damaged.
    with suppress(sqlite3.DatabaseError, UnicodeDecodeError), closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
    return True


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("corruption"))
def test_a_damaged_file_is_noticed_or_read_right(sound: Path, tmp_path: Path, count: int) -> None:
    found = damage_copies(sound, tmp_path, count)
    record("corruption", "SQLite", count, found.silent, note=f"told {dict(found.told)}")
    assert found.silent == 0, found
    assert found.told["Corrupt"] > 0


@pytest.mark.slow
def test_the_control_a_reader_that_makes_do(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SqlSession.rows

    def some_rows(self: Any, *arguments: Any) -> Any:
        # A backend that takes a failing query for one without an answer.
        with suppress(StoreError):
            return rows(self, *arguments)
        return []

    monkeypatch.setattr(SqlSession, "rows", some_rows)
    found = damage_copies(sound, tmp_path, 80)
    record("corruption", "SQLite", 80, found.silent, control=True, note="an error counts as an empty answer")
    assert found.silent > 0


# --- PostgreSQL -----------------------------------------------------------------------------------

FILES = """
SELECT relname, pg_relation_filepath(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND pg_relation_size(oid) > 0
"""


def damage_databases(server: PostgresServer, times: int) -> Findings:
    """Return the outcomes of the parts of copies of a database, each with one file damaged before it was read."""
    random, found = Random(times), Findings()
    template = server.create_database()
    with opened(template) as store:
        fill_more(store)
    right = read(template)
    names = {name: path.rpartition("/")[2] for name, path in execute(template, FILES)}
    files = {part: [file for name, file in sorted(names.items()) if name.startswith(start)]
             for part, start in PARTS.items()}  # fmt: skip
    for _ in range(0, times, len(PARTS)):
        said = _damage_one(server, template.rpartition("/")[2], files, random)
        for part in PARTS:
            found.add(said[part], right[part], knew=True)
    return found


def _damage_one(server: PostgresServer, template: str, files: dict[str, list[str]], random: Random) -> dict[str, Any]:
    server.execute(f"CREATE DATABASE copy TEMPLATE {template} STRATEGY FILE_COPY")
    [(folder,)] = server.execute("SELECT oid FROM pg_database WHERE datname = 'copy'")
    for choice in files.values():
        damage(server.data / "base" / str(folder) / random.choice(choice), random)
    try:
        return read(server.url(dbname="copy"))
    finally:
        server.wait_until_ready()  # damage that it does not look for may crash it
        with suppress(psycopg2.OperationalError):
            server.execute("DROP DATABASE copy WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("count", counts("corruption"))
def test_a_damaged_server_is_noticed_or_read_right(count: int) -> None:
    with PostgresServer(fast=True) as server:
        assert server.execute("SHOW data_checksums") == [("on",)]
        found = damage_databases(server, count)
    record("corruption", "PostgreSQL", count, found.silent, note=f"told {dict(found.told)}")
    assert found.silent == 0, found
    assert found.told["Corrupt"] > 0


@pytest.mark.slow
@pytest.mark.postgres
def test_the_control_a_server_that_ignores_checksums() -> None:
    with PostgresServer(fast=True, settings="ignore_checksum_failure = on\n") as server:
        found = damage_databases(server, 200)
    record("corruption", "PostgreSQL", 200, found.silent, control=True, note="ignore_checksum_failure")
    assert found.silent > 0
