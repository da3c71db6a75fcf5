"""Calls while another transaction holds a change of the same records open, and deadlocks.

Each method that changes or locks what it looks at is called between the change and the end of the other transaction,
which is rolled back once, and committed once.
"""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.calls import LOCKS, WRITES, Call
from ciris_store_core.conformance.factories import (
    access,
    anchor,
    at,
    entry,
    lease,
    occurrence,
    secret,
    task,
    thought,
)
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.scheduling import Interleaving, check
from ciris_store_core.contract import Backend, Session, ThoughtSelector
from ciris_store_core.models import TaskStatus, ThoughtStatus

LATER = at(9)
H = ThoughtSelector(thought_ids=["h"])
Pair = tuple[Call, Call]


def together(method: str, loses: str, *cases: Pair | Interleaving) -> Any:
    """Return the test of a method, called while the other transaction of each case is open."""
    given = [case if isinstance(case, Interleaving) else Interleaving(*case) for case in cases]

    @pytest.mark.parametrize("case", given, ids=map(str, range(len(given))))
    @clause(f"{method}.interleaved", Level.CONCURRENT)
    def test(self: Any, backend: Backend, case: Interleaving) -> None:
        check(backend, method, case)

    test.__doc__ = f"Otherwise {loses}"
    return test


def update_task(**changes: Any) -> Call:
    """Return an update of the task ``t``."""
    return lambda s: s.tasks.update("t", {**changes, "updated_at": LATER}, None, None)


def update_thought(id: str = "h", **changes: Any) -> Call:
    """Return an update of a thought."""
    return lambda s: s.thoughts.update(id, {**changes, "updated_at": LATER}, None)


def transfer(owner: str) -> Call:
    """Return a transfer of the task ``t`` from the default queue."""
    return lambda s: s.tasks.transfer(["t"], "default", owner, LATER)


def claim(worker: str) -> Call:
    """Return a claim of the most urgent task."""
    return lambda s: s.tasks.claim_next(worker, "default", 1, LATER)


def delete_task(session: Session) -> Any:
    """Delete the task ``t``."""
    return session.tasks.delete(["t"])


def acquire(owner: str, now: float = 9, name: str = "job") -> Call:
    """Return an attempt to take a lease, some seconds after ``T0``."""
    return lambda s: s.coordination.acquire_lease(name, owner, at(now), at(now + 60))


def finish_mine(session: Session) -> Any:
    """Finish the claimed task."""
    return session.tasks.update("mine", {"status": TaskStatus.COMPLETED, "updated_at": LATER}, None, None)


def finish_under_fence(session: Session) -> Any:
    """Check the fencing token 0 of the task ``t``, then write to the task."""
    session.tasks.lock_claim("t", 0)
    return session.tasks.update("t", {"description": "done", "updated_at": at(20)}, None, None)


def count_task(session: Session) -> Any:
    """Lock the task ``t``, and add to the number in its metadata."""
    found = session.tasks.lock(["t"], None)
    for row in found:
        changes = {"metadata": {"n": row.metadata.get("n", 0) + 1}, "updated_at": at(20)}
        session.tasks.update("t", changes, None, None)
    return found


def count_thought(session: Session) -> Any:
    """Lock the thought ``h``, and add to the number in its metadata."""
    found = session.thoughts.lock(["h"], None)
    for row in found:
        session.thoughts.update("h", {"metadata": {"n": row.metadata.get("n", 0) + 1}, "updated_at": at(20)}, None)
    return found


def extend_chain(session: Session) -> Any:
    """Append to the chain ``default``."""
    head = session.audit.head("default")
    assert head is not None
    return session.audit.append([entry(head[0] + 1)])


def without_child(session: Session) -> Any:
    """Leave ``t`` as the only task that is pending."""
    return session.tasks.delete(["child"])


