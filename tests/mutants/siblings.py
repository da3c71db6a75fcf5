"""Further faults of clauses: the second wrong implementation that comes to mind."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Session
from ciris_store_core.errors import InvalidArgument, NotFound, TransactionError, Unavailable
from ciris_store_core.inmemory.backend import Database
from ciris_store_core.inmemory.tables import Tables
from ciris_store_core.models import ThoughtStatus
from ciris_store_core.models.graph import SearchHit
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from tests.mutants.planting import SOUND, add, always, plant
from tests.mutants.records import bent, only, storing
from tests.mutants.transactions import OVERLAP, TASKS, THOUGHTS

# --- races: the last commit wins ----------------------------------------------------------------


def _last_wins(*, whole: bool) -> Any:
    """Begin at a snapshot without a lock; commit whole tables, or the changed ones of them."""

    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
        before = list(self.database.committed)

        def commit(database: Database, tables: Tables) -> None:
            time.sleep(OVERLAP)
            now = tables.snapshot()
            database.committed = now if whole else [new if new is not old else kept for old, new, kept in zip(before, now, database.committed, strict=True)]

        return self.transaction(commit, write=write, locked=False)

    return ("backend.session", session)


LOST = """
    graph.delete_nodes.race graph.increment.race graph.increment.single graph.lock_nodes.keeps correlations.add.race
    correlations.lock.keeps correlations.update.race tasks.update.race thoughts.update.race tasks.claim_next.race
    tasks.add_or_get.committed processes.add_or_get.race processes.claim_next.race processes.merge.race
    processes.audit.race processes.acquire_lease.race session.many session.isolation.whole
