"""Attempts to take the IDENTITY of a store over by an import, past its authorities."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    AccessDenied,
    Conflict,
    Corrupt,
    GraphEdge,
    GraphNode,
    InvalidArgument,
    SigningKey,
    Store,
    approved,
)
from ciris_store_core.transfer import copy_store, dump_reader, export_store, import_store, restore_store
from ciris_store_core.transfer.copy_progress import CopyProgress
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.record_kinds import MARKER_ID
from tests.transfer.conftest import Stores, stop_at

OWNER, ATTACKER = SigningKey.generate(), SigningKey.generate()
RESERVED = ["__copy__", "__store__", "__anything__", "____"]


def identity(name: str, count: int = 1) -> list[GraphNode]:
    return [
        GraphNode(id=f"self{number or ''}", type="identity", scope="identity", attributes={"name": name})
        for number in range(count)
    ]


@pytest.fixture
def prepared(stores: Stores, tmp_path: Path) -> Path:
    """A dump with an identity and an authority of the attacker's."""
    store = stores.new("memory")
    store.authorities.bootstrap(ATTACKER.public_key, "mallory", identity=identity("Mallory", 5))
    store.graph.put(GraphNode(id="x", type="concept", scope="local", attributes={}))
    export_store(store, tmp_path / "prepared.jsonl", without=["audit", "leases"])
    return tmp_path / "prepared.jsonl"


def mark_of(path: Path) -> dict[str, Any]:
    """The mark of a copy that got so far."""
    header = dump_reader.read_header(path)
    source = f"dump {header.dump_id} of {header.source}"
    made = CopyProgress(source, header.without, "1", {"occurrences": Tally()})
    return dict(made.marker(dump_reader.EPOCH).metadata)


def names(store: Store) -> list[str]:
    return [str(node.attributes.get("name")) for node in store.graph.scan(scope="identity") if node.type == "identity"]


def test_a_forged_mark_brings_nothing_past_the_authority(stores: Stores, kind: str, prepared: Path) -> None:
    store = stores.new(kind)
    store.authorities.bootstrap(OWNER.public_key, "ada", identity=identity("Ada"))
    with pytest.raises(InvalidArgument, match="reserved"):
        store.occurrences.register(MARKER_ID, metadata=mark_of(prepared))
    # Even if a mark is there, as an old version let everybody register it.
    with store._backend.session(write=True) as session:
        header = dump_reader.read_header(prepared)
        mark = CopyProgress(f"dump {header.dump_id} of {header.source}", header.without, "1", {"nodes": Tally()})
        session.coordination.put_occurrence(mark.marker(dump_reader.EPOCH))
    with pytest.raises(AccessDenied):
        import_store(prepared, store)
    assert names(store) == ["Ada"]
    assert [each.name for each in store.authorities.find()] == ["ada"]


@pytest.mark.parametrize("reserved", RESERVED)
def test_reserved_ids_are_no_identity(stores: Stores, reserved: str) -> None:
    store = stores.new("memory")
    calls: list[Callable[[], Any]] = [
        lambda: store.occurrences.register(reserved),
        lambda: store.occurrences.heartbeat(reserved),
        lambda: store.occurrences.remove(reserved),
        lambda: store.for_occurrence(reserved),
        lambda: store.leases.acquire("l", reserved),
        lambda: store.tasks.claim_next(reserved),
        lambda: store.tasks.claim_next("w", queue=reserved),
        lambda: store.shared_tasks.try_claim("t", "c", "d", occurrence_id=reserved),
        lambda: stores.open(stores.url("memory"), occurrence_id=reserved),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument):
            call()
    assert store.tasks.find(occurrence_id="__shared__").items == []
    assert store.occurrences.find(alive_only=False) == []


def test_an_interrupted_import_leaves_no_authority(stores: Stores, kind: str, prepared: Path) -> None:
    for step in range(1, 12):
        store = stores.new(kind)
        try:
            import_store(prepared, store, on_step=stop_at(step))
        except KeyboardInterrupt:
            if store.occurrences.find(alive_only=False):
                with pytest.raises(Conflict, match=r"unfinished copy|interrupted import"):
                    store.authorities.bootstrap(OWNER.public_key, "ada")
            written = store.graph.get("self", scope="identity")
            if written is not None:
                with pytest.raises(AccessDenied):
                    store.graph.put(identity("Eve")[0])
        else:
            break
    store = stores.new(kind)
    assert import_store(prepared, store).verified
    assert [each.name for each in store.authorities.find()] == ["mallory"]


def test_a_copy_that_was_stopped_anywhere_brings_its_authorities_at_the_end(
    stores: Stores, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dump_reader, "RECORDS_PER_CHUNK", 2)
    source = stores.new("memory")
    source.authorities.bootstrap(OWNER.public_key, "ada", identity=identity("Ada", 9))
    edge = GraphEdge(source="self", target="self1", relationship="knows", scope="identity")
    try:
        source.graph.put_edge(edge)
    except AccessDenied as error:
        assert error.request is not None
        with approved(error.request.approve(OWNER)):
            source.graph.put_edge(edge)
    export_store(source, tmp_path / "dump", secrets=True)
    target = stores.new(kind)
    for step in range(12, 40, 3):
        try:
            import_store(tmp_path / "dump", target, on_step=stop_at(step))
        except KeyboardInterrupt:
            continue
        break
    else:
        import_store(tmp_path / "dump", target)
    assert [each.name for each in target.authorities.find()] == ["ada"]
    assert len(names(target)) == 9


def test_a_dump_with_records_of_the_store_itself_is_refused(stores: Stores, prepared: Path) -> None:
    store = stores.new("memory")
    lines = prepared.read_text().splitlines()
    mark = CopyProgress("x").marker(dump_reader.EPOCH)
    lines.insert(1, json.dumps({"kind": "occurrences", "record": json.loads(mark.to_json())}))
    prepared.write_text("\n".join(lines) + "\n")
    with pytest.raises(Corrupt, match="line 2"):
        import_store(prepared, store)
    assert store.is_empty()


def test_an_approval_does_not_work_in_a_copy(stores: Stores, kind: str, tmp_path: Path) -> None:
    source = stores.new("memory")
    source.authorities.bootstrap(OWNER.public_key, "ada", identity=identity("Ada"))
    wanted = GraphNode(id="other", type="identity", scope="identity", attributes={})
    with pytest.raises(AccessDenied) as caught:
        source.graph.put(wanted)
    assert caught.value.request is not None
    approval = caught.value.request.approve(OWNER)
    copies = [stores.new(kind), stores.new(kind)]
    copy_store(source, copies[0])
    export_store(source, tmp_path / "dump")
    restore_store(tmp_path / "dump", copies[1])
    for copy in copies:
        with approved(approval), pytest.raises(AccessDenied, match="none of those given"):
            copy.graph.put(wanted)
        assert copy.graph.get("other", scope="identity") is None
    with approved(approval):
        source.graph.put(wanted)


def test_an_approval_for_centuries_is_refused(stores: Stores, kind: str) -> None:
    store = stores.new(kind)
    store.authorities.bootstrap(OWNER.public_key, "ada", identity=identity("Ada"))
    wanted = GraphNode(id="other", type="identity", scope="identity", attributes={})
    with pytest.raises(AccessDenied) as caught:
        store.graph.put(wanted)
    assert caught.value.request is not None
    approval = caught.value.request.approve(OWNER)
    long = approval.replaced(expires_at=approval.expires_at + timedelta(days=365 * 900))
    long.signature = OWNER.sign(long.statement)
    with approved(long), pytest.raises(AccessDenied, match="more than 30 days"):
        store.graph.put(wanted)
