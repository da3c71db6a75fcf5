"""Every path that writes a protected scope, refused and approved; docs/howto/identity.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from ciris_store_core import (
    AccessDenied,
    Conflict,
    GraphEdge,
    GraphNode,
    InvalidArgument,
    ManualClock,
    NotFound,
    SigningKey,
    Store,
    approved,
    open_store,
)
from ciris_store_core.models.graph import NodeKey, NodeWrite
from ciris_store_core.services import DatabaseMaintenanceService
from ciris_store_core.store import Approval, ApprovalRequest, Authority
from tests.support import factories

KEY, OTHER, STRANGER = (SigningKey.generate() for _ in range(3))


def node(node_id: str = "self", scope: str = "identity", **fields: Any) -> GraphNode:
    given = {"id": node_id, "type": "identity", "scope": scope, "attributes": {"name": "Ada"}}
    return factories.node(**{**given, **fields})


def edge(scope: str = "identity", **fields: Any) -> GraphEdge:
    return factories.edge(**{"source": "self", "target": "values", "relationship": "has", "scope": scope, **fields})


def everything(store: Store) -> tuple[list[GraphNode], list[GraphEdge]]:
    nodes = sorted(store.graph.scan(include_expired=True), key=lambda each: each.key)
    return [each for each in nodes if each.type != "wa_approval"], store.graph.find_edges().items


def events(store: Store, kind: str) -> list[dict[str, Any]]:
    return [entry.payload for entry in store.audit.scan() if entry.event_type == kind]


def refused(write: Callable[[], Any], match: str = "needs the approval") -> ApprovalRequest:
    with pytest.raises(AccessDenied, match=match) as caught:
        write()
    assert isinstance(caught.value.request, ApprovalRequest)
    return caught.value.request


def approve(store: Store, write: Callable[[], Any], key: SigningKey = KEY) -> Approval:
    """Have it refused, signed and done; returns the used approval."""
    approval = refused(write).approve(key, now=store.server_now())
    with approved(Approval.from_json(approval.to_json())):
        write()
    return approval


@pytest.mark.parametrize("now", [datetime.max.replace(tzinfo=UTC), datetime.max, datetime.min, "2025-01-01"])
def test_an_approval_that_would_end_after_all_time(now: Any) -> None:
    request = ApprovalRequest(operation="put_nodes", scope="identity", content=[])
    with pytest.raises(InvalidArgument, match="now"):
        request.approve(KEY, now=now)


@pytest.fixture
def founded(store: Store, clock: ManualClock) -> Store:
    """A store with an identity: two nodes, an edge between them, and a third node that has expired."""
    assert store.authorities.bootstrap(KEY.public_key, "Wanda", identity=[node(), node("values")])
    approve(store, lambda: store.graph.put_edge(edge()))
    approve(store, lambda: store.graph.put(node("expired", expires_at=clock.now().replace(year=2030))))
    store.graph.put_many([node(each, "local") for each in ("self", "values")])
    clock.set(clock.now().replace(year=2031))
    return store


# --- every path -------------------------------------------------------------------------------


def raw_upsert(store: Store) -> Any:
    """As a service of this package writes, below the checks of the API."""
    write = NodeWrite(node(attributes={"raw": True}))
    return store._x.write("test", lambda session: session.graph.put_nodes([write], store.server_now()))


def raw_delete(store: Store) -> Any:
    keys = [NodeKey("self", node().scope)]
    return store._x.write("test", lambda session: session.graph.delete_nodes(keys), single=False)


Path = Callable[[Any], Any]

#: By name, what writes IDENTITY; all run on a store and within a transaction.
PATHS: dict[str, Path] = {
    "put a new node": lambda on: on.graph.put(node("new")),
    "put, merging": lambda on: on.graph.put(node(attributes={"more": 1})),
    "put, replacing": lambda on: on.graph.put(node(attributes={}), merge=False),
    "put, removing a key": lambda on: on.graph.put(node(attributes={}), remove=["name"]),
    "put, expecting a revision": lambda on: on.graph.put(node(), expected_revision=1),
    "put, inserting": lambda on: on.graph.put(node("new"), insert=True),
    "put over an expired node": lambda on: on.graph.put(node("expired")),
    "put_many": lambda on: on.graph.put_many([node(), node("new")]),
    "put_many of several scopes": lambda on: on.graph.put_many([node("new", "local"), node("new")]),
    "delete": lambda on: on.graph.delete("self", "identity"),
    "delete_many": lambda on: on.graph.delete_many([("self", "local"), ("self", "identity")]),
    "delete of an expired node": lambda on: on.graph.delete("expired", "identity"),
    "put_edge, a new one": lambda on: on.graph.put_edge(edge(relationship="is")),
    "put_edge, again": lambda on: on.graph.put_edge(edge(weight=0.5)),
    "put_edge_many of several scopes": lambda on: on.graph.put_edge_many([edge("local"), edge(weight=0.5)]),
    "delete_edge": lambda on: on.graph.delete_edge("self", "values", "has", "identity"),
    "a service's upsert": raw_upsert,
    "a service's delete": raw_delete,
    "register an authority": lambda on: on.authorities.register(OTHER.public_key, "Otto"),
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_refused_recorded_and_approved_once(path: Path, founded: Store) -> None:
    before, denials = everything(founded), len(events(founded, "access_denied"))
    request = refused(lambda: path(founded), "needs the approval of a Wise Authority; have error.request approved")
    refused(lambda: in_transaction(founded, path))
    assert everything(founded) == before
    recorded = events(founded, "access_denied")[denials:]
    assert [(event["request"], event["operation"]) for event in recorded] == [(request.digest, request.operation)] * 2

    approval = request.approve(KEY, now=founded.server_now())
    with approved(Approval.from_json(approval.to_json())):
        path(founded)
    after = everything(founded)
    assert after != before
    done = events(founded, "write_approved")[-1]
    assert (done["request"], done["approved_by"]) == (approval.request, KEY.key_id)
    with approved(approval), pytest.raises((AccessDenied, Conflict), match=r"used before|registered before"):
        path(founded)
    assert everything(founded) == after and not founded.audit.verify().problems


def in_transaction(store: Store, path: Path) -> None:
    with store.transaction() as tx:
        tx.graph.put(node("with it", "local"))
        path(path_in(tx, store) if path in (raw_upsert, raw_delete) else tx)


def path_in(tx: Any, store: Store) -> Any:
    class Inside:
        _x, server_now = tx._x, staticmethod(store.server_now)

    return Inside()


# --- maintenance --------------------------------------------------------------------------------


def test_maintenance_removes_no_expired_identity(founded: Store, clock: ManualClock) -> None:
    founded.graph.put_many([node(f"n{i}", "local", expires_at=clock.now()) for i in range(7)])
    before = [each for each in founded.graph.scan(scope="identity", include_expired=True) if each.type != "wa_approval"]
    service = DatabaseMaintenanceService(founded, archive_dir=None)
    assert service.run(dry_run=True).expired_nodes == 7 + 2, "two used approvals"
    assert service.run().expired_nodes == 9 and service.run().expired_nodes == 0
    assert [*founded.graph.scan(scope="identity", include_expired=True)] == before
    assert founded.graph.count(scope="local", include_expired=True) == 2
    approve(founded, lambda: founded.graph.delete("expired", "identity"))
    assert founded.graph.get("expired", "identity", include_expired=True) is None


def test_maintenance_forgets_used_approvals_once_they_expired(store: Store, clock: ManualClock) -> None:
    store.authorities.bootstrap(KEY.public_key, "Wanda")
    approval = approve(store, lambda: store.graph.put(node()))
    store.graph.put(node("n", "local", expires_at=clock.now()))
    service = DatabaseMaintenanceService(store, archive_dir=None)
    assert service.run().expired_nodes == 1
    clock.advance(hours=1)
    assert service.run().expired_nodes == 1
    with approved(approval):
        refused(lambda: store.graph.put(node()), "expired")


# --- approvals ------------------------------------------------------------------------------------


@pytest.fixture
def bare(store: Store) -> Store:
    store.authorities.bootstrap(KEY.public_key, "Wanda")
    return store


def test_an_approval_is_for_exactly_one_content(bare: Store) -> None:
    request = refused(lambda: bare.graph.put(node(attributes={"n": 1})))
    with approved(request.approve(KEY, now=bare.server_now())):
        for other in (
            lambda: bare.graph.put(node(attributes={"n": 1.0})),
            lambda: bare.graph.put(node(attributes={"n": 1, "m": None})),
            lambda: bare.graph.put(node("other", attributes={"n": 1})),
            lambda: bare.graph.put(node(attributes={"n": 1}), merge=False),
            lambda: bare.graph.put(node(attributes={"n": 1}, updated_by="eve")),
            lambda: bare.graph.put_many([node(attributes={"n": 1}), node("more")]),
            lambda: bare.graph.delete("self", "identity"),
        ):
            refused(other, "none of those given is for exactly this")
        bare.graph.put(node(attributes={"n": 1}))
        refused(lambda: bare.graph.put(node(attributes={"n": 1})), "used before")
    assert bare.graph.get("self", "identity") == bare.graph.get("self", "identity")


def test_a_request_survives_its_journey(bare: Store, clock: ManualClock) -> None:
    wanted = node(
        attributes={"é": [1.5, None, {"a": []}]}, expires_at=clock.now().replace(year=2100), metadata={"m": {}}
    )
    request = refused(lambda: bare.graph.put(wanted))
    assert ApprovalRequest.from_json(request.to_json()).digest == request.digest
    assert request.content[0]["attributes"] == {"é": [1.5, None, {"a": []}]}
    approval = ApprovalRequest.from_json(request.to_json()).approve(KEY, now=clock.now())
    with approved(Approval.from_json(approval.to_json())):
        bare.graph.put(wanted)


def test_who_may_approve(bare: Store) -> None:
    request = refused(lambda: bare.graph.put(node()))
    now = bare.server_now()
    with approved(request.approve(STRANGER, now=now)):
        refused(lambda: bare.graph.put(node()), "not registered as an authority")
    forged = request.approve(STRANGER, now=now)
    forged.authority = KEY.key_id
    with approved(forged):
        refused(lambda: bare.graph.put(node()), "signature is wrong")
    longer = request.approve(KEY, now=now)
    longer.expires_at = longer.expires_at.replace(year=2100)
    with approved(longer):
        refused(lambda: bare.graph.put(node()), "signature is wrong")
    with approved(forged, request.approve(KEY, now=now)):
        bare.graph.put(node())


def test_an_approval_expires_by_the_servers_clock(bare: Store, clock: ManualClock) -> None:
    approval = refused(lambda: bare.graph.put(node())).approve(KEY, valid_seconds=60, now=clock.now())
    clock.advance(seconds=60)
    with approved(approval):
        refused(lambda: bare.graph.put(node()), "expired at")
    with pytest.raises(InvalidArgument, match="30 days"):
        refused(lambda: bare.graph.put(node())).approve(KEY, valid_seconds=31 * 86400)


def test_what_is_undone_leaves_the_approval_good(bare: Store) -> None:
    approval = refused(lambda: bare.graph.put(node())).approve(KEY, now=bare.server_now())
    with approved(approval), pytest.raises(RuntimeError), bare.transaction() as tx:
        tx.graph.put(node())
        raise RuntimeError
    with approved(approval), bare.transaction() as tx:
        tx.graph.put(node())
        tx.graph.put(node("n", "local"))
    with approved(approval):
        refused(lambda: bare.graph.put(node()), "used before")


def test_one_use_among_many_threads(bare: Store) -> None:
    approval = refused(lambda: bare.graph.put(node())).approve(KEY, now=bare.server_now())
    barrier = Barrier(8)

    def use(_: int) -> bool:
        barrier.wait()
        try:
            with approved(approval):
                bare.graph.put(node())
        except AccessDenied:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(8))) == 1
    found = bare.graph.get("self", "identity")
    assert found is not None and found.revision == 1 and not bare.audit.verify().problems


def test_approvals_of_another_store_do_not_count(bare: Store) -> None:
    with other_store() as other:
        approval = refused(lambda: other.graph.put(node())).approve(KEY, now=bare.server_now())
    with approved(approval):
        refused(lambda: bare.graph.put(node()), "none of those given")


@contextmanager
def other_store() -> Iterator[Store]:
    with open_store("memory://") as other:
        other.authorities.bootstrap(KEY.public_key, "Wanda")
        yield other


# --- authorities ----------------------------------------------------------------------------------


def test_before_the_bootstrap_nothing_is_approved(store: Store) -> None:
    refused(lambda: store.graph.put(node()), r"none is registered yet: see store.authorities.bootstrap")
    with approved(refused(lambda: store.graph.put(node())).approve(KEY, now=store.server_now())):
        refused(lambda: store.graph.put(node()))
    assert store.authorities.find() == []


def test_the_bootstrap_happens_once(store: Store) -> None:
    barrier = Barrier(6)
    keys = [SigningKey.generate() for _ in range(6)]

    def race(number: int) -> bool:
        barrier.wait()
        mine = node(attributes={"by": number})
        return store.authorities.bootstrap(keys[number].public_key, f"racer {number}", identity=[mine])

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(race, range(6)))
    assert sum(won) == 1
    winner = won.index(True)
    assert [each.name for each in store.authorities.find()] == [f"racer {winner}"]
    found = store.graph.get("self", "identity")
    assert found is not None and found.attributes == {"by": winner}
    assert len(events(store, "identity_bootstrapped")) == 1


def test_a_bootstrap_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(InvalidArgument):
        store.authorities.bootstrap("no key", "Wanda")
    with pytest.raises(InvalidArgument), store.transaction() as tx:
        tx.authorities.bootstrap(KEY.public_key, "Wanda", identity=[node(), node()])
    assert store.authorities.find() == [] and store.graph.count(include_expired=True) == 0
    assert store.authorities.bootstrap(KEY.public_key, "Wanda")
    refused(lambda: store.graph.put(node()))


def test_registering_and_revoking(bare: Store) -> None:
    approve(bare, lambda: bare.authorities.register(OTHER.public_key, "Otto"))
    assert sorted(each.name for each in bare.authorities.find()) == ["Otto", "Wanda"]
    approve(bare, lambda: bare.graph.put(node()), OTHER)
    pending = refused(lambda: bare.graph.put(node("late"))).approve(KEY, now=bare.server_now())
    approve(bare, lambda: bare.authorities.revoke(KEY.key_id), OTHER)
    with approved(pending):
        refused(lambda: bare.graph.put(node("late")), "'Wanda' was revoked")
    assert (
        Authority(key_id=KEY.key_id, public_key=KEY.public_key, name="Wanda", revoked=True) in bare.authorities.find()
    )
    assert bare.authorities.revoke(KEY.key_id).revoked, "again: nothing to do"
    with pytest.raises(Conflict, match="last authority"):
        bare.authorities.revoke(OTHER.key_id)
    with pytest.raises(Conflict, match="registered before"):
        bare.authorities.register(KEY.public_key, "Wanda")
    with pytest.raises(NotFound):
        bare.authorities.revoke("nobody")
    assert not bare.authorities.bootstrap(STRANGER.public_key, "Eve")


def test_nobody_writes_what_is_the_stores_own(bare: Store) -> None:
    for attempt in (
        lambda: bare.graph.put(node(f"wa:key:{STRANGER.key_id}", type="wa_authority")),
        lambda: bare.graph.put(node("wa:root", type="wa_root"), merge=False),
        lambda: bare.graph.delete("wa:root", "identity"),
        lambda: bare.graph.delete_many([("x", "identity"), ("wa:used:1", "identity")]),
    ):
        with pytest.raises(AccessDenied, match="the store's own") as caught:
            attempt()
        assert caught.value.request is None
    assert len(events(bare, "access_denied")) == 4
    bare.graph.put(node("wa:root", "local"))
