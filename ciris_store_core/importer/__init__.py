"""From a database of the original engine to a store."""

from .report import ImportReport, TableReport
from .run import TABLES, Progress, import_ciris, open_engine

__all__ = ["TABLES", "ImportReport", "Progress", "TableReport", "import_ciris", "open_engine"]
