"""Access rules of an overridden policy: the access of each method of the contract, asked before every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ciris_store_core.models.enums import GraphScope
from ciris_store_core.store.access.policy import ALL_SCOPES, Records

Scopes = frozenset[GraphScope]
AccessKind = Literal["read", "write"]


class Rule(NamedTuple):
    """Access of a method of the contract: read or write, the kind of records, and the scopes of its arguments."""

    kind: AccessKind
    records: Records
    scopes: Callable[..., Scopes]


def _all_scopes(*arguments: Any) -> Scopes:
    return ALL_SCOPES


def _no_scopes(*arguments: Any) -> Scopes:
    return frozenset()


def _scopes_of_records(records: Any, *more: Any) -> Scopes:
    return frozenset(record.scope for record in records)


def _scopes_of_query(query: Any) -> Scopes:
    scope = getattr(query, "where", query).scope
    return ALL_SCOPES if scope is None else frozenset((scope,))


GRAPH = {
    "put_nodes": Rule("write", "nodes", lambda writes, now: frozenset(write.node.scope for write in writes)),
    "get_nodes": Rule("read", "nodes", _scopes_of_records),
    "lock_nodes": Rule("read", "nodes", _scopes_of_records),
    "increment": Rule("write", "nodes", lambda key, *more: frozenset((key.scope,))),
    "list_nodes": Rule("read", "nodes", _scopes_of_query),
    "count_nodes": Rule("read", "nodes", _scopes_of_query),
    "delete_nodes": Rule("write", "nodes", _scopes_of_records),
    "delete_expired_nodes": Rule("write", "nodes", _all_scopes),
    "search": Rule("read", "nodes", _scopes_of_query),
    "put_edges": Rule("write", "edges", _scopes_of_records),
    "get_edges": Rule("read", "edges", _scopes_of_records),
    "lock_edges": Rule("read", "edges", _scopes_of_records),
    "delete_edges": Rule("write", "edges", _scopes_of_records),
    "list_edges": Rule("read", "edges", _scopes_of_query),
    "neighbours": Rule("read", "edges", lambda ids, scope, *more: frozenset((scope,))),
    "degrees": Rule("read", "edges", lambda scope, *more: frozenset((scope,))),
    "traverse": Rule("read", "edges", _scopes_of_query),
    "shortest_path": Rule("read", "edges", lambda walk, target: _scopes_of_query(walk)),
}

CORRELATIONS = {
    "add": Rule("write", "correlations", _scopes_of_records),
    "add_metrics": Rule("write", "correlations", lambda metrics, like: frozenset((like.scope,))),
    "get": Rule("read", "correlations", _all_scopes),
    "update": Rule("write", "correlations", _all_scopes),
    "lock": Rule("read", "correlations", _all_scopes),
    "find": Rule("read", "correlations", _scopes_of_query),
    "find_locked": Rule("read", "correlations", _scopes_of_query),
    "count": Rule("read", "correlations", _scopes_of_query),
    "delete": Rule("write", "correlations", _all_scopes),
    "delete_expired": Rule("write", "correlations", _all_scopes),
    "points": Rule("read", "correlations", _scopes_of_query),
    "aggregate": Rule("read", "correlations", _scopes_of_query),
    "percentiles": Rule("read", "correlations", _scopes_of_query),
    "metric_names": Rule("read", "correlations", _all_scopes),
}


def _rules(records: Records, scopes: Callable[..., Scopes], reads: str, writes: str) -> dict[str, Rule]:
    return {
        **{name: Rule("read", records, scopes) for name in reads.split()},
        **{name: Rule("write", records, scopes) for name in writes.split()},
    }


TASKS = _rules(
    "tasks", _no_scopes, "get lock find count count_by_status",
    "add add_or_get update delete claim_next release transfer lock_claim",
)  # fmt: skip
THOUGHTS = _rules(
    "thoughts", _no_scopes, "get lock find count count_by_status", "add update retry escalate delete transfer"
)
COORDINATION = _rules(
    "coordination", _no_scopes, "list_occurrences list_leases",
    "put_occurrence heartbeat remove_occurrence acquire_lease renew_lease release_lease add_leases",
)  # fmt: skip
SECRETS = _rules("secrets", _no_scopes, "get find list_access", "add reencrypt delete log_access")
DOCUMENTS = _rules(
    "documents", _no_scopes, "get lock find count namespaces find_encrypted",
    "put touch delete delete_matching delete_expired reencrypt create_index drop_index",
)  # fmt: skip
STREAMS = _rules(
    "streams", _no_scopes, "read get info find count find_encrypted",
    "append pop truncate fork restore delete reencrypt",
)  # fmt: skip
AUDIT = _rules("audit", _all_scopes, "find chains unlisted anchor", "head append prune")


class WatchedStore:
    """Aggregate store of a session that asks the policy before every call.

    A subclass has the methods of its table, and no others: a method of the contract that no table lists cannot be
    called.
    """

    __slots__ = ("_ask", "_inner")

    def __init__(self, inner: Any, ask: Callable[..., None]) -> None:
        """Guard ``inner``. ``ask(kind, records, operation, scopes)`` raises if the policy refuses."""
        self._inner = inner
        self._ask = ask


def _watched_store(name: str, rules: dict[str, Rule]) -> type[WatchedStore]:
    methods = {operation: _asking_method(operation, rule) for operation, rule in rules.items()}
    return type(name, (WatchedStore,), {"__slots__": (), **methods})


def _asking_method(operation: str, rule: Rule) -> Callable[..., Any]:
    def method(self: WatchedStore, *arguments: Any, **more: Any) -> Any:
        self._ask(rule.kind, rule.records, operation, rule.scopes(*arguments, **more))
        return getattr(self._inner, operation)(*arguments, **more)

    return method


WatchedGraph = _watched_store("WatchedGraph", GRAPH)
WatchedCorrelations = _watched_store("WatchedCorrelations", CORRELATIONS)
WatchedTasks = _watched_store("WatchedTasks", TASKS)
WatchedThoughts = _watched_store("WatchedThoughts", THOUGHTS)
WatchedCoordination = _watched_store("WatchedCoordination", COORDINATION)
WatchedSecrets = _watched_store("WatchedSecrets", SECRETS)
WatchedAudit = _watched_store("WatchedAudit", AUDIT)
WatchedDocuments = _watched_store("WatchedDocuments", DOCUMENTS)
WatchedStreams = _watched_store("WatchedStreams", STREAMS)
