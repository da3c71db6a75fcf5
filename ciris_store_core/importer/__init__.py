"""Import of a database of the original engine into a store."""

from ciris_store_core.importer.engine_import import TABLES, OnProgress, import_ciris, open_engine
from ciris_store_core.importer.import_report import ImportReport, TableReport

__all__ = ["TABLES", "ImportReport", "OnProgress", "TableReport", "import_ciris", "open_engine"]
