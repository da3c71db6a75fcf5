"""Occurrences and leases."""

from __future__ import annotations

import pytest

from ciris_store_core.conformance.factories import T0, at, lease, occurrence
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import exact, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models import Lease, Occurrence


def occurrences(backend: Backend, alive_at: float | None = None) -> list[Occurrence]:
    """All occurrences, or those alive some seconds after ``T0``."""
    with reading(backend) as session:
        return session.coordination.list_occurrences(None if alive_at is None else at(alive_at))


def leases(backend: Backend, held_at: float | None = None) -> list[Lease]:
    """Return all leases, or those locked some seconds after ``T0``."""
    with reading(backend) as session:
        return session.coordination.list_leases(None if held_at is None else at(held_at))


def acquire(backend: Backend, owner: str, now: float, until: float, name: str = "job") -> Lease | None:
    """Try to take a lease; times in seconds after ``T0``."""
    return transact(backend, lambda s: s.coordination.acquire_lease(name, owner, at(now), at(until)))


class TestOccurrences:
    """Registration and heartbeats."""

    @clause("coordination.put_occurrence.replaces")
    def test_registering_again(self, backend: Backend) -> None:
        """Otherwise an instance that restarts is taken for two, or for the old one."""
        second = occurrence("a", started_at=at(5), heartbeat_at=at(6), expires_at=at(7), metadata={"new": 1})
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("a", metadata={"old": 1}))
            session.coordination.put_occurrence(occurrence("b"))
            session.coordination.put_occurrence(second)
        assert [exact(each) for each in occurrences(backend)] == [exact(second), exact(occurrence("b"))]

    @clause("coordination.heartbeat")
    def test_heartbeat(self, backend: Backend) -> None:
        """Otherwise a living instance is taken for dead, or an unknown one for alive."""
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("a", metadata={"m": 1}))
            session.coordination.put_occurrence(occurrence("b"))
            assert session.coordination.heartbeat("a", at(50), at(110)) is True
            assert session.coordination.heartbeat("?", at(50), at(110)) is False
        expected = occurrence("a", heartbeat_at=at(50), expires_at=at(110), metadata={"m": 1})
        assert [exact(each) for each in occurrences(backend)] == [exact(expected), exact(occurrence("b"))]

    @clause("coordination.heartbeat.earlier")
    def test_a_heartbeat_that_goes_back(self, backend: Backend) -> None:
        """Otherwise an instance whose clock was set back counts as alive for as long as it was ahead."""
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("a", heartbeat_at=at(50), expires_at=at(110)))
            assert session.coordination.heartbeat("a", at(40), at(60)) is True
        [found] = occurrences(backend)
        assert (found.heartbeat_at, found.expires_at) == (at(40), at(60))
        assert occurrences(backend, alive_at=60) == []

    @clause("coordination.list_occurrences")
    def test_list(self, backend: Backend) -> None:
        """Otherwise dead instances are waited for, and live ones lose their work."""
        with writing(backend) as session:
            for id, expires in (("b", 10), ("a", 10.000001), ("C", 99)):
                session.coordination.put_occurrence(occurrence(id, expires_at=at(expires)))
        assert [each.occurrence_id for each in occurrences(backend)] == ["C", "a", "b"]
        assert [each.occurrence_id for each in occurrences(backend, alive_at=10)] == ["C", "a"]

    @clause("coordination.remove_occurrence")
    def test_remove(self, backend: Backend) -> None:
        """Otherwise an instance that left still counts as alive."""
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("a"))
            session.coordination.put_occurrence(occurrence("b"))
            assert session.coordination.remove_occurrence("a") is True
            assert session.coordination.remove_occurrence("a") is False
        assert [each.occurrence_id for each in occurrences(backend)] == ["b"]


