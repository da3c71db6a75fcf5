"""To-do list for the author of a backend, derived from a report."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from ciris_store_core.conformance.levels import Level
from ciris_store_core.conformance.results import ClauseResult, Report, Status
from ciris_store_core.contract import Backend, Session

ORDER = (
    "tasks", "task_listing", "thoughts", "thought_listing", "transactions", "graph_nodes", "graph_get_delete",
    "graph_edges", "graph_listing", "updates", "correlations",
    "coordination", "secrets", "audit", "backends", "records", "claims", "aggregation", "percentiles", "locks",
    "traversal", "search",
    "words", "interleavings", "interleaved_records", "deadlocks", "injected", "lifecycle", "costs", "crashes",
    "processes",
    "documents", "document_changes", "document_listing", "document_filters", "streams", "stream_changes",
    "payload_transactions", "payload_races", "payload_interleavings", "payload_processes",
)  # fmt: skip
"""Recommended order of implementation by module: each needs little of the later ones."""


def todo(report: Report) -> list[str]:
    """Return lines with the number of failing clauses, the next one and the method to write; empty if none failed."""
    failed = [clause for clause in report.clauses if clause.status == Status.FAILED]
    if not failed:
        return []
    applying = sum(clause.status != Status.NOT_APPLICABLE for clause in report.clauses)
    clause = min(failed, key=_rank)
    method = _method(clause.id)
    return [
        f"{len(failed)} of {applying} clauses to go. Next: {clause.id}",
        f"  {clause.loses}",
        *([f"  implement {_described(method)}"] if method else []),
        f"  try again: ciris-store conformance --module {clause.module} URL",
    ]


def _rank(clause: ClauseResult) -> tuple[int, int, int]:
    module = ORDER.index(clause.module) if clause.module in ORDER else len(ORDER)
    method = _method(clause.id)
    line = method.__code__.co_firstlineno if method else 0
    return (list(Level).index(clause.level), module, line)


def _method(clause: str) -> Callable[..., Any] | None:
    """Return the contract method that a clause is about, or None if it is about several."""
    part, _, rest = clause.partition(".")
    kinds: Mapping[str, Any] = {**get_type_hints(Session), "backend": Backend}
    method = getattr(kinds.get(part), rest.partition(".")[0], None)
    return method if inspect.isfunction(method) else None


def _described(method: Callable[..., Any]) -> str:
    return f"{method.__qualname__}: {(inspect.getdoc(method) or '').splitlines()[0]}"
