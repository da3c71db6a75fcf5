"""From a database of the original engine to a store."""

from ciris_store_core.importer.report import ImportReport, TableReport
from ciris_store_core.importer.run import TABLES, Progress, import_ciris, open_engine

__all__ = ["TABLES", "ImportReport", "Progress", "TableReport", "import_ciris", "open_engine"]