class TestTaskInterleavings:
    """``TaskStore``, beside another transaction."""

    test_update = together(
        "tasks.update",
        "a worker writes to work that changed hands while it waited, or overwrites what another one wrote.",
        (transfer("o"), WRITES["tasks.update"]),
        (transfer("o"), lambda s: s.tasks.update("t", {"description": "x", "updated_at": LATER}, "default", None)),
        (update_task(priority=7), update_task(description="x")),
        (delete_task, update_task(description="x")),
    )
    test_transfer = together(
        "tasks.transfer",
        "two instances each believe that a task is theirs.",
        (transfer("o"), transfer("p")),
        (delete_task, transfer("p")),
        (update_task(metadata={"m": 1}), transfer("p")),
    )
    test_claim_next = together(
        "tasks.claim_next",
        "two workers claim one task, or one that was finished or moved meanwhile.",
        Interleaving(claim("a"), claim("b"), without_child, skips=[]),
        Interleaving(update_task(status=TaskStatus.COMPLETED), claim("b"), without_child, skips=[]),
        Interleaving(transfer("o"), claim("b"), without_child, skips=[]),
    )
    test_release = together(
        "tasks.release",
        "work that was finished or released meanwhile is released again, from its next owner.",
        Interleaving(WRITES["tasks.release"], WRITES["tasks.release"], skips=[]),
        Interleaving(finish_mine, WRITES["tasks.release"], skips=[]),
        Interleaving(lambda s: s.tasks.transfer(["mine"], "w", "o", LATER), WRITES["tasks.release"], skips=[]),
    )
    test_add_or_get = together(
        "tasks.add_or_get",
        "two instances both believe that they made the task, or none does.",
        (lambda s: s.tasks.add([task("got", description="first")]), WRITES["tasks.add_or_get"]),
        (lambda s: s.tasks.delete(["t"]), lambda s: s.tasks.add_or_get(task(description="again"))),
    )
    test_add = together(
        "tasks.add", "of two tasks of one id one is lost.",
        (lambda s: s.tasks.add([task("new")]), lambda s: s.tasks.add([task("also new"), task("new")])),
    )  # fmt: skip
    test_delete = together(
        "tasks.delete", "a deletion counts what another one deleted, or leaves a part.",
        (delete_task, delete_task), (transfer("o"), delete_task),
    )  # fmt: skip
    test_lock_claim = together(
        "tasks.lock_claim", "an owner that was replaced while it waited passes the check of its fencing token.",
        (transfer("o"), finish_under_fence), (delete_task, finish_under_fence),
    )  # fmt: skip
    test_lock = together(
        "tasks.lock", "a read for an update returns what was there before it waited.",
        (update_task(metadata={"n": 40}), count_task), (delete_task, count_task),
    )  # fmt: skip


class TestThoughtInterleavings:
    """``ThoughtStore``, beside another transaction."""

    test_update = together(
        "thoughts.update", "a thought is changed that changed hands, or another change of it is lost.",
        (WRITES["thoughts.transfer"], lambda s: s.thoughts.update("h", {"updated_at": LATER}, "default")),
        (update_thought(context={"a": 1}), update_thought(content="x")),
    )  # fmt: skip
    test_retry = together(
        "thoughts.retry", "a thought is retried twice, or after it was rejected.",
        (WRITES["thoughts.retry"], WRITES["thoughts.retry"]),
        (update_thought("failed", status=ThoughtStatus.REJECTED), WRITES["thoughts.retry"]),
    )  # fmt: skip
    test_escalate = together(
        "thoughts.escalate",
        "of two escalations one is lost.",
        (WRITES["thoughts.escalate"], WRITES["thoughts.escalate"]),
    )
    test_transfer = together(
        "thoughts.transfer", "two instances each believe that a thought is theirs.",
        (WRITES["thoughts.transfer"], lambda s: s.thoughts.transfer(H, "default", "p", LATER)),
    )  # fmt: skip
    test_add = together(
        "thoughts.add", "of two thoughts of one id one is lost.",
        (lambda s: s.thoughts.add([thought("new")]), WRITES["thoughts.add"]),
    )  # fmt: skip
    test_delete = together(
        "thoughts.delete", "a deletion counts what another one deleted.",
        (WRITES["thoughts.delete"], WRITES["thoughts.delete"]),
        (update_thought("failed", content="x"), WRITES["thoughts.delete"]),
    )  # fmt: skip
    test_lock = together(
        "thoughts.lock", "a read for an update returns what was there before it waited.",
        (update_thought(metadata={"n": 40}), count_thought),
    )  # fmt: skip


