"""Notices an old primary that came back after a failover and takes writes again."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ciris_store_core.errors import AccessDenied, DatabaseError, NotSupported, Unavailable

if TYPE_CHECKING:
    from ciris_store_postgres.session import PostgresSession

log = logging.getLogger(__name__)

# A promotion begins a new timeline, whose number the names of the log's files begin with.
LINEAGE = """
SELECT system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
    ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END
FROM pg_catalog.pg_control_system()
"""

_TIMELINE_DIGITS = 8


class Timeline:
    """Remembers the newest timeline that a store has seen, and refuses older ones. Thread-safe."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self._lock = threading.Lock()
        self._system: int | None = None
        self.timeline = 0

    def check(self, session: PostgresSession) -> None:
        """Ask the server of a new connection; one that cannot say is let through.

        Raises:
            Unavailable: It is older than one that was seen before.
        """
        try:
            [(system, log_file)] = session.rows(LINEAGE)
        except (AccessDenied, DatabaseError, NotSupported):
            return
        if log_file is not None:
            self._compare(system, int(log_file[:_TIMELINE_DIGITS], 16))

    def _compare(self, system: int, timeline: int) -> None:
        with self._lock:
            if self._system not in (None, system):
                # After an upgrade or a move this is right, and the two cannot be compared.
                log.warning("the servers of the URL are not copies of one another: check which of them is meant")
                self.timeline = 0
            self._system = system
            if timeline < self.timeline:
                raise Unavailable(
                    f"the server is on timeline {timeline}, and a newer one, on timeline {self.timeline}, was seen "
                    "before: it is a primary from before a failover, so stop it, or make it a standby"
                )
            self.timeline = timeline
