from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    AccessConfig,
    AccessDenied,
    AuditEvent,
    Conflict,
    Correlation,
    InvalidArgument,
    ManualClock,
    NotFound,
    SigningKey,
    Store,
    StoreError,
    Task,
    Transaction,
)
from ciris_store_core.conformance.support import race
from ciris_store_core.models import AuditCheckpoint, LogData
from ciris_store_core.services import DatabaseMaintenanceService
from ciris_store_core.store.audit.verification import AuditReport, Verifier
from tests.support.tampering import (
    delete,
    entries_of,
    past_the_store,
    rewrite,
    swap,
    tamper,
)

KEY = SigningKey.generate()
OTHER = SigningKey.generate()


def event(correlation_id: str = "e", **fields: Any) -> Correlation:
    given = {"service_type": "s", "handler_name": "h", "action_type": "a", "correlation_type": "audit_event"}
    return Correlation(**{"correlation_id": correlation_id, **given, **fields})


def append(store: Store, count: int = 5) -> list[str]:
    return store.audit.append_many([AuditEvent("greet", "ada", {"n": n}) for n in range(count)])


def found(store: Store, **options: Any) -> list[tuple[str, int | None]]:
    return [(each.kind, each.sequence) for each in store.audit.verify(**options).problems]


# --- appending --------------------------------------------------------------------------------


def test_an_event_is_an_entry_and_a_correlation(store: Store, clock: ManualClock) -> None:
    key = store.audit.append("login", "ada", {"ip": "::1", "n": [1, 1.0, None, "é"]})
    [entry] = store.audit.find()
    assert (entry.chain, entry.sequence, entry.entry_id) == ("default", 1, key)
    assert (entry.event_type, entry.actor, entry.at) == ("login", "ada", clock.now())
    assert entry.payload == {"ip": "::1", "n": [1, 1.0, None, "é"]}
    stored = store.correlations.get(key)
    assert stored is not None and stored.correlation_type == "audit_event"
    assert (stored.action_type, stored.handler_name, stored.metadata) == ("login", "ada", entry.payload)
    assert found(store) == []


def test_every_way_to_store_an_audit_event_chains_it(store: Store) -> None:
    store.correlations.add(event("1", log_data=LogData(log_level="INFO", log_message="m"), metadata={"m": 1}))
    store.correlations.add_many([event("2", tags={"t": "v"}), event("3", correlation_type="log_entry")])
    store.correlations.add(event("4"), exist_ok=True)
    store.correlations.add_many([event("4"), event("5")], exist_ok=True)
    with store.transaction() as tx:
        tx.correlations.add(event("6"))
        tx.audit.append_many([AuditEvent("a", "b", event_id="7")])
    store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    store.tasks.transfer("t", from_occurrence="default", to_occurrence="o")
    entries = list(store.audit.scan())
    assert [entry.entry_id for entry in entries][:-1] == ["1", "2", "4", "5", "6", "7"]
    assert [entry.sequence for entry in entries] == list(range(1, 8))
    assert entries[-1].payload["request_data"]["parameters"]["to_occurrence_id"] == "o"
    assert entries[0].payload["log_data"]["log_message"] == "m" and entries[0].payload["m"] == 1
    report = store.audit.verify()
    assert report.verdict == "hashes only" and (report.chains, report.entries, report.signed) == (1, 7, 0)


def test_each_occurrence_has_its_chain(store: Store) -> None:
    store.correlations.add_many(
        [event("1", agent_occurrence_id="b"), event("2", agent_occurrence_id="a"), event("3", agent_occurrence_id="b")]
    )
    append(store, 1)
    assert store.audit.chains() == ["a", "b", "default"]
    assert [(entry.chain, entry.sequence) for entry in store.audit.scan()] == [
        ("a", 1), ("b", 1), ("b", 2), ("default", 1),
    ]  # fmt: skip
    assert [entry.entry_id for entry in store.audit.find("b")] == ["1", "3"]
    assert store.audit.verify().chains == 3


def test_what_cannot_be_stored_leaves_nothing(store: Store) -> None:
    append(store, 1)
    stored = store.audit.find().items[0].entry_id
    with pytest.raises(Conflict):
        store.audit.append_many([AuditEvent("a", "b"), AuditEvent("a", "b", event_id=stored)])
    with pytest.raises(InvalidArgument, match="occurs twice"):
        store.audit.append_many([AuditEvent("a", "b", event_id="x"), AuditEvent("a", "b", event_id="x")])
    with pytest.raises(InvalidArgument, match="NUL"):
        store.audit.append("a", "b", {"k": "\0"})
    with pytest.raises(InvalidArgument, match="ttl_seconds"):
        store.correlations.add(event(ttl_seconds=1))
    with pytest.raises(RuntimeError), store.transaction() as tx:
        tx.audit.append("a", "b")
        raise RuntimeError
    assert store.audit.append_many([]) == []
    assert len(store.audit.find()) == store.correlations.count() == 1


