"""A PgBouncer in transaction mode before a server of ours. It is not on PyPI: Debian's package is ``pgbouncer``."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from tests.support.pgprograms import as_owner, give_away, new_folder
from tests.support.pgserver import PostgresServer

HOW_TO_INSTALL = "there is no pgbouncer on this machine: apt-get install pgbouncer"

_CONFIG = """
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = postgres
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
query_wait_timeout = 60
log_connections = 0
log_disconnections = 0
"""


class PgBouncer:
    """Use it in a ``with`` statement, and connect to ``url_for(url)``.

    Args:
        server: The server behind it.
        size: How many connections to the server each database gets.
    """

    def __init__(self, server: PostgresServer, size: int) -> None:
        # Ordinary users often lack the folder where Debian puts it.
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise RuntimeError(HOW_TO_INSTALL)
        self._folder = new_folder()
        self.port = _free_port()
        config = _CONFIG.format(server=server.port, port=self.port, folder=self._folder, size=size)
        (self._folder / "config").write_text(config)
        (self._folder / "users").write_text('"postgres" ""\n')
        give_away(self._folder)
        self._command = [program, str(self._folder / "config")]

    def __enter__(self) -> PgBouncer:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_owner(self._folder)
            )
        deadline = time.monotonic() + 10
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start:\n{self.log()}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def url_for(self, url: str) -> str:
        """The same URL, leading through this pooler."""
        return urlunsplit(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{self.port}"))

    def log(self) -> str:
        """Return its log."""
        return (self._folder / "log").read_text(errors="replace")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
