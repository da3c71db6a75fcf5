"""The database under the functions."""

from ..left_out import execute_with_retry, get_db_connection_with_retry, with_retry
from .core import *
from .core import __all__ as _core

__all__ = [*_core, "execute_with_retry", "get_db_connection_with_retry", "with_retry"]
