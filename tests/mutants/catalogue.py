"""All faults, and the clauses for which there is none."""

from __future__ import annotations

from tests.mutants import filters, graph, operations, pages, processes, records, rest, series, transactions, words, work
from tests.mutants.planting import FAULTS

__all__ = ["EXEMPT", "FAULTS", "MODULES", "NOT_ON_THE_REFERENCE"]

MODULES = (records, filters, pages, graph, words, series, work, rest, operations, transactions, processes)

EXEMPT: dict[str, str] = {}
"""Clauses without a planted fault, each with the reason."""

NOT_ON_THE_REFERENCE = {
    "tasks.claim_next.no_waiting": "the reference lets one writer in at a time; PostgreSQL passes it in `make test`",
}
"""Clauses that the sound backend cannot pass, as they do not apply to it. Their faults must be caught all the same."""