class TestLeases:
    """Named locks with owner, expiry and fence."""

    @clause("coordination.acquire_lease.free")
    def test_a_free_lease(self, backend: Backend) -> None:
        """Otherwise work that needs a lease is never done."""
        lease = acquire(backend, "a", 0, 10)
        assert lease is not None
        assert (lease.name, lease.owner, lease.acquired_at, lease.expires_at) == ("job", "a", T0, at(10))
        assert [exact(each) for each in leases(backend)] == [exact(lease)]

    @clause("coordination.acquire_lease.held")
    def test_a_held_lease(self, backend: Backend) -> None:
        """Otherwise two instances do the same work at the same time."""
        first = acquire(backend, "a", 0, 10)
        assert acquire(backend, "b", 9.999999, 20) is None
        assert [exact(each) for each in leases(backend)] == [exact(first)]
        assert acquire(backend, "b", 5, 20, name="other") is not None

    @clause("coordination.acquire_lease.expired")
    def test_an_expired_lease(self, backend: Backend) -> None:
        """Otherwise the work of an instance that died is never taken up."""
        first = acquire(backend, "a", 0, 10)
        second = acquire(backend, "b", 10, 20)
        assert first is not None and second is not None
        assert (second.owner, second.fence, second.acquired_at) == ("b", first.fence + 1, at(10))

    @clause("coordination.acquire_lease.again")
    def test_the_holder_acquires_it_again(self, backend: Backend) -> None:
        """Otherwise a holder locks itself out, or fences off its own work."""
        first = acquire(backend, "a", 0, 10)
        second = acquire(backend, "a", 5, 30)
        assert first is not None and second is not None
        assert (second.fence, second.acquired_at, second.expires_at) == (first.fence, T0, at(30))

    @clause("coordination.acquire_lease.shorter")
    def test_the_holder_shortens_it(self, backend: Backend) -> None:
        """Otherwise a holder that needs less time keeps others waiting, or is fenced off for saying so."""
        first = acquire(backend, "a", 0, 100)
        second = acquire(backend, "a", 5, 10)
        assert first is not None and second is not None
        assert exact(second) == exact(first.replaced(expires_at=at(10)))
        assert [exact(each) for each in leases(backend)] == [exact(second)]
        with writing(backend) as session:
            assert session.coordination.renew_lease("job", "a", second.fence, at(6), at(8)) is True
        assert acquire(backend, "b", 7.999999, 20) is None
        third = acquire(backend, "b", 8, 20)
        assert third is not None and third.fence == first.fence + 1

    @clause("coordination.acquire_lease.own_expired")
    def test_the_holder_comes_too_late(self, backend: Backend) -> None:
        """Otherwise an instance that was suspended continues although its lease expired."""
        first = acquire(backend, "a", 0, 10)
        second = acquire(backend, "a", 10, 30)
        assert first is not None and second is not None
        assert (second.fence, second.acquired_at) == (first.fence + 1, at(10))

    @clause("coordination.renew_lease")
    def test_renew(self, backend: Backend) -> None:
        """Otherwise long work loses its lease, or an owner that lost it continues."""
        lease = acquire(backend, "a", 0, 10)
        assert lease is not None
        with writing(backend) as session:
            renew = session.coordination.renew_lease
            assert renew("job", "b", lease.fence, at(5), at(90)) is False
            assert renew("job", "a", lease.fence + 1, at(5), at(90)) is False
            assert renew("?", "a", lease.fence, at(5), at(90)) is False
            assert renew("job", "a", lease.fence, at(9), at(20)) is True
            assert renew("job", "a", lease.fence, at(20), at(90)) is False
        assert [exact(each) for each in leases(backend)] == [exact(lease.replaced(expires_at=at(20)))]

    @clause("coordination.release_lease")
    def test_release(self, backend: Backend) -> None:
        """Otherwise others wait for work that is done, or an old holder ends the lease of the new one."""
        lease = acquire(backend, "a", 0, 10)
        assert lease is not None
        with writing(backend) as session:
            release = session.coordination.release_lease
            assert release("job", "b", lease.fence, at(5)) is False
            assert release("job", "a", lease.fence + 1, at(5)) is False
            assert release("job", "a", lease.fence, at(10)) is False
            assert release("?", "a", lease.fence, at(5)) is False
            assert release("job", "a", lease.fence, at(5)) is True
            assert release("job", "a", lease.fence, at(5)) is False
        following = acquire(backend, "b", 5, 20)
        assert following is not None and following.fence == lease.fence + 1

    @clause("coordination.list_leases")
    def test_list(self, backend: Backend) -> None:
        """Otherwise the owner that blocks the work cannot be found."""
        for name, until in (("b", 10), ("a", 10.000001), ("C", 99)):
            acquire(backend, "me", 0, until, name)
        assert [each.name for each in leases(backend)] == ["C", "a", "b"]
        assert [each.name for each in leases(backend, held_at=10)] == ["C", "a"]

    @clause("coordination.add_leases")
    def test_add(self, backend: Backend) -> None:
        """Otherwise fences begin anew in a copy of the store, and writers of the past are let in again."""
        given = [lease("a", fence=7, acquired_at=at(3)), lease("b", owner="you", fence=1, expires_at=at(4))]
        with writing(backend) as session:
            session.coordination.add_leases(given)
            session.coordination.add_leases([lease("c", fence=2)])
        assert exact(leases(backend)) == exact([*given, lease("c", fence=2)])
        following = acquire(backend, "next", 5, 20, "b")
        assert following is not None and following.fence == 2

    @clause("coordination.add_leases.conflict")
    def test_add_what_exists(self, backend: Backend) -> None:
        """Otherwise a lease is taken from its holder, or half of a batch is stored."""
        held = acquire(backend, "me", 0, 10, "b")
        for given in ([lease("b")], [lease("a"), lease("b"), lease("c")]):
            with pytest.raises(AlreadyExists), writing(backend) as session:
                session.coordination.add_leases(given)
        assert exact(leases(backend)) == exact([held])

    @pytest.mark.parametrize("expired", [False, True])
    @clause("coordination.acquire_lease.race", Level.CONCURRENT)
    def test_one_of_many_gets_it(self, backend: Backend, expired: bool) -> None:
        """Otherwise two instances do the same work at the same time."""
        if expired:
            acquire(backend, "before", -10, -5)
        won = [lease for lease in race(8, lambda number: acquire(backend, f"o{number}", 0, 10)) if lease]
        assert len(won) == 1
        assert [exact(each) for each in leases(backend)] == [exact(lease) for lease in won]

    @clause("coordination.acquire_lease.fence.race", Level.CONCURRENT)
    def test_fences_grow_by_one(self, backend: Backend) -> None:
        """Otherwise two holders have the same fence, and the older one can still write."""

        def take(number: int) -> list[int]:
            taken = [acquire(backend, f"o{number}", 0, 0) for _ in range(10)]
            return [lease.fence for lease in taken if lease]

        fences = sorted(fence for each in race(4, take) for fence in each)
        assert fences == list(range(fences[0], fences[0] + 40))
