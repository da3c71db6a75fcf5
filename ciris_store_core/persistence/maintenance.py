"""Cleanup of expired and orphaned records."""

from __future__ import annotations

from typing import Any

from ciris_store_core.persistence.arguments import counterpart
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.services import DatabaseMaintenanceService, MaintenancePolicy, MaintenanceReport

__all__ = [
    "DatabaseMaintenanceService",
    "MaintenancePolicy",
    "MaintenanceReport",
    "async_perform_maintenance",
    "maintenance_service",
    "perform_maintenance",
]


def maintenance_service(db_path: DbPath = None, **options: Any) -> DatabaseMaintenanceService:
    """Return the maintenance service of the store for this ``db_path``, to ``start`` or to ``run``.

    ``options`` are those of ``DatabaseMaintenanceService``. Stop it before ``close_stores``.
    """
    return DatabaseMaintenanceService(get_store(db_path), **options)


def perform_maintenance(db_path: DbPath = None, *, dry_run: bool = False, **options: Any) -> MaintenanceReport:
    """Run one pass of maintenance and return its report; with ``dry_run``, change nothing."""
    return maintenance_service(db_path, **options).run(dry_run=dry_run)


async_perform_maintenance = counterpart(perform_maintenance)
