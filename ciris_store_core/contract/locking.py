"""The error of backends that cannot lock the records that a transaction reads."""

from __future__ import annotations

from ciris_store_core.errors import NotSupported


def cannot_lock(what: str) -> NotSupported:
    """Return the error for a lock that a backend does not offer."""
    return NotSupported(
        f"this backend cannot lock {what}", hint="Leave out for_update, and write with expected_revision or fence."
    )