"""
add("the_last_commit_of_a_table_wins", " ".join(each for each in LOST.split() if each not in ("session.isolation.whole", "graph.delete_nodes.race")), _last_wins(whole=False))
add("the_last_commit_wins", "session.many graph.increment.race", _last_wins(whole=True))

# --- claims -----------------------------------------------------------------------------------


@plant("tasks.claim_next.no_waiting", "backend.session", capabilities=SOUND | {Capability.CONCURRENT_WRITERS})
@contextmanager
def claims_wait_for_one_another(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    try:
        self._wait_seconds = 0.01
        with sound(write=write, single=single) as opened:
            yield opened
    except Unavailable as error:
        raise TransactionError("another claim is open") from error


def _and_thoughts(self: Any, sound: Any, ids: Any, source: str, target: str, now: Any) -> Any:
    for key, row in list(self._thoughts.rows.items()):
        if row.source_task_id in ids and row.agent_occurrence_id == source:
            self._thoughts.change(key, updated_at=now)
            self._thoughts.delete([key])
    return sound(ids, source, target, now)


add("a_transfer_deletes_thoughts", "tasks.transfer.thoughts", ("tasks.transfer", _and_thoughts))
add("a_claim_is_not_locked", "tasks.lock_claim.keeps", ("tasks.lock_claim", always(None)), _last_wins(whole=False))


add("a_transferred_task_is_hidden", "tasks.transfer.readers", ("tasks.get", lambda self, sound, ids, owner: [each for each in sound(ids, owner) if each.agent_occurrence_id != "b"]))
add(
    "edges_are_neither_checked_nor_deleted", "graph.delete_nodes.race",
    ("graph.put_edges", lambda self, sound, edges, *now: [self._edges.put(each.key, each) for each in edges]),
    ("graph._delete_edges_of", always(None)),
)  # fmt: skip
for _clause in ("zombie", "task"):
    add(f"a_fence_does_not_grow_on_release_for_{_clause}", f"processes.take_over.{_clause}", ("tasks.release", lambda self, sound, owner, now, limit: [self._tasks.change(each.task_id, fence=each.fence - 1) or self._tasks.rows[each.task_id] for each in sound(owner, now, limit)]))
add("leases_are_renewed_without_a_fence", "processes.take_over.zombie", ("coordination.renew_lease", lambda self, sound, name, owner, fence, now, until: name in self._leases.rows))

# --- crashes and processes ----------------------------------------------------------------------


def _late(self: Any, sound: Any, *, write: bool, single: bool = False, delay: int = 1) -> Any:
    """Store what is committed with the commit after it."""

    def commit(database: Database, tables: Tables) -> None:
        queue = vars(self).setdefault("queue", [])
        queue.append(tables.snapshot())
        if len(queue) > delay:
            database.committed = queue.pop(0)

    @contextmanager
    def session() -> Iterator[Session]:
        with self.transaction(commit, write=write) as opened:
            if vars(self).get("queue"):
                opened._tables.restore(self.queue[-1])
            yield opened

    return session()


add("commits_are_stored_one_commit_late", "crashes.after_commit", ("backend.session", _late))
add("commits_are_never_stored", "crashes.after_commit processes.visible", ("backend.session", lambda self, sound, *, write, single=False: _late(self, sound, write=write, single=single, delay=10**6)))


@plant("crashes.before_commit", "tasks.add")
def tasks_are_stored_before_the_commit(self: Any, sound: Any, tasks: Any) -> None:
    sound(tasks)
    rows = list(self.lab.database.committed)
    rows[TASKS] = {**rows[TASKS], **{each.task_id: each for each in tasks}}
    self.lab.database.committed = rows


@plant("crashes.in_batch", "tasks.add")
def the_first_half_of_a_batch_is_committed(self: Any, sound: Any, tasks: Any) -> None:
    half = len(tasks) // 2
    sound(tasks[:half])
    rows = list(self.lab.database.committed)
    rows[TASKS] = {**rows[TASKS], **{each.task_id: each for each in tasks[:half]}}
    self.lab.database.committed = rows
    sound(tasks[half:])


@plant("crashes.any_moment", "backend.session")
@contextmanager
def tasks_are_stored_before_their_thoughts(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def commit(database: Database, tables: Tables) -> None:
        rows = tables.snapshot()
        kept = database.committed[TASKS]
        database.committed = [*rows[:TASKS], kept, *rows[TASKS + 1 :]]
        self.tasks_to_store = rows[TASKS]

    with self.transaction(commit, write=write) as opened:
        if "tasks_to_store" in vars(self):
            opened._tables.tasks.restore(self.tasks_to_store)
        yield opened


@plant("crashes.first_start", "backend.prepare")
def a_first_start_is_never_finished(self: Any, sound: Any, *, migrate: bool) -> None:
    if vars(self.database).setdefault("begun", False):
        raise Unavailable("another process is migrating")
    self.database.begun = True
    sound(migrate=migrate)


# --- reading, counting, listing -----------------------------------------------------------------

for _store, _query in (("tasks", TaskQuery), ("thoughts", ThoughtQuery)):
    add(f"{_store}_are_counted_after_the_cursor", f"{_store}.count", (f"{_store}.count", lambda self, sound, query: len(self.find(replace(query, limit=10**6)).items)))
    add(f"{_store}_are_counted_without_filter", f"{_store}.count", (f"{_store}.count", lambda self, sound, query, make=_query: sound(make())))
add("nodes_are_counted_after_the_cursor", "graph.count_nodes", ("graph.count_nodes", lambda self, sound, query: len(self.list_nodes(replace(query, limit=10**6)).items)))
add("nodes_are_counted_without_filter", "graph.count_nodes", ("graph.count_nodes", lambda self, sound, query: len(self._nodes.rows)))
add("correlations_of_an_empty_store_cannot_be_listed", "correlations.count", ("correlations.find", lambda self, sound, query: sound(query) if self._table.rows else None))
add("an_empty_listing_of_nodes_leads_on", "graph.list_nodes.empty", ("graph.list_nodes", lambda self, sound, query: sound(query) if self._nodes.rows else ResultPage([], (query.now, "", ""))))
add("nodes_of_an_empty_store_are_counted_as_none", "graph.list_nodes.empty", ("graph.count_nodes", lambda self, sound, query: sound(query) or None))
add("expired_nodes_fill_the_page", "graph.list_nodes.filter_before_limit", ("graph.list_nodes", lambda self, sound, query: replace(page := sound(replace(query, now=None)), items=[row for row in page.items if query.now is None or row.expires_at is None])))
add("events_of_one_microsecond_are_the_last_of_it", "correlations.find.same_microsecond", ("correlations.find", lambda self, sound, query: replace(page := sound(query), items=list({row.timestamp: row for row in page.items}.values()))))
add("moments_are_open_at_their_end", "correlations.find.same_microsecond", ("correlations._matching", lambda self, sound, where: sound(replace(where, time_to_exclusive=True))))
add("neighbours_of_other_scopes_too", "graph.neighbours.scope", ("graph.neighbours", lambda self, sound, ids, scope, *more: sound(ids, "local", *more)))
add("neighbours_of_no_scope_but_local", "graph.neighbours.scope", ("graph.neighbours", lambda self, sound, ids, scope, *more: sound(ids, scope, *more) if scope == "local" else []))
add("degrees_are_those_of_every_scope", "graph.degrees.relationships", ("graph.degrees", lambda self, sound, scope, direction, *more: sound("network", direction, *more) or sound(scope, direction, *more)))

# --- walks ------------------------------------------------------------------------------------

WALK = "graph.traverse"


def _walk(**wrong: Any) -> Any:
    return (WALK, lambda self, sound, walk: sound(replace(walk, **wrong)))


add("a_walk_goes_both_ways", f"{WALK}.direction", _walk(direction="both"))
add("a_walk_goes_along_everything", f"{WALK}.relationships", _walk(relationships=()))
add("a_walk_goes_along_the_first_relationship", f"{WALK}.relationships", (WALK, lambda self, sound, walk: sound(replace(walk, relationships=walk.relationships[:1]))))
add("a_walk_is_in_every_scope", f"{WALK}.scope", (WALK, lambda self, sound, walk: replace(found := sound(walk), distances={**{each: 9 for key in self._edges.rows for each in key[:2]}, **found.distances})))
add("a_walk_visits_its_start_again", f"{WALK}.cycles", (WALK, lambda self, sound, walk: replace(found := sound(walk), distances={**found.distances, **dict.fromkeys(walk.start, max(found.distances.values()) + 1)})))
add("a_walk_takes_the_longest_way", f"{WALK}.cycles", (WALK, lambda self, sound, walk: replace(found := sound(walk), distances={key: distance * 3 for key, distance in found.distances.items()})))
add("a_path_is_the_first_that_is_found", "graph.shortest_path.fewest", ("graph.shortest_path", lambda self, sound, walk, target: _deepest(self, walk, target)))
add("a_path_leaves_out_its_middle", "graph.shortest_path.fewest", ("graph.shortest_path", lambda self, sound, walk, target: (found := sound(walk, target)) and [found[0], found[-1]]))


def _deepest(self: Any, walk: Any, target: str) -> list[str] | None:
    """Walk to the depth first."""
    def go(trail: list[str]) -> list[str] | None:
        if trail[-1] == target:
            return trail
        for far in sorted({far for _, far in self._links([trail[-1]], walk)} - set(trail)):
            if found := go([*trail, far]):
                return found
        return None

    return go([walk.start[0]])


# --- search -----------------------------------------------------------------------------------

SEARCH = "graph.search"
add("search_finds_what_was_written_before", f"{SEARCH}.fresh", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if hit.node.key in self.before[0]] if len(self._nodes.rows) < 2 else sound(query)), ("graph.get_nodes", always([])), ("graph.delete_nodes", always(0)))
add("a_search_of_odd_words_fails", f"{SEARCH}.hostile", (SEARCH, lambda self, sound, query: sound(query) if all(each.isalnum() for each in query.words) else (_ for _ in ()).throw(InvalidArgument("syntax error"))))
add("a_search_drops_odd_words", f"{SEARCH}.hostile", (SEARCH, lambda self, sound, query: [SearchHit(node, 1.0) for node in self._nodes.rows.values() if "dog" in node.id and query.words]))
add("case_is_kept_in_words", f"{SEARCH}.words.folding", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if all(word in f"{hit.node.attributes}".lower() for word in query.words)]))
add("digits_of_other_scripts_are_other_words", f"{SEARCH}.words.folding", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if not any(word.isdigit() for word in query.words)]))
add("repeats_are_searched_one_by_one", f"{SEARCH}.words.repeats", (SEARCH, lambda self, sound, query: time.sleep(1.1) or sound(query)))
add("changes_of_words_are_added_only", f"{SEARCH}.words.changes", (SEARCH, lambda self, sound, query: sound(query) or [SearchHit(node, 1.0) for node in self._nodes.rows.values() if query.words[0] in ("old", "more")]))
add("words_of_a_merge_replace_all_others", f"{SEARCH}.words.changes", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if query.words != ("shared",)]))
add("a_node_has_few_words", f"{SEARCH}.words.most", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if len(str(hit.node.attributes)) < 1_000_000]))
add("words_of_a_large_node_stay", f"{SEARCH}.words.most", (SEARCH, lambda self, sound, query: sound(query) or [SearchHit(node, 1.0) for node in self._nodes.rows.values() if query.words[0] == "0124000"]))

# --- records ------------------------------------------------------------------------------------

add("json_is_refused_at_99_levels", "records.json.depth", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes, now) if all(str(each.node.attributes).count("{") < 100 for each in writes) else (_ for _ in ()).throw(InvalidArgument("too deep"))))
add("long_texts_are_cut_at_a_million", "records.json.size", *storing(lambda record: bent(record, only(str)(lambda text: text[:10**6]))))
add("long_texts_are_refused", "records.json.size", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes, now) if all(len(str(each.node.attributes)) < 2**20 for each in writes) else (_ for _ in ()).throw(InvalidArgument("too long"))))


@plant("records.batch", "audit.append")
def a_trail_needs_a_transaction_of_its_own(self: Any, sound: Any, entries: Any) -> None:
    if not any(map(len, (self.before[TASKS], self.before[THOUGHTS]))):
        return
    sound(entries)


# --- writing nodes and edges ----------------------------------------------------------------------


def _kept(change: Callable[[Any, Any, Any], Any]) -> Any:
    def put_nodes(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        before = dict(self._nodes.rows)
        nodes = sound(writes, now)
        for node, write in zip(nodes, writes, strict=True):
            self._nodes.put(node.key, change(node, write, before.get(node.key)))
        return self._nodes.pick([node.key for node in nodes])

    return ("graph.put_nodes", put_nodes)


PUT = "graph.put_nodes"
add("keys_with_signs_are_nested", f"{PUT}.merge.keys", _kept(lambda node, write, stored: node if stored is None else node.replaced(attributes={key.strip('"$'): value for key, value in node.attributes.items()})))
add("a_replace_keeps_what_is_not_given", f"{PUT}.replace", _kept(lambda node, write, stored: node if stored is None or write.mode != "replace" else node.replaced(attributes={**stored.attributes, **node.attributes})))
add("a_replace_changes_nothing_that_is_there", f"{PUT}.replace", _kept(lambda node, write, stored: node if stored is None or write.mode != "replace" else node.replaced(attributes={**node.attributes, **{key: value for key, value in stored.attributes.items() if key in node.attributes}})))
add("all_scopes_have_the_first_ones_attributes", f"{PUT}.scopes", ("graph.get_nodes", lambda self, sound, keys, now: [each.replaced(attributes=next(iter(self._nodes.rows.values())).attributes) for each in sound(keys, now)]))
add("2000_nodes_are_deleted_in_part", "graph.delete_nodes.batch", ("graph.delete_nodes", lambda self, sound, keys, *now: sound(keys[:1999], *now)))
add("2000_nodes_are_counted_in_part", "graph.delete_nodes.batch", ("graph.delete_nodes", lambda self, sound, keys, *now: sound(keys, *now) % 1000))
add("2000_edges_are_read_in_part", "graph.put_edges.batch", ("graph.get_edges", lambda self, sound, keys, *now: sound(keys[:1000], *now)))
add("ends_that_expire_later_are_refused", "graph.put_edges.expired_end", ("graph.put_edges", lambda self, sound, edges, now=None: sound(edges, now) if now is None or not any(row.expires_at for row in self._nodes.rows.values() if row.id in {end for each in edges for end in each.key[:2]}) else (_ for _ in ()).throw(NotFound("there is no 'x'"))))
add("edges_of_what_expired_count", "graph.delete_edges.expired", ("graph.delete_edges", lambda self, sound, keys, now=None: sound(keys)))
add("edges_of_what_may_expire_stay", "graph.delete_edges.expired", ("graph.delete_edges", lambda self, sound, keys, now=None: sound(keys, now) if now is None else sound([key for key in keys if "x" not in key[:2]], now)))


@plant("graph.put_edges.same_transaction", "graph.put_edges")
def ends_are_checked_in_what_was_committed(self: Any, sound: Any, edges: Any, *now: Any) -> Any:
    if any((end, each.scope) not in self.before[0] for each in edges for end in each.key[:2]):
        raise NotFound("an edge needs both of its nodes")
    return sound(edges, *now)


# --- tasks, thoughts, correlations ----------------------------------------------------------------

_KEPT = {"tasks": "signature", "thoughts": "ponder_notes", "correlations": "log_data"}
for _store, _field in _KEPT.items():
    add(f"{_field}_of_{_store}_cannot_be_taken_away", f"{_store}.update.to_none", (f"{_store}.update", lambda self, sound, id, changes, *more, field=_field: sound(id, {name: value for name, value in changes.items() if name != field or value is not None}, *more)))
add("the_context_of_a_task_is_found_by_what_it_was", "tasks.update.found", ("tasks._matching", lambda self, sound, query: sound(query) if query.correlation_id is None else [row for key, row in self._tasks.rows.items() if (self.before[TASKS].get(key) or row).context is not None and query.correlation_id == "old"]))
add("an_update_of_a_missing_correlation_adds_it", "correlations.update.missing", ("correlations.update", lambda self, sound, id, changes, *now: sound(id, changes, *now) or id not in self._table.rows))
add("the_expiry_counts_from_the_creation", "correlations.update.expiry", ("correlations.delete_expired", lambda self, sound, now, limit: self._table.delete([key for key, row in self._table.rows.items() if row.ttl_seconds and row.created_at <= now][:limit])))
add("expired_correlations_are_kept_by_a_delete", "correlations.delete.expired", ("correlations.delete", lambda self, sound, ids, now=None: sound([each for each in ids if each in self._table.rows and (now is None or self._table.rows[each].expires_at is None)], now)))
add("finished_thoughts_are_retried", "thoughts.retry.not_failed", ("thoughts.retry", lambda self, sound, id, owner, most, now: self.update(id, {"status": ThoughtStatus.PENDING, "retry_count": 1, "updated_at": now}, owner) if self._thoughts.rows[id].status == ThoughtStatus.COMPLETED else sound(id, owner, most, now)))
add("descendants_to_a_depth_of_998", "tasks.delete.deep", ("tasks.delete", lambda self, sound, ids: sound(ids) if len(self._tasks.rows) < 999 else (_ for _ in ()).throw(InvalidArgument("too deep"))))
add("a_lock_of_a_claim_is_none", "tasks.lock_claim.fence", ("tasks.lock_claim", lambda self, sound, id, fence: None if self._tasks.rows.get(id) is None else sound(id, fence)))


@plant("correlations.aggregate.microseconds", "correlations.aggregate")
def buckets_are_of_whole_milliseconds(self: Any, sound: Any, query: Any) -> Any:
    points = sound(query)
    return points[:-1] if query.bucket.microseconds % 1000 else points


@plant("correlations.aggregate.microseconds", "correlations.aggregate")
def odd_buckets_begin_at_the_first_row(self: Any, sound: Any, query: Any) -> Any:
    first = min(row.timestamp for row in self._scan(query.where))
    return [replace(point, start=first + index * query.bucket) for index, point in enumerate(sound(query))]
