"""Catalogue of all faults, and the clauses without one."""

from __future__ import annotations

from tests.mutants import (
    changes,
    columns,
    coordination_and_audit,
    costs,
    decisions,
    document_filters,
    document_listing,
    documents,
    files,
    filters,
    graph,
    injected,
    interleavings,
    lifecycle,
    open_sessions,
    operations,
    pages,
    payload_transactions,
    processes,
    records,
    series,
    siblings,
    streams,
    transactions,
    words,
    work,
)
from tests.mutants.planting import FAULTS

__all__ = ["EXEMPT", "FAULTS", "MODULES", "NOT_ON_THE_REFERENCE"]

MODULES = (
    records,
    filters,
    pages,
    graph,
    words,
    series,
    work,
    coordination_and_audit,
    operations,
    transactions,
    processes,
    columns,
    changes,
    interleavings,
    decisions,
    siblings,
    open_sessions,
    injected,
    lifecycle,
    costs,
    files,
    documents,
    document_listing,
    document_filters,
    streams,
    payload_transactions,
)

EXEMPT: dict[str, str] = {}
"""Clauses with fewer planted faults than two, each with the reason."""

NOT_ON_THE_REFERENCE = {
    "tasks.claim_next.no_waiting": "the reference lets one writer in at a time; PostgreSQL passes it in `make test`",
}
"""Clauses that do not apply to the sound backend. Their faults must be caught nevertheless."""
