"""Faults against clauses that settle cases: loops, repeats, absent ids, times that go back, threads and closing."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Session
from ciris_store_core.contract.aggregation import aggregate_rows
from ciris_store_core.errors import NotFound, Unavailable
from ciris_store_core.models import Degree, Direction, Resolution
from ciris_store_core.models.graph import NodeQuery, SearchHit
from ciris_store_core.models.operations import PendingMigration
from tests.mutants.planting import SOUND, add, plant

# --- loops, raw rows, references --------------------------------------------------------------


def _loops(count: int) -> Any:
    """Count the edges of a node to itself otherwise, in both directions."""

    def degrees(self: Any, sound: Any, scope: Any, direction: Any, *more: Any) -> Any:
        found = sound(scope, direction, *more)
        loops = [key.source for key in self._edges.rows if key.source == key.target and key.scope == scope]
        if direction != Direction.BOTH:
            return found
        counts = [Degree(each.id, each.count + loops.count(each.id) * (count - 2)) for each in found]
        return sorted((each for each in counts if each.count), key=lambda each: (-each.count, each.id))

    return ("graph.degrees", degrees)


add("a_loop_counts_once", "graph.degrees.loops", _loops(1))
add("a_loop_does_not_count", "graph.degrees.loops", _loops(0))

AGGREGATE = "correlations.aggregate"


def _said(name: str) -> Any:
    """Read one field about samples of raw rows, too."""

    def aggregate(self: Any, sound: Any, query: Any) -> Any:
        def kept(row: Any) -> Any:
            if row.metric_data is None or row.resolution != Resolution.RAW:
                return row
            data = row.metric_data.replaced(**{each: None for each in ("sample_count", "sample_sum", "last_timestamp", "min_value", "max_value") if each != name})
            return row.replaced(metric_data=data, resolution=Resolution.HOURLY)

        return aggregate_rows(list(map(kept, self._scan(query.where))), query)

    return (AGGREGATE, aggregate)


for _name in ("sample_count", "sample_sum", "last_timestamp"):
    add(f"a_{_name}_of_a_raw_row_counts", f"{AGGREGATE}.raw_samples", _said(_name))
for _name in ("min_value", "max_value"):
    add(f"a_{_name}_of_a_raw_row_counts", f"{AGGREGATE}.raw_extremes", _said(_name))


def _refs(order: Any) -> Any:
    def put_nodes(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        before = {key: row.secret_refs for key, row in self._nodes.rows.items()}
        nodes = sound(writes, now)
        for node, write in zip(nodes, writes, strict=True):
            if write.mode == "merge":
                self._nodes.change(node.key, secret_refs=order(before.get(node.key, []), write.node.secret_refs))
        return self._nodes.pick([node.key for node in nodes])

    return ("graph.put_nodes", put_nodes)


add("merged_refs_are_sorted", "graph.put_nodes.secret_refs", _refs(lambda old, new: sorted({*old, *new})))
add("new_refs_come_first", "graph.put_nodes.secret_refs", _refs(lambda old, new: list(dict.fromkeys([*new, *old]))))
add("repeats_of_new_refs_stay", "graph.put_nodes.secret_refs", _refs(lambda old, new: [*old, *(each for each in new if each not in old)]))
add("a_search_without_words_finds_all", "graph.search.no_words", ("graph.search", lambda self, sound, query: sound(query) if query.words else [SearchHit(node, 0.0) for node in self.list_nodes(NodeQuery()).items]))


@plant("graph.search.no_words", "graph.search")
def a_search_without_words_fails(self: Any, sound: Any, query: Any) -> Any:
    if not query.words:
        raise NotFound("no words")
    return sound(query)


# --- thoughts that come along, leases, heartbeats ---------------------------------------------


def _thoughts_keep_their_time(self: Any, sound: Any, *arguments: Any) -> Any:
    times = {key: row.updated_at for key, row in self._thoughts.rows.items()}
    found = sound(*arguments)
    for key, moment in times.items():
        self._thoughts.change(key, updated_at=moment)
    return found


def _all_thoughts_are_new(self: Any, sound: Any, *arguments: Any) -> Any:
    found = sound(*arguments)
    for key, row in self._thoughts.rows.items():
        if any(row.source_task_id == each.task_id for each in found):
            self._thoughts.change(key, updated_at=found[0].updated_at)
    return found


for _method in ("claim_next", "release"):
    add(f"thoughts_keep_their_time_in_{_method}", f"tasks.{_method}.thoughts", (f"tasks.{_method}", _thoughts_keep_their_time))
    add(f"finished_thoughts_are_new_in_{_method}", f"tasks.{_method}.thoughts", (f"tasks.{_method}", _all_thoughts_are_new))


def _longest(self: Any, sound: Any, name: str, owner: str, now: Any, until: Any) -> Any:
    stored = self._leases.rows.get(name)
    mine = stored is not None and stored.owner == owner and now < stored.expires_at
    return sound(name, owner, now, max(until, stored.expires_at) if mine else until)


def _shorter_is_refused(self: Any, sound: Any, name: str, owner: str, now: Any, until: Any) -> Any:
    stored = self._leases.rows.get(name)
    return None if stored is not None and stored.owner == owner and until < stored.expires_at else sound(name, owner, now, until)


add("a_lease_is_never_shortened", "coordination.acquire_lease.shorter", ("coordination.acquire_lease", _longest))
add("a_shorter_lease_is_refused", "coordination.acquire_lease.shorter", ("coordination.acquire_lease", _shorter_is_refused))
add("a_lease_is_renewed_to_the_longest", "coordination.acquire_lease.shorter", ("coordination.renew_lease", lambda self, sound, name, owner, fence, now, until: sound(name, owner, fence, now, max(until, self._leases.rows[name].expires_at))))
add("a_heartbeat_never_goes_back", "coordination.heartbeat.earlier", ("coordination.heartbeat", lambda self, sound, id, at, until: sound(id, max(at, self._occurrences.rows[id].heartbeat_at), max(until, self._occurrences.rows[id].expires_at))))
add("an_earlier_heartbeat_is_refused", "coordination.heartbeat.earlier", ("coordination.heartbeat", lambda self, sound, id, at, until: at >= self._occurrences.rows[id].heartbeat_at and sound(id, at, until)))
add("a_heartbeat_moves_one_time_back", "coordination.heartbeat.earlier", ("coordination.heartbeat", lambda self, sound, id, at, until: sound(id, at, max(until, self._occurrences.rows[id].expires_at))))

# --- deletes ----------------------------------------------------------------------------------


def _from_absent_parents(self: Any, sound: Any, ids: Any) -> Any:
    children = [key for key, row in self._tasks.rows.items() if row.parent_task_id in ids and row.parent_task_id not in self._tasks.rows]
    return sound([*ids, *children])


def _thoughts_of_absent_tasks(self: Any, sound: Any, ids: Any) -> Any:
    self._thoughts.delete([key for key, row in self._thoughts.rows.items() if row.source_task_id in ids])
    return sound(ids)


add("children_of_absent_tasks_are_deleted", "tasks.delete.absent", ("tasks.delete", _from_absent_parents))
add("thoughts_of_absent_tasks_are_deleted", "tasks.delete.absent", ("tasks.delete", _thoughts_of_absent_tasks))


def _absent_is_an_error(self: Any, sound: Any, ids: Any, *more: Any) -> Any:
    count = sound(ids, *more)
    if count < len(ids):
        raise NotFound("some of these are not there")
    return count


for _target in ("tasks.delete", "thoughts.delete", "correlations.delete", "secrets.delete", "graph.delete_nodes", "graph.delete_edges"):
    _clause = "tasks.delete.absent" if _target == "tasks.delete" else "delete.repeats"
    add(f"{_target}_of_an_absent_id_is_an_error", _clause, (_target, _absent_is_an_error))
    add(f"{_target}_counts_repeats", _clause, (_target, lambda self, sound, ids, *more: sum(sound([each], *more) for each in dict.fromkeys(ids)) + len(ids) - len(set(ids))))


def _needs_its_parent(self: Any, sound: Any, rows: Any) -> Any:
    if any(row.parent_task_id not in (None, *self._tasks.rows) for row in rows):
        raise NotFound("no such parent")
    return sound(rows)


def _needs_its_task(self: Any, sound: Any, rows: Any) -> Any:
    if any(row.source_task_id not in self._tasks.rows for row in rows):
        raise NotFound("no such task")
    return sound(rows)


add("a_child_needs_its_parent", "tasks.delete.meanwhile", ("tasks.add", _needs_its_parent))
add("a_thought_needs_its_task", "tasks.delete.meanwhile thoughts.add.without_task", ("thoughts.add", _needs_its_task))
add("a_child_of_a_deleted_parent_is_no_orphan", "tasks.delete.meanwhile", ("tasks._is_orphan", lambda self, sound, task: sound(task) and task.parent_task_id in self._tasks.rows))


@plant("tasks.delete.meanwhile", "tasks.add")
def adding_a_child_brings_its_parent_back(self: Any, sound: Any, rows: Any) -> Any:
    gone = vars(self.lab).setdefault("gone_tasks", {})
    gone.update(self.before[3])
    for row in rows:
        if row.parent_task_id and row.parent_task_id not in self._tasks.rows:
            sound([row.replaced(task_id=row.parent_task_id, parent_task_id=None)])
    return sound(rows)


# --- the open store ---------------------------------------------------------------------------

NOW = "backend.server_now"
add("server_now_is_in_milliseconds", f"{NOW}.precision", (NOW, lambda self, sound: (now := sound()).replace(microsecond=now.microsecond // 1000 * 1000)))
add("server_now_is_in_seconds", f"{NOW}.precision", (NOW, lambda self, sound: sound().replace(microsecond=0)))
add("server_now_is_rounded_up", f"{NOW}.precision", (NOW, lambda self, sound: (now := sound()) + timedelta(microseconds=-now.microsecond % 1000)))
add("info_says_nothing_of_power_cuts", "backend.info.durability", ("backend.info", lambda self, sound: {**sound(), "survives_power_loss": None}))
add("info_names_no_setting", "backend.info.durability", ("backend.info", lambda self, sound: {**sound(), "durability_settings": ""}))
add("nothing_of_a_schema_is_pending", "backend.pending.blank", ("backend.info", lambda self, sound: {**sound(), "schema_version": 3}))
add("a_part_of_a_schema_is_pending", "backend.pending.blank", ("backend.info", lambda self, sound: {**sound(), "schema_version": 3}), ("backend.pending", lambda self, sound: [] if self.database.prepared else [PendingMigration(1, "first", ("CREATE TABLE t",))]))


@plant("session.second", "backend.session")
@contextmanager
def a_thread_waits_for_itself(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    own = vars(self).setdefault("own_thread", threading.local())
    if write and getattr(own, "writing", False):
        time.sleep(6)
        raise Unavailable("another transaction has been writing for over 6 s")
    own.writing = write
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    finally:
        own.writing = False


@plant("session.second", "backend.session")
@contextmanager
def a_second_session_is_the_first(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    own = vars(self).setdefault("own_thread", threading.local())
    if write and getattr(own, "session", None) is not None:
        yield own.session
        return
    with sound(write=write, single=single) as opened:
        own.session = opened if write else getattr(own, "session", None)
        try:
            yield opened
        finally:
            own.session = None


@plant("session.second", "backend.session", capabilities=SOUND | {Capability.CONCURRENT_WRITERS})
def a_second_session_is_refused_where_many_may_write(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
    return sound(write=write, single=single)


def _closing(early: bool) -> Any:
    """Store a transaction that is open when the store is closed in part, or not at all."""

    @contextmanager
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
        def commit(database: Any, tables: Any) -> None:
            if self._database is not None:
                database.committed = tables.snapshot()
            elif early:
                rows = tables.snapshot()
                rows[3] = dict(list(rows[3].items())[:1])
                database.committed = rows

        with self.transaction(commit, write=write) as opened:
            yield opened

    return ("backend.session", session)


add("close_drops_an_open_transaction_silently", "backend.close.transaction", _closing(False))
add("close_stores_a_part_of_an_open_transaction", "backend.close.transaction", _closing(True))
