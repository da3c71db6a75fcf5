"""Check that this program may use the schema of a database, which a newer one may have migrated."""

from __future__ import annotations

from ciris_store_core.errors import IncompatibleSchema
from ciris_store_core.sql.dialect import Dialect

OLDEST = "SELECT max(oldest_program) FROM {schema_migrations}"


def refuse_too_old(dialect: Dialect, oldest: int | None) -> None:
    """Raise ``IncompatibleSchema`` if this program is older than ``oldest``, the oldest that may use the schema."""
    program = dialect.program
    if program is not None and oldest is not None and oldest > program:
        raise IncompatibleSchema(
            f"the database has a schema that programs older than {oldest} may not use, and this one is {program}. "
            "Upgrade the backend's package."
        )