def test_pages(store: Store) -> None:
    keys = append(store, 5)
    page = store.audit.find(limit=2)
    rest = store.audit.find(limit=3, cursor=page.next_cursor)
    assert [entry.entry_id for entry in [*page, *rest]] == keys and rest.next_cursor is None
    assert [entry.sequence for entry in store.audit.tail(limit=2)] == [4, 5]
    assert store.audit.tail("nobody") == []
    with pytest.raises(InvalidArgument):
        store.audit.find(cursor="x")


# --- an audit event stays as it is --------------------------------------------------------------


def test_an_audit_event_is_neither_changed_nor_deleted(store: Store) -> None:
    store.correlations.add(event("e"))
    store.correlations.add(event("o", correlation_type="log_entry"))
    for attempt in (
        lambda part: part.update("e", tags={"t": "v"}),
        lambda part: part.delete_many(["o", "e"]),
        lambda part: part.complete_interaction("e"),
    ):
        with pytest.raises((AccessDenied, InvalidArgument)):
            attempt(store.correlations)
        with store.transaction() as tx, pytest.raises((AccessDenied, InvalidArgument)):
            attempt(tx.correlations)
    assert store.correlations.count() == 2 and found(store) == []
    assert store.correlations.update("o", tags={"t": "v"}) and not store.correlations.update("?", tags={})
    assert store.correlations.delete_many(["o", "?"]) == 1


def test_maintenance_keeps_audit_events(store: Store, clock: ManualClock) -> None:
    append(store)
    store.correlations.add(event("o", correlation_type="log_entry", ttl_seconds=1))
    clock.advance(days=10_000)
    report = DatabaseMaintenanceService(store, archive_dir=None).run()
    assert report.expired_correlations == 1 and len(store.audit.find()) == 5 and found(store) == []


# --- finding what was changed ---------------------------------------------------------------------


def test_what_was_done_past_the_store_is_found_and_named(store: Store) -> None:
    append(store, 12)
    with past_the_store(store) as session:
        entries = entries_of(session, "default")
        rewrite(session, entries[2], actor="eve")
        rewrite(session, entries[4], actor="eve", rehash=True)
        delete(session, "default", 7)
        swap(session, entries[9], entries[10])
        session.correlations.update(entries[11].entry_id, {"tags": {"t": "v"}})
        session.correlations.delete([entries[12].entry_id])
        session.correlations.add([event("unchained")])
    report = store.audit.verify()
    problems = {(each.kind, each.sequence) for each in report.problems}
    assert {
        ("changed", 2), ("not_following", 5), ("missing", 7), ("changed", 9), ("changed", 10),
        ("correlation_changed", 11), ("correlation_missing", 12), ("not_chained", None),
    } <= problems  # fmt: skip
    assert {number for _, number in problems} <= {2, 4, 5, 7, 9, 10, 11, 12, None}
    named = {each.sequence: each for each in report.problems}
    assert named[2].entry_id == entries[2].entry_id and named[2].message == (
        "chain 'default', entry 2: it is not as it was written"
    )
    assert found(store, chain="default")[0] == ("changed", 2)


def test_an_end_that_was_cut_off_is_found(store: Store) -> None:
    append(store)
    checkpoint = AuditCheckpoint.from_json(store.audit.checkpoint().to_json())
    append(store, 2)
    assert found(store, checkpoint=checkpoint) == []
    with past_the_store(store) as session:
        gone = [entry.entry_id for entry in entries_of(session, "default").values() if entry.sequence > 4]
        delete(session, "default", 5, 6, 7)
    assert found(store) == [("not_chained", None)] * 3
    with past_the_store(store) as session:
        session.correlations.delete(gone)
    assert found(store) == [], "nothing in the database tells of them any more"
    assert found(store, checkpoint=checkpoint) == [("cut_off", 4)]
    append(store, 1)
    assert found(store, checkpoint=checkpoint) == [("cut_off", 5)], "another entry has its place"


def test_a_chain_that_is_gone_is_found(store: Store) -> None:
    append(store, 2)
    checkpoint = store.audit.checkpoint()
    with past_the_store(store) as session:
        session.correlations.delete([entry.entry_id for entry in entries_of(session, "default").values()])
        delete(session, "default", 1, 2)
    assert found(store) == [] and found(store, checkpoint=checkpoint) == [("cut_off", 0)]


def test_random_tampering_is_found(opened: Callable[..., Store]) -> None:
    store = opened(access=AccessConfig(audit_key=KEY))
    dice = random.Random(7)
    for turn in range(25):
        chain = f"chain{turn}"
        store.correlations.add_many([event(f"{turn}-{n}", agent_occurrence_id=chain) for n in range(6)])
        with past_the_store(store) as session:
            done = tamper(session, chain, dice)
        named = {each.sequence for each in store.audit.verify().problems if each.chain == chain}
        assert named and (not done.entries or named & done.entries), done


# --- signatures -----------------------------------------------------------------------------------


