"""Services over a store: memory, adaptive configuration, maintenance, retention, and background threads."""

from ciris_store_core.services.archive import ArchiveEntry, read_archive
from ciris_store_core.services.background_work import BackgroundWork
from ciris_store_core.services.configuration import AdaptiveConfiguration
from ciris_store_core.services.doctor import DoctorReport, Growth, examine, unstick
from ciris_store_core.services.learning import Append, Count, MovingAverage, Operation, Prefer, ReplaceTemplate
from ciris_store_core.services.maintenance import DatabaseMaintenanceService, MaintenancePolicy, MaintenanceReport
from ciris_store_core.services.memory import MemoryService
from ciris_store_core.services.periodic import Background, Keep
from ciris_store_core.services.retention import RetentionReport, RetentionService, RolledUp, start_retention
from ciris_store_core.services.retention_plans import PRESETS, RetentionPlan, RetentionRule
from ciris_store_core.services.stream_rules import StreamRule

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
    "MemoryService",
    "MovingAverage",
    "Operation",
    "Prefer",
    "ReplaceTemplate",
    "RetentionPlan",
    "RetentionReport",
    "RetentionRule",
    "RetentionService",
    "RolledUp",
    "StreamRule",
    "examine",
    "read_archive",
    "start_retention",
    "unstick",
]
