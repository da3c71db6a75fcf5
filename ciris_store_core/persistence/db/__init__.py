"""The database under the functions."""

from typing import TYPE_CHECKING

from ciris_store_core.persistence.db import core
from ciris_store_core.persistence.db.core import *

# Type checkers need no list here, as each star hands on all it imports, and mypy reads none that is put together.
if not TYPE_CHECKING:
    __all__ = [*core.__all__]
