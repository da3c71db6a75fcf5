"""Policies of scopes that an application writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ciris_store_core import (
    AccessConfig,
    AccessDenied,
    Correlation,
    ScopePolicy,
    Store,
)
from ciris_store_core.store import Access, ApprovalRequest
from tests.store.test_identity import edge, events, node, refused


def test_approval_by_a_callback(opened: Callable[..., Store]) -> None:
    asked = []

    def ask(request: ApprovalRequest) -> str | None:
        asked.append(request)
        return "Wanda" if request.content[0].get("id") != "evil" else None

    store = opened(access=AccessConfig(policy=ScopePolicy(approve=ask)))
    store.graph.put_many([node(), node("values")])
    store.graph.put_edge(edge())
    refused(lambda: store.graph.put(node("evil")))
    assert [request.operation for request in asked] == ["put_nodes", "put_edges", "put_nodes"]
    assert [event["approved_by"] for event in events(store, "write_approved")] == ["Wanda", "Wanda"]
    assert store.graph.get("evil", "identity") is None


def test_other_scopes_can_be_protected(opened: Callable[..., Store]) -> None:
    store = opened(access=AccessConfig(policy=ScopePolicy(protected=["COMMUNITY"])))
    store.graph.put(node())
    request = refused(lambda: store.graph.put(node(scope="community")), "scope community")
    assert request.scope == "community"


class Watching(ScopePolicy):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Access] = []
        self.refuse: set[str] = set()

    def allow(self, access: Access) -> bool:
        self.seen.append(access)
        return access.operation not in self.refuse


def test_a_policy_sees_every_read_and_write(opened: Callable[..., Store]) -> None:
    policy = Watching()
    store = opened(access=AccessConfig(policy=policy), occurrence_id="me")
    store.graph.put_many([node("a", "local"), node("b", "network")])
    store.graph.get("a", "local")
    store.graph.find(scope="network")
    list(store.graph.scan())
    store.graph.neighbours("a", "local")
    store.graph.count(scope="local")
    store.graph.delete("a", "local")
    store.correlations.add(Correlation(service_type="s", handler_name="h", action_type="a", scope="network"))
    store.correlations.count(scope="network")
    with store.transaction() as tx:
        tx.graph.get("a", "local")
    found = [(each.kind, each.operation, sorted(each.scopes)) for each in policy.seen]
    every = sorted(["local", "identity", "environment", "community", "network"])
    assert found == [
        ("write", "put_nodes", ["local", "network"]),
        ("read", "get_nodes", ["local"]),
        ("read", "list_nodes", ["network"]),
        ("read", "list_nodes", every),
        ("read", "neighbours", ["local"]),
        ("read", "count_nodes", ["local"]),
        ("write", "delete_nodes", ["local"]),
        ("write", "add", ["network"]),
        ("read", "count", ["network"]),
        ("read", "get_nodes", ["local"]),
    ]
    assert {each.caller for each in policy.seen} == {"me"}


def test_what_a_policy_refuses(opened: Callable[..., Store]) -> None:
    policy = Watching()
    store = opened(access=AccessConfig(policy=policy))
    store.graph.put(node("a", "local"))
    policy.refuse = {"get_nodes", "put_nodes", "add"}
    for attempt in (lambda: store.graph.get("a", "local"), lambda: store.graph.put(node("b", "local"))):
        with pytest.raises(AccessDenied, match="policy refuses 'default' to"):
            attempt()
    policy.refuse = set()
    assert store.graph.count(scope="local") == 1
    denied = events(store, "access_denied")
    assert [event["operation"] for event in denied] == ["get_nodes", "put_nodes"], "recorded whatever the policy says"
