"""The store as plain functions, over stores that are opened on demand.

The functions serve programs that were written for the CIRIS engine: modules, names and parameters are the same, so a
program changes only its import path. ``db_path`` (the last parameter) is a database URL or the path of an SQLite file;
without it, ``CIRIS_DB_URL`` decides. Each function has an async counterpart, prefixed with ``async_``. Errors are
raised. None, an empty list, False and 0 mean "not found", and nothing else.
"""

from typing import TYPE_CHECKING

from ciris_store_core.persistence import analytics, db, default_store, maintenance, models, requests
from ciris_store_core.persistence.analytics import *
from ciris_store_core.persistence.db import *
from ciris_store_core.persistence.default_store import *
from ciris_store_core.persistence.maintenance import *
from ciris_store_core.persistence.models import *
from ciris_store_core.persistence.requests import *

# Type checkers need no list here, as each star hands on all it imports, and mypy reads none that is put together.
if not TYPE_CHECKING:
    __all__ = [
        *analytics.__all__,
        *db.__all__,
        *default_store.__all__,
        *maintenance.__all__,
        *models.__all__,
        *requests.__all__,
    ]
