"""Exit codes of all commands."""

from __future__ import annotations

from enum import IntEnum

from ciris_store_core.errors import (
    AccessDenied,
    Corrupt,
    InvalidArgument,
    MigrationRequired,
    NotADatabase,
    NotSupported,
    OutcomeUnknown,
    PluginError,
    ReadOnly,
    StorageFull,
    StoreError,
    Unavailable,
    UnknownScheme,
)


class Exit(IntEnum):
    """The exit codes, explained by ``MEANINGS``. The exit code 130 means that the command was interrupted."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    MIGRATION_REQUIRED = 4
    NO_BACKEND = 5
    REFUSED = 6
    BAD_DATABASE = 7
    UNPROVEN = 8
    NOT_INSTALLED = 9


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "a check failed, or an error without a code of its own",
    Exit.USAGE: "the command line, the URL or the input is wrong",
    Exit.UNAVAILABLE: "the database cannot be reached, is busy, or the connection was lost",
    Exit.MIGRATION_REQUIRED: "the schema does not fit this program",
    Exit.NO_BACKEND: "the backend is not installed or cannot be used",
    Exit.REFUSED: "permissions, a read-only database or a full disk prevent it",
    Exit.BAD_DATABASE: "the file is no database, or its data is damaged",
    Exit.UNPROVEN: "the hashes of the audit trail match, but no key proves them",
    Exit.NOT_INSTALLED: "the extra `cli` of ciris-store-core, or ciris-store-mcp, is not installed",
}

# The first match counts: an unknown scheme is an invalid URL, too.
_CODES: tuple[tuple[type[StoreError] | tuple[type[StoreError], ...], Exit], ...] = (
    ((UnknownScheme, PluginError), Exit.NO_BACKEND),
    ((InvalidArgument, NotSupported), Exit.USAGE),
    ((Unavailable, OutcomeUnknown), Exit.UNAVAILABLE),
    (MigrationRequired, Exit.MIGRATION_REQUIRED),
    ((AccessDenied, ReadOnly, StorageFull), Exit.REFUSED),
    ((NotADatabase, Corrupt), Exit.BAD_DATABASE),
)


def exit_code(error: StoreError) -> Exit:
    """Return the exit code for an error of the store."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.FAILED)
