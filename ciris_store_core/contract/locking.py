"""What a backend says that cannot lock records for a transaction that reads them."""

from __future__ import annotations

from ciris_store_core.errors import NotSupported


def cannot_lock(what: str) -> NotSupported:
    """The error for a lock that a backend does not offer."""
    return NotSupported(
        f"this backend cannot lock {what}: leave out for_update, and write with expected_revision or fence"
    )
