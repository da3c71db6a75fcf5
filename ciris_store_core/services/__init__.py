"""What runs over a store: maintenance, retention, and the background threads of services."""

from .archive import ArchiveEntry, read_archive
from .background import Background, Keep
from .maintenance import DatabaseMaintenanceService, MaintenancePolicy, MaintenanceReport
from .plans import PRESETS, RetentionPlan, RetentionRule
from .retention import Reduced, RetentionReport, RetentionService, start_retention

__all__ = [
    "PRESETS",
    "ArchiveEntry",
    "Background",
    "DatabaseMaintenanceService",
    "Keep",
    "MaintenancePolicy",
    "MaintenanceReport",
    "Reduced",
    "RetentionPlan",
    "RetentionReport",
    "RetentionRule",
    "RetentionService",
    "read_archive",
    "start_retention",
]
