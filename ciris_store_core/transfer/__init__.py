"""Transfer of whole stores: copies to any other database, exports, imports and backups, all verified by digests.

Everything is streamed: memory does not grow with the store. Records stay exact, with revisions, fences, claims,
encrypted secrets, and audit chains with their anchors.
"""

from ciris_store_core.transfer.backups import BackupReport, backup_store, restore_store
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.dump import check_dump, export_store, import_store
from ciris_store_core.transfer.dump_reader import DumpHeader, read_header
from ciris_store_core.transfer.record_kinds import KINDS
from ciris_store_core.transfer.store_copier import TransferReport, TransferStep, copy_store
from ciris_store_core.transfer.store_reader import digest_store

__all__ = [
    "KINDS",
    "BackupReport",
    "DumpHeader",
    "Tally",
    "TransferReport",
    "TransferStep",
    "backup_store",
    "check_dump",
    "copy_store",
    "digest_store",
    "export_store",
    "import_store",
    "read_header",
    "restore_store",
]
