"""Asking a policy of one's own before every call that touches a scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ciris_store_core.models.enums import GraphScope

from .policy import ALL_SCOPES

Scopes = frozenset[GraphScope]
Kind = Literal["read", "write"]
Records = Literal["nodes", "edges", "correlations"]


class Rule(NamedTuple):
    """What a method of the contract does, and which scopes its arguments name."""

    kind: Kind
    records: Records
    scopes: Callable[..., Scopes]


def _everywhere(*arguments: Any) -> Scopes:
    return ALL_SCOPES


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
    "list_nodes": Rule("read", "nodes", _of_query),
    "count_nodes": Rule("read", "nodes", _of_query),
    "delete_nodes": Rule("write", "nodes", _of_each),
    "delete_expired_nodes": Rule("write", "nodes", _everywhere),
    "search": Rule("read", "nodes", _of_query),
    "put_edges": Rule("write", "edges", _of_each),
    "get_edges": Rule("read", "edges", _of_each),
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

        def asking(*arguments: Any) -> Any:
            self._ask(rule.kind, rule.records, name, rule.scopes(*arguments))
            return method(*arguments)

        return asking
