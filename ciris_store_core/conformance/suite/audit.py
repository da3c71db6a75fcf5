"""Audit trail."""

from __future__ import annotations

import pytest

from ciris_store_core.conformance.factories import anchor, at, entry
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import BackgroundCall, everything, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models import AuditEntry
from ciris_store_core.models.audit import AuditQuery


def append(backend: Backend, *entries: AuditEntry) -> None:
    """Append entries in a transaction of their own."""
    with writing(backend) as session:
        session.audit.append(entries)


def listed(backend: Backend, chain: str | None = None, limit: int = 100) -> list[tuple[str, int]]:
    """Chain and number of the entries."""
    with reading(backend) as session:
        found = everything(session.audit.find, AuditQuery(limit=limit, chain=chain))
    return [(each.chain, each.sequence) for each in found]


def extend(session: Session, chain: str = "default") -> None:
    """Append the entry that follows the chain's head."""
    head = session.audit.head(chain)
    session.audit.append([entry(1 if head is None else head[0] + 1, chain)])


class TestAudit:
    """Chains of entries, and the anchors that retention leaves."""

    @clause("audit.head")
    def test_head(self, backend: Backend) -> None:
        """Otherwise the next entry does not follow the last one, and the chain is broken."""
        append(backend, entry(2, at=at(-5)), entry(1, at=at(5)), entry(1, "other", at=at(9)))
        with writing(backend) as session:
            assert session.audit.head("default") == (2, "hash 2")
            assert session.audit.head("other") == (1, "hash 1")
            assert session.audit.head("new") is None
            session.audit.append([entry(3)])
            assert session.audit.head("default") == (3, "hash 3")

    @clause("audit.append.conflict")
    def test_append_what_exists(self, backend: Backend) -> None:
        """Otherwise the past can be overwritten."""
        append(backend, entry(2, actor="first"))
        with pytest.raises(AlreadyExists):
            append(backend, entry(1), entry(2, entry_id="new", actor="second"), entry(3))
        with reading(backend) as session:
            found = session.audit.find(AuditQuery()).items
        assert [(each.sequence, each.actor) for each in found] == [(2, "first")]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @clause("audit.find.order")
    def test_find(self, backend: Backend, limit: int) -> None:
        """Otherwise a chain is checked in the wrong order, or in part."""
        append(backend)
        # The hosts' clocks disagree: the numbers count, not the times.
        append(
            backend,
            *(entry(number, chain, at=at(-number)) for chain in ("b", "B", "a") for number in (10, 9, 2)),
        )
        assert listed(backend, limit=limit) == [(chain, number) for chain in ("B", "a", "b") for number in (2, 9, 10)]
        assert listed(backend, "b", limit) == [("b", 2), ("b", 9), ("b", 10)]
        assert listed(backend, "?", limit) == []

    @clause("audit.find.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a check of a chain never ends, or ends too early."""
        append(backend, entry(1), entry(2), entry(3))
        with reading(backend) as session:
            assert session.audit.find(AuditQuery(limit=2)).next_after == ("default", 2)
            assert session.audit.find(AuditQuery(limit=3)).next_after is None
            after = session.audit.find(AuditQuery(chain="default", after=("default", 2))).items
        assert [each.sequence for each in after] == [3]

    @clause("audit.chains")
    def test_chains(self, backend: Backend) -> None:
        """Otherwise a chain is never checked."""
        append(backend, entry(1, "b"), entry(1, "a"), entry(2, "a"), entry(1, "C"), entry(1, "cut"))
        with writing(backend) as session:
            session.audit.prune(anchor(1, "cut"))
            assert session.audit.chains() == ["C", "a", "b", "cut"]

    @clause("audit.prune")
    def test_cut(self, backend: Backend) -> None:
        """Otherwise the rest of a pruned chain cannot be verified, or too many entries are removed."""
        append(backend, *(entry(i, at=at(-i)) for i in range(1, 6)), entry(1, "other"))
        kept = anchor(3, at=at(-9), signature="s", signing_key_id="k", metadata={"m": 1})
        with writing(backend) as session:
            assert session.audit.anchor("default") is None
            assert session.audit.prune(kept) == 3
        with writing(backend) as session:
            assert exact(session.audit.anchor("default")) == exact(kept)
            assert session.audit.anchor("other") is None
            assert session.audit.head("default") == (5, "hash 5")
        assert listed(backend) == [("default", 4), ("default", 5), ("other", 1)]

    @clause("audit.prune.again")
    def test_cut_again(self, backend: Backend) -> None:
        """Otherwise a second retention leaves an anchor that fits nothing."""
        append(backend, *(entry(i) for i in range(1, 5)))
        with writing(backend) as session:
            session.audit.prune(anchor(1))
            assert session.audit.prune(anchor(4)) == 3
            assert exact(session.audit.anchor("default")) == exact(anchor(4))

    @clause("audit.head.anchor")
    def test_head_of_a_chain_that_was_cut_whole(self, backend: Backend) -> None:
        """Otherwise a chain starts anew at 1, and an attacker can hide what was before."""
        append(backend, entry(1), entry(2))
        with writing(backend) as session:
            session.audit.prune(anchor(2))
        with writing(backend) as session:
            assert session.audit.head("default") == (2, "hash 2")
            extend(session)
        assert listed(backend) == [("default", 3)]

    @pytest.mark.parametrize("start", [0, 1])
    @clause("audit.head.race", Level.CONCURRENT)
    def test_many_writers_make_one_chain(self, backend: Backend, start: int) -> None:
        """Otherwise two events get the same number, and one of them is lost."""
        append(backend, *(entry(i) for i in range(1, start + 1)))

        def work(number: int) -> None:
            for _ in range(5):
                transact(backend, extend)

        race(8, work)
        assert listed(backend) == [("default", i) for i in range(1, start + 41)]

    @pytest.mark.parametrize("start", [0, 1])
    @clause("audit.head.waits", Level.CONCURRENT)
    def test_who_comes_second_waits(self, backend: Backend, start: int) -> None:
        """Otherwise two writers build on the same entry, and the chain forks."""
        append(backend, *(entry(i) for i in range(1, start + 1)))
        with writing(backend) as session:
            session.audit.head("default")
            other = BackgroundCall(lambda: transact(backend, lambda second: second.audit.head("default")))
            assert not other.finished(), "a second writer got the head before the first was done"
            extend(session)
        assert other.result() == (start + 1, f"hash {start + 1}")
