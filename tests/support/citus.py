"""A Citus cluster on loopback, from a PostgreSQL that has the extension Citus installed.

``python -m tests.support.citus BIN`` starts a coordinator and its workers, prints the URL for ``CIRIS_TEST_CITUS_URL``,
restarts each node that dies, as a service manager does, and stops all of them at Ctrl-C. ``BIN`` is the folder of that
PostgreSQL's programs, such as ``/usr/lib/postgresql/17/bin``.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from types import TracebackType

from tests.support.pgprograms import use_programs
from tests.support.pgserver import PostgresServer

URL_VARIABLE = "CIRIS_TEST_CITUS_URL"

_SETTINGS = """
shared_preload_libraries = 'citus'
wal_level = logical
max_prepared_transactions = 100
max_wal_senders = 10
max_replication_slots = 10
citus.enable_statistics_collection = off
citus.node_connection_timeout = 5s
"""
_WATCH_SECONDS = 0.2


class CitusCluster:
    """A coordinator and workers with one database, in which new schemas are distributed. Use it in ``with``."""

    def __init__(self, workers: int = 2) -> None:
        self.nodes = [PostgresServer(settings=_SETTINGS) for _ in range(workers + 1)]

    def __enter__(self) -> CitusCluster:
        for node in self.nodes:
            node.start()
            node.execute("CREATE EXTENSION citus")
        coordinator, *workers = self.nodes
        coordinator.execute(f"SELECT citus_set_coordinator_host('127.0.0.1', {coordinator.port})")
        for worker in workers:
            coordinator.execute(f"SELECT citus_add_node('127.0.0.1', {worker.port})")
        coordinator.execute("ALTER DATABASE postgres SET citus.enable_schema_based_sharding = on")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.remove()

    @property
    def url(self) -> str:
        """The URL of the coordinator."""
        return self.nodes[0].url()

    def revive(self) -> None:
        """Start the nodes that died."""
        for node in self.nodes:
            if not node.running:
                node.start(wait=False)


def main() -> None:
    """Run a cluster until this process is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.citus", description="Run a Citus cluster.")
    parser.add_argument("programs", type=Path, metavar="BIN", help="folder of the programs of that PostgreSQL")
    parser.add_argument("--workers", type=int, default=2, help="how many (%(default)s)")
    options = parser.parse_args()
    use_programs(options.programs)
    # A shell that starts it in the background has it ignore SIGINT.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with CitusCluster(options.workers) as cluster:
        print(f"export {URL_VARIABLE}='{cluster.url}'", flush=True)
        try:
            while True:
                time.sleep(_WATCH_SECONDS)
                cluster.revive()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