def test_signatures(opened: Callable[..., Store]) -> None:
    store = opened(access=AccessConfig(audit_key=KEY))
    append(store, 3)
    report = store.audit.verify()
    assert report.ok and report.signed == 3
    assert store.audit.find().items[0].signing_key_id == KEY.key_id
    with past_the_store(store) as session:
        entries = entries_of(session, "default")
        rewrite(session, entries[2], signature=OTHER.sign(b"x"))
        rewrite(session, entries[3], signature=None, signing_key_id=None, rehash=True)
    assert found(store) == [("signature", 2), ("signature", 3)]
    assert found(store, require_signatures=False) == [("signature", 2), ("signature", 3)], "none after one that has"


def test_keys_of_others(opened: Callable[..., Store]) -> None:
    store = opened()
    append(store, 1)
    with signing_with(store, OTHER):
        append(store, 2)
    report = store.audit.verify()
    assert report.verdict == "hashes only" and (report.signed, report.unchecked) == (0, 2)
    assert found(store, public_keys=[OTHER.public_key]) == [("signature", 1)]
    assert found(store, public_keys=[OTHER.public_key], require_signatures=False) == []
    assert found(store, public_keys=[KEY.public_key], require_signatures=False) == [("signature", 2), ("signature", 3)]
    assert found(store, require_signatures=True) == [("signature", n) for n in (1, 2, 3)]
    with pytest.raises(InvalidArgument, match="64 hexadecimal"):
        store.audit.verify(public_keys=["x"])


@contextmanager
def signing_with(store: Store, key: SigningKey) -> Iterator[None]:
    """As another occurrence would, whose key differs."""
    guard = store._executor.guard
    before, guard.ctx = guard.ctx, replace(guard.ctx, signer=key)
    yield
    guard.ctx = before


def test_a_checkpoint_is_signed(opened: Callable[..., Store]) -> None:
    store = opened(access=AccessConfig(audit_key=KEY))
    append(store, 2)
    made = store.audit.checkpoint()
    assert found(store, checkpoint=made) == []
    forged = made.replaced(heads=[made.heads[0].replaced(sequence=1)])
    assert ("checkpoint", None) in found(store, checkpoint=forged)


def test_what_is_handed_to_verification_is_checked(store: Store) -> None:
    append(store)
    made = store.audit.checkpoint()
    for bad in (made.replaced(signing_key_id="\ud800"), made.replaced(heads=[made.heads[0].replaced(chain="\ud800")])):
        with pytest.raises(InvalidArgument, match="AuditCheckpoint"):
            store.audit.verify(checkpoint=bad)
    with pytest.raises(InvalidArgument, match="ChainHead"):
        store.audit.verify(checkpoint=made.replaced(heads=[made]))
    for keys in ([5], KEY.public_key):
        with pytest.raises(InvalidArgument, match="public_keys"):
            store.audit.verify(public_keys=keys)


# --- retention --------------------------------------------------------------------------------------


def test_the_first_event_during_a_verification(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the store its id, after the verification has looked for it."""
    look = Verifier._look_at_identity

    def look_then_append(verifier: Verifier, report: AuditReport) -> None:
        look(verifier, report)
        append(store, 2)

    monkeypatch.setattr(Verifier, "_look_at_identity", look_then_append)
    report = store.audit.verify()
    assert report.entries == 2 and not report.problems


def test_two_chains_in_opposite_orders(store: Store) -> None:
    """The loser of a deadlock of two audit chains gets an error that tells it to run the transaction again."""
    barrier, broken = threading.Barrier(2), []

    def both(number: int) -> None:
        def step(tx: Transaction) -> None:
            for turn, chain in enumerate(["left", "right"] if number else ["right", "left"]):
                tx.correlations.add(event(f"{number}{turn}", agent_occurrence_id=chain))
                if not turn:
                    with suppress(threading.BrokenBarrierError):
                        barrier.wait(1)

        for _ in range(9):
            try:
                with store.transaction() as tx:
                    step(tx)
            except StoreError as error:
                assert error.retryable, error
                broken.append(error)
            else:
                return

    race(2, both)
    assert sorted(each.correlation_id for each in store.correlations.find()) == ["00", "01", "10", "11"]
    assert not store.audit.verify().problems and len(broken) < 9


# --- keys -------------------------------------------------------------------------------------------


def test_a_key_in_a_file(tmp_path: Path, opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.pem"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600 and SigningKey.load(path).key_id == KEY.key_id
    with pytest.raises(Conflict):
        KEY.save(path)
    monkeypatch.setenv("CIRIS_AUDIT_KEY_FILE", str(path))
    store = opened()
    append(store, 1)
    assert store.audit.find().items[0].signing_key_id == KEY.key_id
    assert KEY.public_key not in repr(KEY)


def test_bad_key_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    with pytest.raises(NotFound, match="no key file"):
        SigningKey.load(path)
    path.write_text("-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n")
    path.chmod(0o644)
    with pytest.raises(AccessDenied, match="chmod 600"):
        SigningKey.load(path)
    path.chmod(0o600)
    with pytest.raises(InvalidArgument, match="no Ed25519 key"):
        SigningKey.load(path)
    with pytest.raises(AccessDenied, match="Check the directory"):
        KEY.save(tmp_path / "none" / "audit.pem")
