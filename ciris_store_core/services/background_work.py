"""Background work over a store; this module holds the one list of its services."""

from __future__ import annotations

import os
from typing import Any

from ciris_store_core.services.maintenance import DEFAULT_ARCHIVE, DatabaseMaintenanceService
from ciris_store_core.services.periodic import Scheduled, Startable
from ciris_store_core.services.retention import RetentionService
from ciris_store_core.services.retention_plans import RetentionPlan
from ciris_store_core.store import Store


class BackgroundWork(Startable):
    """The services that clean a store in the background: maintenance and retention, each under its own lease.

    ``open_store(background=True)`` and a started memory service run it. ``start`` begins a daemon thread for
    each service, ``stop`` ends them; as a context manager, the object does both.
    """

    def __init__(
        self,
        store: Store,
        *,
        plan: RetentionPlan | str = "standard",
        archive_dir: str | os.PathLike[str] | None = DEFAULT_ARCHIVE,
    ) -> None:
        """Prepare the services; the database is not touched.

        Args:
            store: The store to clean. Stop the work before you close the store.
            plan: Plan of retention: one of your own, or the name of one of ``PRESETS``.
            archive_dir: Folder in which maintenance archives the records that it deletes; None: no archive.
        """
        # Add every new background service here.
        self.services: tuple[Scheduled[Any], ...] = (
            DatabaseMaintenanceService(store, archive_dir=archive_dir),
            RetentionService(store, plan),
        )
        """Each has ``running``, ``last_report`` and ``last_error``."""

    @property
    def running(self) -> bool:
        """True if any of the services runs."""
        return any(service.running for service in self.services)

    def start(self) -> None:
        """Run a pass of each service at once and then regularly, in the background; skip services that run already."""
        for service in self.services:
            service.start()

    def stop(self) -> None:
        """Stop all services, each after its current batch."""
        for service in self.services:
            service.stop(0)  # Tell all before waiting for one, so that the others do not begin further batches.
        for service in self.services:
            service.stop()
