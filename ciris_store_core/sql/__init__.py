"""Toolkit for backends on SQL databases: statements, sessions, migrations. It imports no driver.

A backend supplies a ``Dialect`` (the spelling of a few fragments), a subclass of ``SqlSession`` (how to begin, and the
meaning of the driver's errors), a ``Migrator`` and its migrations. Where its database can do better than the portable
statements, it replaces the store of an aggregate by a subclass.
"""

from ciris_store_core.sql.codec import Codec, decimal_json_text, json_text, micros_codec
from ciris_store_core.sql.dialect import FRAGMENTS, TABLES, Dialect
from ciris_store_core.sql.executor import SqlExecutor
from ciris_store_core.sql.migrate import Migration, Migrator, load_migrations
from ciris_store_core.sql.session import SqlSession
from ciris_store_core.sql.statements import ANY_RECORD

__all__ = [
    "ANY_RECORD",
    "FRAGMENTS",
    "TABLES",
    "Codec",
    "Dialect",
    "Migration",
    "Migrator",
    "SqlExecutor",
    "SqlSession",
    "decimal_json_text",
    "json_text",
    "load_migrations",
    "micros_codec",
]
