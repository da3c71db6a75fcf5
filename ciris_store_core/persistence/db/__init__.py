"""The database under the functions."""

from ciris_store_core.persistence.db.core import *
from ciris_store_core.persistence.db.core import __all__ as _core
from ciris_store_core.persistence.unsupported import execute_with_retry, get_db_connection_with_retry, with_retry

__all__ = [*_core, "execute_with_retry", "get_db_connection_with_retry", "with_retry"]
