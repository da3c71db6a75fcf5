"""Arguments and results of the memory service."""

from ciris_store_core.models.enums import OpStatus
from ciris_store_core.models.memory import MemoryOpResult, MemoryQuery

__all__ = ["MemoryOpResult", "MemoryQuery", "OpStatus"]
