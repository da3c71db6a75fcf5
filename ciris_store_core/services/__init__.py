"""What runs over a store: maintenance, and the background threads of services."""

from .archive import ArchiveEntry, read_archive
from .background import Background, Keep
from .maintenance import DatabaseMaintenanceService, MaintenancePolicy, MaintenanceReport

__all__ = [
    "ArchiveEntry",
    "Background",
    "DatabaseMaintenanceService",
    "Keep",
    "MaintenancePolicy",
    "MaintenanceReport",
    "read_archive",
]
