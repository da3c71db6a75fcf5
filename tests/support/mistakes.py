"""The mistakes that docs/urls.md lists, each made for real."""

from __future__ import annotations

import getpass
import itertools
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ciris_store_core import RetryPolicy, StoreError, Task, TestSeams, open_store
from ciris_store_core.contract.hookspecs import BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.fleet import open_fleet
from ciris_store_core.inmemory import BACKEND
from tests.support.pgserver import PostgresServer

Row = tuple[str, str, str]
Mistakes = Mapping[str, Callable[[], object]]

_NOBODY = 65534
_ONCE = RetryPolicy(attempts=1)
_numbers = itertools.count()


def row_of(title: str, make: Callable[[], object], replaced: Mapping[str, str]) -> Row:
    """The row of the table for a mistake: its title, the error's class and its message."""
    with pytest.raises(StoreError) as caught:
        make()
    message = str(caught.value)
    for real, shown in replaced.items():
        message = re.sub(real, shown, message)
    return title, type(caught.value).__name__, message


def opened(url: str, **options: object) -> Callable[[], object]:
    """Opening and closing a store."""
    return lambda: open_store(url, **options).close()  # type: ignore[arg-type]


# --- arguments --------------------------------------------------------------------------------


def argument_mistakes(monkeypatch: pytest.MonkeyPatch) -> Mistakes:
    """Mistakes before any URL is read."""

    def empty_variable() -> None:
        monkeypatch.setenv("CIRIS_DB_URL", "")
        open_store()

    return {
        "the URL is empty": opened(""),
        "the URL is neither text nor a path": opened(5432),  # type: ignore[arg-type]
        "`CIRIS_DB_URL` is set but empty": empty_variable,
        "`memory://`, opened with `create=False`": opened("memory://", create=False),
        'opened as `occurrence_id="__shared__"`': opened("memory://", occurrence_id="__shared__"),
        'opened with `text_errors="ignore"`': opened("memory://", text_errors="ignore"),
        "a fleet in one file": lambda: open_fleet("sqlite:///agents.db"),
        "a fleet with `schema=`": lambda: open_fleet("postgresql://localhost/agents?schema=a"),
    }


# --- files ------------------------------------------------------------------------------------

#: Replacements for the folder and the user of the test.
FILE_NAMES = {r"/\S*/srv\b": "/srv", "a{300}": "aaa", rf"\buser {re.escape(getpass.getuser())}\b": "user agent"}


