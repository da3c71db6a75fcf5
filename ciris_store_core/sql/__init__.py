"""A toolkit for backends on SQL databases: statements, sessions, migrations. It imports no driver.

A backend supplies a ``Dialect`` (the spelling of a few fragments), a subclass of ``SqlSession`` (how to begin, and what
the driver's errors mean), a ``Migrator``, its migrations, and whatever its database does better than the portable
statements.
"""

from .codec import Codec, decimal_json_text, json_text, micros_codec
from .dialect import FRAGMENTS, TABLES, Dialect
from .migrate import Migration, Migrator, load_migrations
from .session import SqlSession
from .statements import ANY_RECORD

__all__ = [
    "ANY_RECORD",
    "FRAGMENTS",
    "TABLES",
    "Codec",
    "Dialect",
    "Migration",
    "Migrator",
    "SqlSession",
    "decimal_json_text",
    "json_text",
    "load_migrations",
    "micros_codec",
]
