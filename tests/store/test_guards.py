"""The guards of protected scopes know every method of the contract."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ciris_store_core import (
    AccessConfig,
    ScopePolicy,
    open_store,
)
from ciris_store_core.contract import (
    AuditStore,
    CoordinationStore,
    CorrelationStore,
    GraphStore,
    SecretStore,
    TaskStore,
    ThoughtStore,
)
from ciris_store_core.store import Access
from ciris_store_core.store.access import access_rules
from ciris_store_core.store.access.guarded_correlations import GuardedCorrelations
from ciris_store_core.store.access.guarded_graph import GuardedGraph
from ciris_store_core.store.access.session_guard import guarded

AGGREGATES = {
    GraphStore: (access_rules.GRAPH, access_rules.WatchedGraph),
    CorrelationStore: (access_rules.CORRELATIONS, access_rules.WatchedCorrelations),
    TaskStore: (access_rules.TASKS, access_rules.WatchedTasks),
    ThoughtStore: (access_rules.THOUGHTS, access_rules.WatchedThoughts),
    CoordinationStore: (access_rules.COORDINATION, access_rules.WatchedCoordination),
    SecretStore: (access_rules.SECRETS, access_rules.WatchedSecrets),
    AuditStore: (access_rules.AUDIT, access_rules.WatchedAudit),
}


def contract_methods(aggregate: type) -> set[str]:
    return {name for name, value in vars(aggregate).items() if inspect.isfunction(value) and name[0] != "_"}


def public_names(guard: type) -> set[str]:
    return {name for name in vars(guard) if name[0] != "_"}


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda each: each.__name__)
def test_the_policy_knows_every_method_of_the_contract(aggregate: type) -> None:
    rules, watched = AGGREGATES[aggregate]  # type: ignore[index]
    assert set(rules) == contract_methods(aggregate)
    assert public_names(watched) == contract_methods(aggregate)


@pytest.mark.parametrize("guard", [(GraphStore, GuardedGraph), (CorrelationStore, GuardedCorrelations)])
def test_the_guards_know_every_method_of_the_contract(guard: tuple[type, type]) -> None:
    """A new method of the contract has to be guarded or passed on by name, and listed in the rules."""
    aggregate, guarded_store = guard
    assert public_names(guarded_store) - {"forget"} == contract_methods(aggregate)
    for name in contract_methods(aggregate):
        own = vars(guarded_store)[name]
        if inspect.isfunction(own):
            assert inspect.signature(own) == inspect.signature(vars(aggregate)[name])


def test_the_guards_pass_on_no_write_but_the_one_of_expired_correlations() -> None:
    """Audit events have no expiry, so that nothing of them ever expires."""
    for rules, guarded_store in ((access_rules.GRAPH, GuardedGraph), (access_rules.CORRELATIONS, GuardedCorrelations)):
        writes = {name for name, rule in rules.items() if rule.kind == "write"} - {"delete_expired"}
        assert all(inspect.isfunction(vars(guarded_store)[name]) for name in writes)


class AllowAll(ScopePolicy):
    def allow(self, access: Access) -> bool:
        return True


@pytest.mark.parametrize("policy", [ScopePolicy(), AllowAll()], ids=["guarded", "watched"])
@pytest.mark.parametrize("aggregate", ["graph", "correlations"])
def test_a_method_that_the_guards_do_not_know_cannot_be_called(policy: ScopePolicy, aggregate: str) -> None:
    with open_store("memory://", access=AccessConfig(policy=policy)) as store:

        def call(session: Any) -> None:
            inner = getattr(guarded(session).inner, aggregate)
            type(inner).rename_all = lambda self: pytest.fail("called")
            try:
                getattr(session, aggregate).rename_all()
            finally:
                del type(inner).rename_all

        with pytest.raises(AttributeError, match="rename_all"):
            store._x.write("test", call, single=False)
