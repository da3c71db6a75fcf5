"""Background work over a store, and the one place where it is listed."""

from __future__ import annotations

import os
from typing import Any

from ciris_store_core.services.maintenance import DEFAULT_ARCHIVE, DatabaseMaintenanceService
from ciris_store_core.services.periodic import Scheduled, Startable
from ciris_store_core.services.retention import RetentionService
from ciris_store_core.services.retention_plans import RetentionPlan
from ciris_store_core.store import Store


class BackgroundWork(Startable):
    """All services that keep a store tidy by themselves: maintenance and retention, each under a lease of its own.

    ``open_store(background=True)`` and a started memory service run it. ``start`` begins a daemon thread for each,
    ``stop`` ends them; as a context manager it does both.
    """

    def __init__(
        self,
        store: Store,
        *,
        plan: RetentionPlan | str = "standard",
        archive_dir: str | os.PathLike[str] | None = DEFAULT_ARCHIVE,
    ) -> None:
        """Prepare it; touches nothing.

        Args:
            store: What to look after. Stop the work before you close it.
            plan: For retention: one of your own, or the name of one of ``PRESETS``.
            archive_dir: Where maintenance leaves what it removes; None: nowhere.
        """
        # A new service that is to run by itself is added here.
        self.services: tuple[Scheduled[Any], ...] = (
            DatabaseMaintenanceService(store, archive_dir=archive_dir),
            RetentionService(store, plan),
        )
        """Each has ``running``, ``last_report`` and ``last_error``."""

    @property
    def running(self) -> bool:
        """True if any of it runs."""
        return any(service.running for service in self.services)

    def start(self) -> None:
        """Do a pass of each now and then regularly, in the background; does nothing for what is running."""
        for service in self.services:
            service.start()

    def stop(self) -> None:
        """End all of it, each after the batch that it is at."""
        for service in self.services:
            service.stop(0)  # Told, and not waited for: the others need not go on meanwhile.
        for service in self.services:
            service.stop()
