"""Faults of coordination, secrets and audit, and of the open store itself."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from ciris_store_core.capabilities import Capability
from ciris_store_core.errors import DatabaseError, PoolTimeout, StoreClosed
from ciris_store_core.inmemory.tables import TABLE_NAMES
from ciris_store_core.models.paging import ResultPage
from tests.mutants.planting import SOUND, add, always, plant, raises_plain_conflict

TICK = timedelta(microseconds=1)

# --- occurrences and leases -------------------------------------------------------------------


@plant("coordination.put_occurrence.replaces", "coordination.put_occurrence")
def registering_again_is_ignored(self: Any, sound: Any, occurrence: Any) -> None:
    if occurrence.occurrence_id not in self._occurrences.rows:
        sound(occurrence)


@plant("coordination.put_occurrence.replaces", "coordination.put_occurrence")
def registering_again_merges(self: Any, sound: Any, occurrence: Any) -> None:
    stored = self._occurrences.rows.get(occurrence.occurrence_id)
    sound(occurrence.replaced(metadata={**(stored.metadata if stored else {}), **occurrence.metadata}))


@plant("coordination.heartbeat", "coordination.heartbeat")
def a_heartbeat_reaches_everybody(self: Any, sound: Any, id: str, at: Any, expires_at: Any) -> Any:
    return [sound(each, at, expires_at) for each in [*self._occurrences.rows, id]][-1]


add("a_heartbeat_of_nobody_is_fine", "coordination.heartbeat", ("coordination.heartbeat", lambda self, sound, *arguments: sound(*arguments) or True))
add("a_heartbeat_leaves_the_expiry", "coordination.heartbeat", ("coordination.heartbeat", lambda self, sound, id, at, expires_at: sound(id, at, self._occurrences.rows[id].expires_at) if id in self._occurrences.rows else False))
add("the_dead_are_listed", "coordination.list_occurrences", ("coordination.list_occurrences", lambda self, sound, alive_at: sound(None)))
add("the_dying_count_as_alive", "coordination.list_occurrences", ("coordination.list_occurrences", lambda self, sound, alive_at: sound(alive_at and alive_at - TICK)))
add("those_alive_for_a_tick_count_as_dead", "coordination.list_occurrences", ("coordination.list_occurrences", lambda self, sound, alive_at: sound(alive_at and alive_at + TICK)))
add("occurrences_are_listed_without_case", "coordination.list_occurrences", ("coordination.list_occurrences", lambda self, sound, alive_at: sorted(sound(alive_at), key=lambda each: each.occurrence_id.lower())))
add("removing_an_occurrence_does_nothing", "coordination.remove_occurrence", ("coordination.remove_occurrence", lambda self, sound, id: id in self._occurrences.rows))
add("removing_an_occurrence_is_always_fine", "coordination.remove_occurrence", ("coordination.remove_occurrence", lambda self, sound, id: sound(id) or True))

ACQUIRE = "coordination.acquire_lease"


def _acquire(change: Any) -> Any:
    """Store the result of ``change(stored lease, acquired lease, arguments)``."""

    def acquire_lease(self: Any, sound: Any, *arguments: Any) -> Any:
        stored = self._leases.rows.get(arguments[0])
        lease = sound(*arguments)
        lease = change(stored, lease, *arguments)
        if lease is not None:
            self._leases.put(lease.name, lease)
        return lease

    return (ACQUIRE, acquire_lease)


add("a_free_lease_is_refused", f"{ACQUIRE}.free", (ACQUIRE, always(None)))
add("a_lease_lasts_for_a_minute", f"{ACQUIRE}.free {ACQUIRE}.again", _acquire(lambda stored, lease, *_: lease and lease.replaced(expires_at=lease.acquired_at + timedelta(minutes=1))))
add("a_lease_is_taken_from_the_living", f"{ACQUIRE}.held {ACQUIRE}.race processes.take_over.lease", _acquire(lambda stored, lease, name, owner, now, until: lease or stored.replaced(owner=owner, fence=stored.fence + 1, acquired_at=now, expires_at=until)))
add("a_lease_expires_a_tick_early", f"{ACQUIRE}.held", (ACQUIRE, lambda self, sound, name, owner, now, until: sound(name, owner, now + TICK, until)))
add("a_lease_expires_a_tick_late", f"{ACQUIRE}.expired {ACQUIRE}.own_expired", (ACQUIRE, lambda self, sound, name, owner, now, until: sound(name, owner, now - TICK, until)))
add("all_leases_are_one", f"{ACQUIRE}.held", (ACQUIRE, lambda self, sound, name, *more: sound("job", *more)))
add("an_expired_lease_stays_taken", f"{ACQUIRE}.expired processes.take_over.lease", (ACQUIRE, lambda self, sound, name, *more: None if name in self._leases.rows and self._leases.rows[name].owner != more[0] else sound(name, *more)))
add("a_fence_does_not_grow", f"{ACQUIRE}.expired {ACQUIRE}.own_expired {ACQUIRE}.fence.race coordination.release_lease backend.reopen", _acquire(lambda stored, lease, *_: lease and lease.replaced(fence=1)))
add("a_fence_grows_by_two", f"{ACQUIRE}.expired", _acquire(lambda stored, lease, *_: lease and lease.replaced(fence=lease.fence + (stored is not None))))
add("a_fence_grows_when_the_holder_comes_again", f"{ACQUIRE}.again", _acquire(lambda stored, lease, *_: lease and lease.replaced(fence=stored.fence + 1 if stored else 1)))
add("acquired_at_moves_when_the_holder_comes_again", f"{ACQUIRE}.again", _acquire(lambda stored, lease, name, owner, now, until: lease and lease.replaced(acquired_at=now)))
add("a_holder_is_locked_out", f"{ACQUIRE}.again", (ACQUIRE, lambda self, sound, name, owner, now, until: None if name in self._leases.rows and self._leases.rows[name].expires_at > now else sound(name, owner, now, until)))
add("a_holder_who_comes_late_goes_on", f"{ACQUIRE}.own_expired", _acquire(lambda stored, lease, *_: lease and (lease.replaced(fence=stored.fence, acquired_at=stored.acquired_at) if stored and stored.owner == lease.owner else lease)))
for _method in ("renew_lease", "release_lease"):
    _clause = f"coordination.{_method}"
    add(f"{_method}_by_anybody", _clause, (_clause, lambda self, sound, name, owner, *more: sound(name, self._leases.rows[name].owner if name in self._leases.rows else owner, *more)))
    add(f"{_method}_with_any_fence", _clause, (_clause, lambda self, sound, name, owner, fence, *more: sound(name, owner, self._leases.rows[name].fence if name in self._leases.rows else fence, *more)))
    add(f"{_method}_after_it_expired", _clause, (_clause, lambda self, sound, name, owner, fence, now, *more: sound(name, owner, fence, now - timedelta(days=1), *more)))
    add(f"{_method}_does_nothing", _clause, (_clause, lambda self, sound, name, owner, fence, now, *more: self._held(name, owner, fence, now)))
add("a_release_forgets_the_fence", "coordination.release_lease", ("coordination.release_lease", lambda self, sound, name, *more: bool(sound(name, *more) and self._leases.delete([name]))))
add("expired_leases_are_listed_as_held", "coordination.list_leases", ("coordination.list_leases", lambda self, sound, held_at: sound(None)))
add("leases_are_held_a_tick_longer", "coordination.list_leases", ("coordination.list_leases", lambda self, sound, held_at: sound(held_at and held_at - TICK)))
add("leases_are_listed_without_case", "coordination.list_leases", ("coordination.list_leases", lambda self, sound, held_at: sorted(sound(held_at), key=lambda each: each.name.lower())))

# --- secrets ----------------------------------------------------------------------------------

add("deleting_a_secret_deletes_its_log", "secrets.delete", ("secrets.delete", lambda self, sound, ids: sound(ids) + 0 * self._accesses.delete([key for key, row in self._accesses.rows.items() if row.secret_id in ids])))
add("deleting_secrets_counts_what_was_asked", "secrets.delete", ("secrets.delete", lambda self, sound, ids: sound(ids) and len(ids)))
add("secrets_are_reencrypted_blindly", "secrets.reencrypt secrets.reencrypt.race", ("secrets.reencrypt", lambda self, sound, id, old, *more: sound(id, self._secrets.rows[id].ciphertext if id in self._secrets.rows else old, *more)))
add("reencrypt_leaves_the_key", "secrets.reencrypt", ("secrets.reencrypt", lambda self, sound, id, old, key, new: sound(id, old, self._secrets.rows[id].key_id if id in self._secrets.rows else key, new)))
add("reencrypt_is_always_fine", "secrets.reencrypt", ("secrets.reencrypt", lambda self, sound, *arguments: sound(*arguments) or True))
add("reencrypt_reaches_every_secret", "secrets.reencrypt", ("secrets.reencrypt", lambda self, sound, id, *more: max([sound(each, *more) for each in [*self._secrets.rows, id]]) if id in self._secrets.rows else False))
add("secrets_of_every_key_are_found", "secrets.find.order", ("secrets.find", lambda self, sound, page, key: sound(page, None)))
add("keys_have_no_case", "secrets.find.order", ("secrets.find", lambda self, sound, page, key: sound(page, key and key.lower())))
add("the_log_of_every_secret_is_listed", "secrets.list_access.order", ("secrets.list_access", lambda self, sound, page, id: sound(page, None)))
for _listing, _position in (("find", lambda row: (row.secret_id,)), ("list_access", lambda row: (row.at, row.access_id))):
    _target = f"secrets.{_listing}"
    add(f"{_target}_backwards", f"{_target}.order", (_target, lambda self, sound, page, id: ResultPage(sound(page, id).items[::-1], sound(page, id).next_after)))
    add(f"{_target}_ends_after_a_page", f"{_target}.order {_target}.next_after", (_target, lambda self, sound, page, id: ResultPage(sound(page, id).items)))
    add(f"{_target}_leads_to_an_empty_page", f"{_target}.next_after", (_target, lambda self, sound, page, id, position=_position: _with_next(sound(page, id).items, position)))
    add(f"{_target}_starts_over", f"{_target}.order", (_target, lambda self, sound, page, id: sound(replace(page, after=None), id)))


def _with_next(rows: Any, position: Any) -> Any:
    return ResultPage(rows, position(rows[-1]) if rows else None)


@plant("secrets.list_access.order", "secrets.list_access")
def the_log_leaves_ties_unordered(self: Any, sound: Any, page: Any, id: Any) -> Any:
    found = sound(page, id)
    backwards = found.items[::-1]
    return ResultPage(sorted(backwards, key=lambda row: row.at), found.next_after)


# --- audit ------------------------------------------------------------------------------------


@plant("audit.append.conflict", "audit.append")
def the_past_is_overwritten(self: Any, sound: Any, entries: Any) -> None:
    for entry in entries:
        self._entries.put((entry.chain, entry.sequence), entry)


@plant("audit.append.conflict", "audit.append")
def an_entry_that_exists_is_left_out(self: Any, sound: Any, entries: Any) -> None:
    sound([entry for entry in entries if (entry.chain, entry.sequence) not in self._entries.rows])


add("an_entry_that_exists_is_a_plain_conflict", "audit.append.conflict", ("audit.append", raises_plain_conflict))


@plant("audit.append.conflict audit.head.race", "audit.append")
def entries_are_renumbered(self: Any, sound: Any, entries: Any) -> None:
    for entry in entries:
        sound([entry.replaced(sequence=len(self._entries.rows) + 2)])


add("all_chains_have_one_head", "audit.head", ("audit.head", lambda self, sound, chain: max((sound(each) for each in self.chains() if sound(each)), default=None)))
add("the_head_is_the_number_of_entries", "audit.head.anchor", ("audit.head", lambda self, sound, chain: sound(chain) and (len([1 for name, _ in self._entries.rows if name == chain]), sound(chain)[1])))
add("the_head_is_that_of_before", "audit.head", ("audit.head", lambda self, sound, chain: max(((e.sequence, e.entry_hash) for e in self.before[9].values() if e.chain == chain), default=None)))
add("the_head_forgets_the_anchor", "audit.head.anchor", ("audit.head", lambda self, sound, chain: sound(chain) if any(name == chain for name, _ in self._entries.rows) else None))
add("numbers_are_ordered_as_text", "audit.find.order", ("audit.find", lambda self, sound, query: ResultPage(sorted(sound(query).items, key=lambda e: (e.chain, str(e.sequence))), sound(query).next_after)))
add("chains_are_ordered_without_case", "audit.chains audit.find.order", ("audit.chains", lambda self, sound: sorted(sound(), key=str.lower)), ("audit.find", lambda self, sound, query: ResultPage(sorted(sound(query).items, key=lambda e: (e.chain.lower(), e.sequence)), sound(query).next_after)))
add("a_chain_that_was_cut_whole_is_forgotten", "audit.chains", ("audit.chains", lambda self, sound: [each for each in sound() if any(name == each for name, _ in self._entries.rows)]))
add("chains_are_listed_for_each_entry", "audit.chains", ("audit.chains", lambda self, sound: sorted(name for name, _ in self._entries.rows)))
add("a_cut_removes_one_less", "audit.prune audit.prune.again", ("audit.prune", lambda self, sound, anchor: sound(anchor.replaced(sequence=anchor.sequence - 1))))
add("a_cut_removes_one_more", "audit.prune", ("audit.prune", lambda self, sound, anchor: sound(anchor) + self._entries.delete([(anchor.chain, anchor.sequence + 1)])))
add("a_cut_reaches_every_chain", "audit.prune", ("audit.prune", lambda self, sound, anchor: sound(anchor) + 0 * self._entries.delete([key for key in self._entries.rows if key[1] <= anchor.sequence])))
add("a_cut_leaves_no_anchor", "audit.prune audit.head.anchor", ("audit.prune", lambda self, sound, anchor: sound(anchor) + 0 * self._anchors.delete([anchor.chain])))
add("a_cut_keeps_the_first_anchor", "audit.prune.again", ("audit.prune", lambda self, sound, anchor: sound(anchor) + 0 * (self._anchors.put(anchor.chain, self.before[10].get(anchor.chain, anchor.replaced(sequence=1))) or 0)))
add("a_cut_counts_what_the_anchor_says", "audit.prune.again", ("audit.prune", lambda self, sound, anchor: sound(anchor) * 0 + anchor.removed_count))
add("the_anchor_of_any_chain", "audit.prune", ("audit.anchor", lambda self, sound, chain: next(iter(self._anchors.rows.values()), None)))


@plant("audit.head.race audit.head.waits", "audit.head", "audit.append")
def the_head_is_not_locked(self: Any, sound: Any, argument: Any) -> Any:
    # As if each read of the head happened before anyone else's write: two writers get the same number.
    if isinstance(argument, str):
        return None
    for entry in argument:
        self._entries.put((entry.chain, entry.sequence), entry)
    return None


# --- the open database ------------------------------------------------------------------------

add("a_new_store_is_not_empty", "backend.is_empty", ("backend.is_empty", always(False)))
for _name in TABLE_NAMES:
    if _name in ("edges", "documents", "streams", "stream_entries"):
        continue  # an edge needs nodes; for the others see the faults of documents and streams

    def _without(self: Any, sound: Any, name: str = _name) -> bool:
        rows = zip(TABLE_NAMES, self.database.committed, strict=True)
        return not any(rows for table, rows in rows if table != name)

    add(f"is_empty_overlooks_{_name}", "backend.is_empty.not", ("backend.is_empty", _without))
add("server_now_is_naive", "backend.server_now", ("backend.server_now", lambda self, sound: sound().replace(tzinfo=None)))


@plant("backend.server_now", "backend.server_now")
def server_now_goes_back(self: Any, sound: Any) -> Any:
    self.calls = vars(self).get("calls", 0) + 1
    return sound() - timedelta(seconds=self.calls)


def _places(backend: Any) -> threading.Semaphore:
    return cast(threading.Semaphore, vars(backend).setdefault("places", threading.Semaphore(4)))


@contextmanager
def _in_a_place(self: Any, sound: Any, **options: Any) -> Iterator[Any]:
    with _places(self), sound(**options) as session:
        yield session


def _asked_in_a_place(self: Any, sound: Any) -> Any:
    if not _places(self).acquire(timeout=1.0):
        raise PoolTimeout("no connection came free")
    _places(self).release()
    return sound()


add("server_now_needs_a_connection_of_its_own", "backend.server_now.inside", ("backend.session", _in_a_place), ("backend.server_now", _asked_in_a_place))
add("info_is_empty", "backend.info", ("backend.info", always({})))
add("stats_hold_what_no_report_can", "backend.info", ("backend.stats", lambda self, sound: {(1, 2): threading}))
add("a_closed_store_goes_on", "backend.close", ("backend.close", always(None)))


@plant("backend.close", "backend.close")
def closing_twice_is_an_error(self: Any, sound: Any) -> None:
    if self._database is None and not vars(self).setdefault("told", False):
        self.told = True
        raise StoreClosed("the store was closed")
    sound()


@plant("backend.open_twice", "harness.open")
def each_opening_has_a_store_of_its_own(self: Any, sound: Any, clock: Any) -> Any:
    self.name += "'"
    return sound(clock)


add("a_capability_is_not_announced", "backend.capabilities", ("harness.open", lambda self, sound, clock: _declaring(sound(clock), SOUND - {Capability.FULL_TEXT})))
add("a_capability_is_announced_too_much", "backend.capabilities", ("harness.open", lambda self, sound, clock: _declaring(sound(clock), SOUND | {Capability.CONCURRENT_WRITERS})))
add("capabilities_are_texts", "backend.capabilities", ("harness.open", lambda self, sound, clock: _declaring(sound(clock), frozenset(map(str.upper, SOUND)))))
add("preparing_is_always_allowed", "backend.prepare.refuses", ("backend.prepare", lambda self, sound, migrate: sound(migrate=True)))
add("preparing_is_never_allowed", "backend.prepare.current", ("backend.prepare", lambda self, sound, migrate: sound(migrate=migrate and self.database.__dict__.setdefault("first", True) and not self.database.__dict__.update(first=False)) if migrate else _refuse()))


def _refuse() -> None:
    raise DatabaseError("the schema is current")


def _declaring(backend: Any, capabilities: Any) -> Any:
    backend.capabilities = capabilities
    return backend


@plant("backend.prepare.current backend.prepare.race processes.first_start", "backend.prepare")
def preparing_empties_the_store(self: Any, sound: Any, *, migrate: bool) -> None:
    sound(migrate=migrate)
    self.database.committed = [{} for _ in TABLE_NAMES]


@plant("backend.prepare.race processes.first_start crashes.first_start", "backend.prepare")
def preparing_twice_is_an_error(self: Any, sound: Any, *, migrate: bool) -> None:
    if self.database.prepared:
        raise DatabaseError("the table exists already")
    sound(migrate=migrate)