class Files:
    """Database files with something wrong, in a folder called ``srv``."""

    def __init__(self, folder: Path) -> None:
        """``folder`` must be one that every user may enter."""
        self.folder = folder / "srv"
        self.folder.mkdir()

    def mistakes(self) -> Mistakes:
        """All of them."""
        return {
            "the path is a directory": self._open("agents", lambda path: path.mkdir()),
            "its directory does not exist": self._open("data/agent.db", lambda path: None),
            "the file's name is too long": self._open("a" * 300, lambda path: None),
            "its directory cannot be written": self._open_as_other("closed", 0o555, 0o666),
            "the file cannot be written (at the first write)": self._open_as_other("open", 0o777, 0o444),
            "the file is something else": self._open("notes.txt", lambda path: path.write_text("Dear diary, " * 100)),
            "the file is something short": self._open("note.txt", lambda path: path.write_text("Dear diary")),
            "the file was cut short": self._open("cut.db", _cut_short),
            "no file, and `create=false`": self._open("agent.db?create=false", lambda path: None),
            "no store in the file, and `migrate=false`": self._open("new.db?migrate=false", lambda path: None),
            "a database of the original engine": self._open("engine.db", _make_engine),
            "a newer program migrated it": self._open("newer.db", _make_newer),
            "another program holds its write lock": self._locked,
            "it was deleted while it was open": self._deleted,
        }

    def _url(self, name: str) -> str:
        return f"sqlite:///{self.folder}/{name}"

    def _open(self, name: str, make: Callable[[Path], object]) -> Callable[[], object]:
        def attempt() -> None:
            make(self.folder / name.partition("?")[0])
            open_store(self._url(name)).close()

        return attempt

    def _open_as_other(self, folder: str, folder_mode: int, file_mode: int) -> Callable[[], object]:
        def attempt() -> None:
            path = self.folder / folder / "agent.db"
            path.parent.mkdir()
            open_store(path).close()
            for beside in path.parent.glob("agent.db-*"):
                beside.unlink()
            path.chmod(file_mode)
            path.parent.chmod(folder_mode)
            try:
                with ordinary_user(), open_store(path) as store:
                    store.tasks.add(_task())
            finally:
                path.parent.chmod(0o755)

        return attempt

    def _locked(self) -> None:
        path = self.folder / "locked.db"
        with (
            open_store(self._url("locked.db?busy_timeout=0.1"), retry=_ONCE) as store,
            closing(sqlite3.connect(path, isolation_level=None)) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            store.tasks.add(_task())

    def _deleted(self) -> None:
        with open_store(self._url("gone.db")) as store:
            (self.folder / "gone.db").unlink()
            store.tasks.add(_task())


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Not to be root inside, as permissions do not bind root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def _task() -> Task:
    return Task(task_id="t1", channel_id="cli", description="greet")


def _cut_short(path: Path) -> None:
    open_store(path).close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _make_engine(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE service_correlations (correlation_id TEXT PRIMARY KEY)")


def _make_newer(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations VALUES (99, 'later', 0, 99)")


# --- servers ----------------------------------------------------------------------------------


def server_names(server: PostgresServer) -> Mapping[str, str]:
    """Return the replacements for the port of the test's server."""
    return {rf"\b{server.port}\b": "5432"}


def server_mistakes(server: PostgresServer) -> Mistakes:
    """Connections that a server refuses."""
    server.create_role("agent", "correct")
    server.create_role("guest")
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    url = server.url(dbname=server.create_database().rpartition("/")[2])
    agent = server.url(user="agent", password="correct")
    return {
        "no server listens there": opened("postgresql://agent@127.0.0.1:1/agent"),
        "there is no such database": opened(server.url(dbname="agnet")),
        "there is no such user": opened(server.url(user="nobody")),
        "the password is wrong": opened(agent.replace("correct", "wrong")),
        "the password is missing": opened(agent.replace(":correct", "")),
        "the user may not make tables": opened(server.url(user="guest")),
        "the database is not in UTF-8": opened(server.url(dbname="latin")),
        "no store in the database, and `create=false`": opened(f"{url}?create=false"),
        "no store in the database, and `migrate=false`": opened(f"{url}?migrate=false"),
    }


# --- plugins ----------------------------------------------------------------------------------

_HOOK = """
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendSpec, hookimpl

@hookimpl
def ciris_store_backend():
    return {answer}
"""
_SPEC = "BackendSpec('Acme', ({scheme!r},), print, frozenset(), {version}, 'ciris-store-acme')"


class Plugins:
    """Installs distributions with something wrong, each in a folder of its own on ``sys.path``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """``monkeypatch`` takes them away again."""
        self._folder = folder
        self._monkeypatch = monkeypatch

    def mistakes(self) -> Mistakes:
        """All of them."""
        return {
            "the backend for SQLite is not installed": opened(
                "sqlite:///agent.db", testing=TestSeams(registry=Registry("nobody.here"))
            ),
            "the backend for PostgreSQL is not installed": opened(
                "postgres://h/d", testing=TestSeams(registry=Registry("nobody.here"))
            ),
            "its module cannot be imported": self._opening("acme1", "import acme_driver"),
            "it has no hook": self._opening("acme2", "pass"),
            "its hook raises": self._opening("acme3", _HOOK.format(answer="1 / 0")),
            "its hook returns something else": self._opening("acme4", _HOOK.format(answer="'acme'")),
            "it serves another scheme": self._opening("acme5", _hook("acme")),
            "it was written for a later contract": self._opening("acme6", _hook("acme6", "'9.0'")),
            "two distributions claim the scheme": self._claimed_twice,
            "it claims a scheme of this project": self._opening("sqlite", _hook("sqlite")),
            "it is not in `CIRIS_ALLOWED_BACKENDS`": self._not_allowed,
            "a program registers a scheme twice": _registered_twice,
        }

    def _opening(self, scheme: str, source: str) -> Callable[[], object]:
        def attempt() -> None:
            self._install("ciris-store-acme", scheme, source)
            open_store(f"{scheme}:///somewhere")

        return attempt

    def _claimed_twice(self) -> None:
        self._install("ciris-store-acme", "acme7", _hook("acme7"))
        self._install("acme-for-ciris", "acme7", _hook("acme7"))
        open_store("acme7://somewhere")

    def _not_allowed(self) -> None:
        self._monkeypatch.setenv("CIRIS_ALLOWED_BACKENDS", "ciris-store-sqlite,ciris-store-postgres")
        self._install("ciris-store-acme", "acme8", _hook("acme8"))
        open_store("acme8://somewhere")

    def _install(self, name: str, scheme: str, source: str) -> None:
        number = next(_numbers)
        folder = self._folder / f"site{number}"
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"documented_plugin_{number}.py").write_text(source)
        (info / "entry_points.txt").write_text(f"[ciris_store.backends]\n{scheme} = documented_plugin_{number}\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        self._monkeypatch.syspath_prepend(str(folder))


def _hook(scheme: str, version: str = "CONTRACT_VERSION") -> str:
    return _HOOK.format(answer=_SPEC.format(scheme=scheme, version=version))


def _registered_twice() -> None:
    registry = Registry()
    for name in ("ciris-store-acme", "acme-for-ciris"):
        registry.register(BackendSpec("Acme", ("acme9",), BACKEND.factory, frozenset(), BACKEND.contract_version, name))
