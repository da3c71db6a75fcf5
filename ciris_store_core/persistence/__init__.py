"""The store as plain functions: one name for each question, over a store that is opened when it is first needed.

For programs that were written for the functions of the CIRIS engine: modules, names and parameters are the same, so
that a program changes the import path and nothing else. ``db_path`` (the last parameter) is a database URL or the path
of an SQLite file; without it, ``CIRIS_DB_URL`` decides. Each function has an async counterpart, named with
``async_`` before its name. Errors are raised: "not found" is None, an empty list, False or 0, and nothing else is.
"""

from ciris_store_core.persistence import analytics, db, maintenance, models
from ciris_store_core.persistence.analytics import *
from ciris_store_core.persistence.db import *
from ciris_store_core.persistence.default_store import DbPath, close_stores, get_store, use_store
from ciris_store_core.persistence.maintenance import *
from ciris_store_core.persistence.models import *
from ciris_store_core.persistence.requests import (
    ChannelInfo,
    CorrelationUpdateRequest,
    DeferralPackage,
    DeferralReportContext,
    MetricsQuery,
)

__all__ = [
    *analytics.__all__,
    *db.__all__,
    *maintenance.__all__,
    *models.__all__,
    "ChannelInfo",
    "CorrelationUpdateRequest",
    "DbPath",
    "DeferralPackage",
    "DeferralReportContext",
    "MetricsQuery",
    "close_stores",
    "get_store",
    "use_store",
]