class TestCoordinationInterleavings:
    """``CoordinationStore``, beside another transaction."""

    test_acquire_lease = together(
        "coordination.acquire_lease", "two instances hold one lease, or a fencing token is given twice.",
        (acquire("a", name="new"), acquire("b", name="new")), (acquire("a", 20), acquire("b", 20)),
        (WRITES["coordination.release_lease"], acquire("b")), (WRITES["coordination.renew_lease"], acquire("b", 20)),
    )  # fmt: skip
    test_renew_lease = together(
        "coordination.renew_lease", "an owner that lost its lease while it waited continues.",
        (acquire("b", 20), WRITES["coordination.renew_lease"]),
        (WRITES["coordination.release_lease"], WRITES["coordination.renew_lease"]),
    )  # fmt: skip
    test_release_lease = together(
        "coordination.release_lease", "an owner that lost its lease while it waited ends that of the next.",
        (acquire("b", 20), WRITES["coordination.release_lease"]),
        (WRITES["coordination.release_lease"], WRITES["coordination.release_lease"]),
    )  # fmt: skip
    test_add_leases = together(
        "coordination.add_leases", "a copy takes a lease from its holder.",
        (acquire("a", name="copied"), WRITES["coordination.add_leases"]),
        (acquire("a", name="b"), lambda s: s.coordination.add_leases([lease("a"), lease("b")])),
    )  # fmt: skip
    test_heartbeat = together(
        "coordination.heartbeat", "an instance that was removed is told that it is alive.",
        (WRITES["coordination.remove_occurrence"], WRITES["coordination.heartbeat"]),
        (lambda s: s.coordination.put_occurrence(occurrence(metadata={"m": 1})), WRITES["coordination.heartbeat"]),
    )  # fmt: skip
    test_remove_occurrence = together(
        "coordination.remove_occurrence", "an instance is removed twice.",
        (WRITES["coordination.remove_occurrence"], WRITES["coordination.remove_occurrence"]),
        (WRITES["coordination.heartbeat"], WRITES["coordination.remove_occurrence"]),
    )  # fmt: skip


class TestSecretInterleavings:
    """``SecretStore``, beside another transaction."""

    test_reencrypt = together(
        "secrets.reencrypt", "two rotations of a key overwrite one another, and a secret is lost.",
        (lambda s: s.secrets.reencrypt("s", b"encrypted", "k3", b"first"), WRITES["secrets.reencrypt"]),
        (WRITES["secrets.delete"], WRITES["secrets.reencrypt"]),
    )  # fmt: skip
    test_add = together(
        "secrets.add", "of two secrets of one id one is lost.",
        (lambda s: s.secrets.add([secret("new", key_id="k2")]), WRITES["secrets.add"]),
    )  # fmt: skip
    test_delete = together(
        "secrets.delete", "a deletion counts what another one deleted.",
        (WRITES["secrets.delete"], WRITES["secrets.delete"]), (WRITES["secrets.reencrypt"], WRITES["secrets.delete"]),
    )  # fmt: skip
    test_log_access = together(
        "secrets.log_access", "an entry of the access log is overwritten.",
        (lambda s: s.secrets.log_access([access("new", granted=False)]), WRITES["secrets.log_access"]),
    )  # fmt: skip


class TestAuditInterleavings:
    """``AuditStore``, beside another transaction."""

    test_head = together(
        "audit.head", "two entries of the audit trail follow the same one, and the chain forks.",
        (extend_chain, extend_chain), (extend_chain, LOCKS["audit.head"]),
        (lambda s: s.audit.append([entry(1, "new")]), lambda s: s.audit.head("new")),
    )  # fmt: skip
    test_append = together(
        "audit.append", "an entry of the audit trail is overwritten.",
        (lambda s: s.audit.append([entry(3, actor="first")]), lambda s: s.audit.append([entry(3, actor="second")])),
    )  # fmt: skip
    test_prune = together(
        "audit.prune", "entries are counted as removed that another one removed.",
        (WRITES["audit.prune"], lambda s: s.audit.prune(anchor(2, removed_count=9))),
    )  # fmt: skip
