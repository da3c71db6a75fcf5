"""Check against an old primary that accepts writes again after a failover."""

from __future__ import annotations

import logging
import threading

from ciris_store_core.errors import AccessDenied, DatabaseError, NotSupported, Unavailable
from ciris_store_postgres.executor import PostgresExecutor

log = logging.getLogger(__name__)

# A promotion starts a new timeline, and the name of each write-ahead log file starts with the number of its timeline.
# A standby writes no log, so its timeline is not asked for.
TIMELINE = """
SELECT system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
    ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END
FROM pg_catalog.pg_control_system()
"""

_TIMELINE_DIGITS = 8


class Timeline:
    """Newest timeline that a store has seen; older ones are refused. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._system: int | None = None
        self.timeline = 0

    def check(self, session: PostgresExecutor) -> None:
        """Compare the timeline of a new connection's server. A server that does not tell its timeline is accepted.

        Raises:
            Unavailable: A server on a newer timeline was seen before.
        """
        try:
            [(system, log_file)] = session.rows(TIMELINE)
        except (AccessDenied, DatabaseError, NotSupported):
            return
        if log_file is not None:
            self._compare(system, int(log_file[:_TIMELINE_DIGITS], 16))

    def _compare(self, system: int, timeline: int) -> None:
        with self._lock:
            if self._system not in (None, system):
                # Expected after an upgrade or a move to another server; timelines of two systems cannot be compared.
                log.warning("the servers of the URL are not replicas of one another. Check the hosts of the URL.")
                self.timeline = 0
            self._system = system
            if timeline < self.timeline:
                raise Unavailable(
                    f"the server is on timeline {timeline}, but a server on timeline {self.timeline} was seen before: "
                    "this one is a primary from before a failover. Stop it, or make it a standby."
                )
            self.timeline = timeline
