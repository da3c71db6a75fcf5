"""Asking a policy of one's own before every call that touches a scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ciris_store_core.models.enums import GraphScope
from ciris_store_core.store.access.policy import ALL_SCOPES, Records

Scopes = frozenset[GraphScope]
Kind = Literal["read", "write"]


class Rule(NamedTuple):
    """What a method of the contract does, and which scopes its arguments name."""

    kind: Kind
    records: Records
    scopes: Callable[..., Scopes]


def _everywhere(*arguments: Any) -> Scopes:
    return ALL_SCOPES


def _nowhere(*arguments: Any) -> Scopes:
    return frozenset()


def _of_each(records: Any, *more: Any) -> Scopes:
    return frozenset(record.scope for record in records)


def _of_writes(writes: Any, now: Any) -> Scopes:
    return frozenset(write.node.scope for write in writes)


def _of_query(query: Any) -> Scopes:
    scope = getattr(query, "where", query).scope
    return ALL_SCOPES if scope is None else frozenset((scope,))


def _of_filter(where: Any) -> Scopes:
    return ALL_SCOPES if where.scope is None else frozenset((where.scope,))


GRAPH = {
    "put_nodes": Rule("write", "nodes", _of_writes),
    "get_nodes": Rule("read", "nodes", _of_each),
    "lock_nodes": Rule("read", "nodes", _of_each),
    "increment": Rule("write", "nodes", lambda key, *more: frozenset((key.scope,))),
    "list_nodes": Rule("read", "nodes", _of_query),
    "count_nodes": Rule("read", "nodes", _of_query),
    "delete_nodes": Rule("write", "nodes", _of_each),
    "delete_expired_nodes": Rule("write", "nodes", _everywhere),
    "search": Rule("read", "nodes", _of_query),
    "put_edges": Rule("write", "edges", _of_each),
    "get_edges": Rule("read", "edges", _of_each),
    "lock_edges": Rule("read", "edges", _of_each),
    "delete_edges": Rule("write", "edges", _of_each),
    "list_edges": Rule("read", "edges", _of_query),
    "neighbours": Rule("read", "edges", lambda ids, scope, *more: frozenset((scope,))),
    "degrees": Rule("read", "edges", lambda scope, *more: frozenset((scope,))),
    "traverse": Rule("read", "edges", _of_query),
    "shortest_path": Rule("read", "edges", lambda walk, target: _of_query(walk)),
}

CORRELATIONS = {
    "add": Rule("write", "correlations", _of_each),
    "add_metrics": Rule("write", "correlations", lambda metrics, like: frozenset((like.scope,))),
    "get": Rule("read", "correlations", _everywhere),
    "update": Rule("write", "correlations", _everywhere),
    "lock": Rule("read", "correlations", _everywhere),
    "find": Rule("read", "correlations", _of_query),
    "find_locked": Rule("read", "correlations", _of_query),
    "count": Rule("read", "correlations", _of_filter),
    "delete": Rule("write", "correlations", _everywhere),
    "delete_expired": Rule("write", "correlations", _everywhere),
    "points": Rule("read", "correlations", _of_query),
    "aggregate": Rule("read", "correlations", _of_query),
    "percentiles": Rule("read", "correlations", _of_query),
    "metric_names": Rule("read", "correlations", _everywhere),
}


def _rules(records: Records, scopes: Callable[..., Scopes], reads: str, writes: str) -> dict[str, Rule]:
    return {
        **{name: Rule("read", records, scopes) for name in reads.split()},
        **{name: Rule("write", records, scopes) for name in writes.split()},
    }


TASKS = _rules(
    "tasks", _nowhere, "get find count count_by_status",
    "add add_or_get update delete claim_next release transfer hold",
)  # fmt: skip
THOUGHTS = _rules("thoughts", _nowhere, "get find count count_by_status", "add update retry escalate delete transfer")
COORDINATION = _rules(
    "coordination", _nowhere, "list_occurrences list_leases",
    "put_occurrence heartbeat remove_occurrence acquire_lease renew_lease release_lease add_leases",
)  # fmt: skip
SECRETS = _rules("secrets", _nowhere, "get find list_access", "add reseal delete log_access")
AUDIT = _rules("audit", _everywhere, "find chains unlisted anchor", "head append cut")


class Watched:
    """A part of a session that asks before every call. What is in no table counts as a write of every scope."""

    __slots__ = ("_ask", "_inner", "_records", "_rules")

    def __init__(self, inner: Any, rules: dict[str, Rule], records: Records, ask: Callable[..., None]) -> None:
        """``ask(kind, records, operation, scopes)`` raises what refuses."""
        self._inner = inner
        self._rules = rules
        self._records = records
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        rule = self._rules.get(name) or Rule("write", self._records, _everywhere)

        def asking(*arguments: Any, **more: Any) -> Any:
            self._ask(rule.kind, rule.records, name, rule.scopes(*arguments, **more))
            return method(*arguments, **more)

        return asking
