"""Optional abilities of backends. Each is absent unless the backend declares it."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """Optional abilities. Using an undeclared one raises ``NotSupported``; the suite tests both cases."""

    SAVEPOINTS = "savepoints"
    """A nested transaction can be rolled back alone. Without it, a failure inside aborts the whole transaction."""

    TRANSACTIONAL_DDL = "transactional_ddl"
    """A failing migration leaves the database unchanged."""

    FULL_TEXT = "full_text"
    """``graph.search``: words over the id and attributes of nodes, ranked."""

    CONCURRENT_WRITERS = "concurrent_writers"
    """Several transactions may write at the same time; without it they queue."""

    MULTI_PROCESS = "multi_process"
    """Several processes may open the same store."""

    DURABLE = "durable"
    """Acknowledged writes survive the end of the process, and the store can be reopened.

    A power cut depends on settings: ``survives_power_loss`` in ``Backend.info``.
    """

    DOCUMENTS = "documents"
    """Documents: JSON values and bytes by namespace and key, ``session.documents``."""

    STREAMS = "streams"
    """Streams: append-only sequences of entries by namespace and name, ``session.streams``."""
