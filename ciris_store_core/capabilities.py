"""What a backend may be able to do beyond the contract. All absent unless declared."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """Optional abilities. Using an undeclared one raises ``NotSupported``; the suite checks both ways."""

    SAVEPOINTS = "savepoints"
    """A nested transaction can be rolled back alone. Without it a failure inside aborts the whole."""

    TRANSACTIONAL_DDL = "transactional_ddl"
    """A failing migration leaves the database unchanged."""

    FULL_TEXT = "full_text"
    """``graph.search``: words over the id and attributes of nodes, ranked."""

    CONCURRENT_WRITERS = "concurrent_writers"
    """Several transactions may write at the same time; without it they queue."""

    MULTI_PROCESS = "multi_process"
    """Several processes may open the same store."""

    DURABLE = "durable"
    """What was acknowledged survives the process, and the store can be reopened."""
