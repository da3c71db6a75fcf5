"""What stands over a store: memory, adaptive configuration, maintenance, retention, and background threads."""

from .archive import ArchiveEntry, read_archive
from .background import Background, Keep
from .configuration import AdaptiveConfiguration
from .doctor import DoctorReport, Growth, examine, unstick
from .learning import Append, Count, MovingAverage, Operation, Prefer, ReplaceTemplate
from .maintenance import DatabaseMaintenanceService, MaintenancePolicy, MaintenanceReport
from .memory import SyncMemoryService
from .plans import PRESETS, RetentionPlan, RetentionRule
from .retention import Reduced, RetentionReport, RetentionService, start_retention
from .running import BackgroundWork

__all__ = [
    "PRESETS",
    "AdaptiveConfiguration",
    "Append",
    "ArchiveEntry",
    "Background",
    "BackgroundWork",
    "Count",
    "DatabaseMaintenanceService",
    "DoctorReport",
    "Growth",
    "Keep",
    "MaintenancePolicy",
    "MaintenanceReport",
    "MovingAverage",
    "Operation",
    "Prefer",
    "Reduced",
    "ReplaceTemplate",
    "RetentionPlan",
    "RetentionReport",
    "RetentionRule",
    "RetentionService",
    "SyncMemoryService",
    "examine",
    "read_archive",
    "start_retention",
    "unstick",
]
