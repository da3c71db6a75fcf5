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
    """Newest timelines that a store has seen; older ones of the same system are refused. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.timelines: dict[int, int] = {}
        """The newest timeline of each system, by its identifier."""

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
            self._compare(system, int(log_file[:_TIMELINE_DIGITS], 16), expected=session.distributed)

    def _compare(self, system: int, timeline: int, *, expected: bool = False) -> None:
        with self._lock:
            if self.timelines and system not in self.timelines and not expected:
                # Expected after an upgrade or a move to another server, and among the nodes of a Citus cluster.
                log.warning("the servers of the URL are not replicas of one another; check the hosts of the URL")
            newest = self.timelines.get(system, 0)
            if timeline < newest:
                raise Unavailable(
                    f"the server is on timeline {timeline}, but a server on timeline {newest} was seen before: "
                    "this one is a primary from before a failover. Stop it, or make it a standby."
                )
            self.timelines[system] = timeline
