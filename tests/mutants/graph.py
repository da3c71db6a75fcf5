"""Faults of the graph memory."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.errors import AlreadyExists, Conflict, InvalidArgument, NotSupported
from ciris_store_core.models import Direction
from ciris_store_core.models.graph import NodeKey, SearchHit, TraversalResult
from tests.mutants.planting import SOUND, add, always, plant, raises_plain_conflict

# --- writing nodes ----------------------------------------------------------------------------


def _writes(change: Any) -> Any:
    """Replace each write by ``change(write, stored node)``."""

    def put_nodes(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        return sound([change(write, self._nodes.rows.get(write.node.key)) for write in writes], now)

    return ("graph.put_nodes", put_nodes)


def _stores(change: Any) -> Any:
    """Store ``change(correct node, write, stored node)`` instead of each node."""

    def put_nodes(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        before = dict(self._nodes.rows)
        nodes = sound(writes, now)
        for node, write in zip(nodes, writes, strict=True):
            self._nodes.put(node.key, change(node, write, before.get(node.key)))
        return self._nodes.pick(node.key for node in nodes)

    return ("graph.put_nodes", put_nodes)


def _node(write: Any, **fields: Any) -> Any:
    return replace(write, node=write.node.replaced(**fields))


PUT = "graph.put_nodes"
add("a_merge_overwrites", f"{PUT}.merge {PUT}.atomic {PUT}.not_yet_expired", _writes(lambda write, stored: replace(write, mode="replace" if write.mode == "merge" else write.mode)))
add("a_merge_is_deep", f"{PUT}.merge", _stores(lambda node, write, stored: node if stored is None or write.mode != "merge" else node.replaced(attributes=_deep(stored.attributes, write.node.attributes))))
add("old_keys_win", f"{PUT}.merge", _stores(lambda node, write, stored: node if stored is None or write.mode != "merge" else node.replaced(attributes={**write.node.attributes, **stored.attributes})))
add("a_merge_with_none_removes", f"{PUT}.merge", _stores(lambda node, write, stored: node.replaced(attributes={k: v for k, v in node.attributes.items() if v is not None})))
add("a_merge_takes_keys_for_paths", f"{PUT}.merge.keys", _stores(lambda node, write, stored: node.replaced(attributes={k: v for k, v in node.attributes.items() if "." not in k})))
add("a_replace_merges", f"{PUT}.replace", _writes(lambda write, stored: replace(write, mode="merge" if write.mode == "replace" else write.mode)))
add("nothing_is_removed", f"{PUT}.remove {PUT}.remove.new", _writes(lambda write, stored: replace(write, remove=())))
add("keys_are_removed_before_the_merge", f"{PUT}.remove", _stores(lambda node, write, stored: node.replaced(attributes={**node.attributes, **write.node.attributes})))
add("removing_takes_keys_for_prefixes", f"{PUT}.remove", _stores(lambda node, write, stored: node.replaced(attributes={k: v for k, v in node.attributes.items() if not any(k.startswith(each) for each in write.remove)})))
add("nothing_is_removed_from_new_nodes", f"{PUT}.remove.new", _writes(lambda write, stored: replace(write, remove=()) if stored is None else write))
add("created_at_moves", f"{PUT}.existing", _stores(lambda node, write, stored: node.replaced(created_at=write.node.created_at)))
add("updated_at_stays", f"{PUT}.existing", _stores(lambda node, write, stored: node if stored is None else node.replaced(updated_at=stored.updated_at)))
add("the_revision_stays", f"{PUT}.existing {PUT}.returns_stored {PUT}.expired", _stores(lambda node, write, stored: node if stored is None else node.replaced(revision=stored.revision)))
add("the_revision_is_as_given", f"{PUT}.existing {PUT}.new", _stores(lambda node, write, stored: node.replaced(revision=write.node.revision)))
add("revisions_start_at_zero", f"{PUT}.new {PUT}.expected_revision", _stores(lambda node, write, stored: node if stored else node.replaced(revision=0)))
add("a_new_node_forgets_its_author", f"{PUT}.new", _stores(lambda node, write, stored: node.replaced(updated_by=None)))
add("every_field_counts_as_given", f"{PUT}.kept_unless_given {PUT}.given.each", _writes(lambda write, stored: replace(write, given=frozenset(("version", "updated_by", "consent_stream", "expires_at", "metadata")))))
add("no_field_counts_as_given", f"{PUT}.kept_unless_given {PUT}.given.each", _writes(lambda write, stored: replace(write, given=frozenset())))
add("given_fields_count_where_they_are_not_none", f"{PUT}.kept_unless_given", _writes(lambda write, stored: replace(write, given=frozenset(each for each in write.given if getattr(write.node, each) is not None))))
add("one_given_field_brings_all", f"{PUT}.given.each", _writes(lambda write, stored: replace(write, given=frozenset(("version", "updated_by", "consent_stream", "expires_at", "metadata")) if write.given else write.given)))
add("secret_refs_are_forgotten_by_a_merge", f"{PUT}.secret_refs", _stores(lambda node, write, stored: node.replaced(secret_refs=write.node.secret_refs)))
add("secret_refs_repeat", f"{PUT}.secret_refs", _stores(lambda node, write, stored: node if stored is None else node.replaced(secret_refs=[*stored.secret_refs, *write.node.secret_refs])))
add("secret_refs_stay_for_ever", f"{PUT}.secret_refs", _stores(lambda node, write, stored: node if stored is None else node.replaced(secret_refs=list(dict.fromkeys([*stored.secret_refs, *write.node.secret_refs])))))
add("what_expired_shines_through", f"{PUT}.expired {PUT}.expired.absent", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes, now - timedelta(days=1))))
add("an_expired_node_starts_at_revision_one", f"{PUT}.expired {PUT}.expired.absent", _stores(lambda node, write, stored: node.replaced(revision=1) if stored is not None and stored.created_at != node.created_at else (node.replaced(revision=1) if stored and stored.expires_at else node)))
add("nodes_expire_a_tick_early", f"{PUT}.not_yet_expired", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes, now + timedelta(microseconds=1))))
add("nodes_expire_a_tick_late", f"{PUT}.expired {PUT}.expired.absent", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes, now - timedelta(microseconds=1))))
add("an_unexpected_revision_is_written", f"{PUT}.conflict {PUT}.expected_revision.race", _writes(lambda write, stored: replace(write, expected_revision=None)))
add("an_insert_overwrites", f"{PUT}.conflict {PUT}.insert.race", _writes(lambda write, stored: replace(write, mode="merge") if write.mode == "insert" else write))
add("another_type_is_written", f"{PUT}.conflict", _writes(lambda write, stored: _node(write, type=stored.type) if stored else write))
add("restoring_begins_a_new_life", f"{PUT}.restore", _stores(lambda node, write, stored: node.replaced(revision=1) if write.mode == "restore" else node))
add("restoring_forgets_the_expiry", f"{PUT}.restore", _stores(lambda node, write, stored: node.replaced(expires_at=None) if write.mode == "restore" else node))
add("restoring_overwrites", f"{PUT}.restore.conflict", _writes(lambda write, stored: replace(write, mode="replace") if write.mode == "restore" and stored else write))
add("restoring_takes_what_expired_for_absent", f"{PUT}.restore.conflict", _writes(lambda write, stored: replace(write, mode="replace") if write.mode == "restore" and stored and stored.expires_at else write))
add("any_expected_revision_is_a_conflict", f"{PUT}.expected_revision", _writes(lambda write, stored: replace(write, expected_revision=99) if write.expected_revision is not None else write))
add("nodes_come_back_sorted", f"{PUT}.returns_stored", ("graph.put_nodes", lambda self, sound, writes, now: sorted(sound(writes, now), key=lambda node: node.id)))
add("nodes_come_back_as_given", f"{PUT}.returns_stored", ("graph.put_nodes", lambda self, sound, writes, now: [write.node for write in writes] if sound(writes, now) is not None else []))
add("scopes_share_their_nodes", f"{PUT}.scopes", _writes(lambda write, stored: _node(write, scope="local")))
add("a_batch_stores_999_nodes", f"{PUT}.batch", ("graph.put_nodes", lambda self, sound, writes, now: sound(writes[:999], now)))
add("999_nodes_are_read_at_once", f"{PUT}.batch", ("graph.get_nodes", lambda self, sound, keys, now: sound(keys[:999], now)))


def _deep(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _deep(old[key], value) if key in old else value for key, value in new.items()}}


@plant("graph.put_nodes.conflict", "graph.put_nodes")
def a_conflict_is_swallowed(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    try:
        return sound(writes, now)
    except Conflict:
        return []


add("every_conflict_of_a_node_is_a_plain_one", "graph.put_nodes.conflict graph.put_nodes.restore.conflict", ("graph.put_nodes", raises_plain_conflict))


@plant("graph.put_nodes.conflict", "graph.put_nodes")
def another_type_is_taken_for_the_same_record(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    try:
        return sound(writes, now)
    except Conflict as error:
        raise AlreadyExists(*error.args) from error


@plant("graph.put_nodes.too_large", "graph.put_nodes")
def nodes_grow_without_bound(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    small = [replace(write, node=write.node.replaced(attributes={})) for write in writes]
    nodes = sound(small, now)
    for node, write in zip(nodes, writes, strict=True):
        self._nodes.put(node.key, node.replaced(attributes={**node.attributes, **write.node.attributes}))
    return nodes


# --- reading and deleting nodes ---------------------------------------------------------------

_TICK = timedelta(microseconds=1)
add("get_nodes_ignores_the_scope", "graph.get_nodes.existing", ("graph.get_nodes", lambda self, sound, keys, now: sound([*keys, *(key for key in self._nodes.rows if key.id in {each.id for each in keys})], now)))
add("get_nodes_is_all_or_none", "graph.get_nodes.existing", ("graph.get_nodes", lambda self, sound, keys, now: found if len(found := sound(keys, now)) == len(keys) else []))
add("get_nodes_returns_the_expired", "graph.get_nodes.expired", ("graph.get_nodes", lambda self, sound, keys, now: sound(keys, None)))
add("get_nodes_never_returns_the_expired", "graph.get_nodes.expired", ("graph.get_nodes", lambda self, sound, keys, now: [node for node in sound(keys, now) if node.expires_at is None]))
add("get_nodes_expires_a_tick_late", "graph.get_nodes.expired", ("graph.get_nodes", lambda self, sound, keys, now: sound(keys, now and now - _TICK)))
add("deleting_nodes_ignores_the_scope", "graph.delete_nodes.count", ("graph.delete_nodes", lambda self, sound, keys: sound(keys) if not sound([key for key in self._nodes.rows if key.id in {each.id for each in keys} and key not in keys]) else 1))
add("deleting_nodes_counts_what_was_asked", "graph.delete_nodes.count", ("graph.delete_nodes", lambda self, sound, keys: sound(keys) and len(keys)))
add("deleting_nodes_says_ok_and_does_nothing", "graph.delete_nodes.count graph.delete_nodes.new_start", ("graph.delete_nodes", lambda self, sound, keys: sum(key in self._nodes.rows for key in keys)))
add("999_nodes_are_deleted_at_once", "graph.delete_nodes.batch", ("graph.delete_nodes", lambda self, sound, keys: sound(keys[:999])))
add("a_deleted_node_leaves_a_tombstone", "graph.delete_nodes.new_start", ("graph.delete_nodes", lambda self, sound, keys: sum(self._nodes.change(key, expires_at=self._nodes.rows[key].created_at) is None for key in keys if key in self._nodes.rows)))


def _leaving_edges(left: Any) -> Any:
    def delete_nodes(self: Any, sound: Any, keys: Any) -> Any:
        edges = {key: edge for key, edge in self._edges.rows.items() if left(edge, keys)}
        count = sound(keys)
        for key, edge in edges.items():
            self._edges.put(key, edge)
        return count

    return ("graph.delete_nodes", delete_nodes)


add("deleting_a_node_leaves_its_edges", "graph.delete_nodes.edges graph.delete_expired_nodes", _leaving_edges(lambda edge, keys: True))
add("deleting_a_node_leaves_edges_to_it", "graph.delete_nodes.edges", _leaving_edges(lambda edge, keys: NodeKey(edge.source, edge.scope) not in keys))
add("deleting_a_node_leaves_edges_from_it", "graph.delete_nodes.edges", _leaving_edges(lambda edge, keys: NodeKey(edge.target, edge.scope) not in keys))
add("deleting_a_node_takes_edges_of_all_scopes", "graph.delete_nodes.edges", ("graph.delete_nodes", lambda self, sound, keys: self._edges.delete([each for each in self._edges.rows if {each.source, each.target} & {key.id for key in keys}]) * 0 + sound(keys)))
add("expired_nodes_are_deleted_a_tick_early", "graph.delete_expired_nodes", ("graph.delete_expired_nodes", lambda self, sound, now, limit: sound(now + _TICK, limit)))
add("expired_nodes_are_deleted_a_tick_late", "graph.delete_expired_nodes", ("graph.delete_expired_nodes", lambda self, sound, now, limit: sound(now - _TICK, limit)))
add("expired_nodes_are_deleted_without_limit", "graph.delete_expired_nodes", ("graph.delete_expired_nodes", lambda self, sound, now, limit: sound(now, 10**6)))


# --- edges ------------------------------------------------------------------------------------


def _edges(change: Any) -> Any:
    def put_edges(self: Any, sound: Any, edges: Any) -> None:
        sound([change(edge, self._edges.rows.get(edge.key)) for edge in edges])

    return ("graph.put_edges", put_edges)


add("an_edge_that_exists_is_left_alone", "graph.put_edges.update", _edges(lambda edge, stored: stored or edge))
for _field in ("weight", "attributes", "metadata"):
    add(f"an_edge_written_again_keeps_its_{_field}", "graph.put_edges.update", _edges(lambda edge, stored, name=_field: edge if stored is None else edge.replaced(**{name: getattr(stored, name)})))
add("an_edge_written_again_merges", "graph.put_edges.update", _edges(lambda edge, stored: edge if stored is None else edge.replaced(metadata={**stored.metadata, **edge.metadata})))


def _one_per(part: Any) -> Any:
    def put_edges(self: Any, sound: Any, edges: Any) -> None:
        for edge in edges:
            self._edges.delete([key for key in self._edges.rows if part(key) == part(edge.key) and key != edge.key])
            sound([edge])

    return ("graph.put_edges", put_edges)


add("edges_have_no_relationship_in_their_key", "graph.put_edges.key", _one_per(lambda key: (key.source, key.target, key.scope)))
add("edges_have_no_scope_in_their_key", "graph.put_edges.key", _one_per(lambda key: key[:3]))
add("edges_have_no_direction", "graph.put_edges.key", _one_per(lambda key: (frozenset(key[:2]), *key[2:])))


@plant("graph.put_edges.missing_end", "graph.put_edges")
def edges_may_lead_nowhere(self: Any, sound: Any, edges: Any) -> None:
    for edge in edges:
        self._edges.put(edge.key, edge)


@plant("graph.put_edges.missing_end", "graph.put_edges")
def loose_edges_are_left_out(self: Any, sound: Any, edges: Any) -> None:
    sound([edge for edge in edges if all(NodeKey(end, edge.scope) in self._nodes.rows for end in edge.key[:2])])


@plant("graph.put_edges.missing_end", "graph.put_edges")
def ends_are_looked_up_in_every_scope(self: Any, sound: Any, edges: Any) -> None:
    known = {key.id for key in self._nodes.rows}
    if not all(end in known for edge in edges for end in edge.key[:2]):
        sound(edges)
    for edge in edges:
        self._edges.put(edge.key, edge)


@plant("graph.put_edges.same_transaction", "graph.put_edges")
def ends_must_be_committed(self: Any, sound: Any, edges: Any) -> None:
    committed = self.before[0]
    sound([edge for edge in edges if all(NodeKey(end, edge.scope) in committed for end in edge.key[:2])])


@plant("graph.put_edges.race", "graph.put_edges")
def writing_an_edge_again_is_a_conflict(self: Any, sound: Any, edges: Any) -> None:
    if any(edge.key in self._edges.rows for edge in edges):
        raise AlreadyExists("the edge exists")
    sound(edges)


add("999_edges_are_stored_at_once", "graph.put_edges.batch", ("graph.put_edges", lambda self, sound, edges: sound(edges[:999])))
add("get_edges_ignores_the_relationship", "graph.get_edges.existing", ("graph.get_edges", lambda self, sound, keys: [edge for edge in self._edges.rows.values() if any(edge.key[:2] == key[:2] for key in keys)]))
add("get_edges_is_all_or_none", "graph.get_edges.existing", ("graph.get_edges", lambda self, sound, keys: found if len(found := sound(keys)) == len(keys) else []))
add("deleting_edges_counts_what_was_asked", "graph.delete_edges.count", ("graph.delete_edges", lambda self, sound, keys: sound(keys) and len(keys)))
add("deleting_edges_takes_both_directions", "graph.delete_edges.count", ("graph.delete_edges", lambda self, sound, keys: sound(keys) + 0 * sound([key._replace(source=key.target, target=key.source) for key in keys])))


def _near(**wrong: Any) -> Any:
    def neighbours(self: Any, sound: Any, ids: Any, scope: Any, direction: Any, relationships: Any, now: Any = None) -> Any:
        given = {"ids": ids, "scope": scope, "direction": direction, "relationships": relationships, "now": now}
        return sound(**{**given, **{name: change(given[name]) for name, change in wrong.items()}})

    return ("graph.neighbours", neighbours)


add("neighbours_against_the_arrows", "graph.neighbours.direction graph.traverse.direction graph.shortest_path.options", _near(direction=lambda each: {Direction.OUT: Direction.IN, Direction.IN: Direction.OUT}.get(each, each)))
add("neighbours_in_both_directions", "graph.neighbours.direction", _near(direction=lambda each: Direction.BOTH))
add("neighbours_by_any_relationship", "graph.neighbours.relationships graph.traverse.relationships graph.shortest_path.options", _near(relationships=lambda each: ()))
add("neighbours_by_the_first_relationship", "graph.neighbours.relationships", _near(relationships=lambda each: each[:1]))
add("999_neighbours_at_once", "graph.neighbours.many", _near(ids=lambda each: each[:999]))
add("neighbours_of_nothing_are_all", "graph.neighbours.many", ("graph.neighbours", lambda self, sound, ids, *more: sound(ids or list({key.id for key in self._nodes.rows}), *more)))
add("an_edge_of_two_neighbours_is_there_twice", "graph.neighbours.direction", ("graph.neighbours", lambda self, sound, ids, *more: [edge for each in ids for edge in sound([each], *more)]))
add("neighbours_in_every_scope", "graph.neighbours.scope graph.traverse.scope graph.shortest_path.options", ("graph.neighbours", lambda self, sound, ids, scope, *more: [edge for each in type(scope) for edge in sound(ids, each, *more)]))

# --- what expired -----------------------------------------------------------------------------


def _shifted(change: Any) -> Any:
    """Replace the time arguments of a method."""
    return lambda self, sound, *given: sound(*(change(each) if isinstance(each, datetime) else each for each in given))


def _query_shifted(change: Any) -> Any:
    return lambda self, sound, query, *more: sound(replace(query, now=query.now and change(query.now)), *more)


for _names, _by in ((("get_edges", "neighbours", "degrees"), _shifted), (("list_edges", "traverse", "shortest_path"), _query_shifted)):
    for _name in _names:
        add(f"{_name}_ignores_expiry", f"graph.{_name}.expired", (f"graph.{_name}", _by(lambda now: None)))
        add(f"{_name}_expires_a_tick_late", f"graph.{_name}.expired", (f"graph.{_name}", _by(lambda now: now - _TICK)))
        add(f"{_name}_expires_a_tick_early", f"graph.{_name}.expired", (f"graph.{_name}", _by(lambda now: now + _TICK)))


def _only(end: str) -> Any:
    """Check the expiry of one end of an edge only."""
    def lives(self: Any, sound: Any, edge: Any, now: Any) -> bool:
        return now is None or not any(node.expires_at and node.expires_at <= now for key, node in self._nodes.rows.items() if key.id == getattr(edge, end) and key.scope == edge.scope)

    return ("graph._lives", lives)


add("only_the_target_of_an_edge_expires", "graph.get_edges.expired graph.list_edges.expired graph.traverse.expired", ("graph._lives", _only("target")[1]))
add("only_the_source_of_an_edge_expires", "graph.get_edges.expired graph.list_edges.expired graph.traverse.expired", ("graph._lives", _only("source")[1]))
add("a_node_expires_in_every_scope", "graph.list_edges.expired graph.neighbours.expired graph.traverse.expired", ("graph._lives", lambda self, sound, edge, now: now is None or not any(node.expires_at and node.expires_at <= now for key, node in self._nodes.rows.items() if key.id in (edge.source, edge.target))))
add("edges_of_what_expired_come_back", f"{PUT}.expired.edges", ("graph._delete_edges_of", lambda self, sound, nodes: None))
add("edges_of_what_may_expire_go", f"{PUT}.expired.edges", ("graph.put_nodes", lambda self, sound, writes, now: (self._delete_edges_of({write.node.key for write in writes}), sound(writes, now))[1]))

# --- walks ------------------------------------------------------------------------------------


def _walk(change: Any) -> Any:
    return ("graph.traverse", lambda self, sound, walk: change(sound, walk))


def _distances(change: Any) -> Any:
    return _walk(lambda sound, walk: TraversalResult(change(sound(walk).distances, walk), sound(walk).truncated))


WALK = "graph.traverse"
add("a_walk_goes_a_step_further", f"{WALK}.depth", _walk(lambda sound, walk: sound(replace(walk, depth=walk.depth + 1))))
add("a_walk_stops_a_step_short", f"{WALK}.depth {WALK}.distances", _walk(lambda sound, walk: sound(replace(walk, depth=walk.depth - 1))))
add("a_walk_counts_the_start_as_one", f"{WALK}.distances {WALK}.start", _distances(lambda found, walk: {key: value + 1 for key, value in found.items()}))
add("a_walk_lists_by_id", f"{WALK}.distances", _distances(lambda found, walk: dict(sorted(found.items()))))
add("a_walk_leaves_out_the_start", f"{WALK}.start", _distances(lambda found, walk: {key: value for key, value in found.items() if value}))
add("a_walk_begins_at_one_node", f"{WALK}.start", _walk(lambda sound, walk: sound(replace(walk, start=walk.start[:1]))))
add("a_walk_cuts_without_saying_so", f"{WALK}.limit", _walk(lambda sound, walk: TraversalResult(sound(walk).distances)))
add("a_walk_that_fits_counts_as_cut", f"{WALK}.limit", _walk(lambda sound, walk: TraversalResult(sound(walk).distances, len(sound(walk).distances) >= walk.limit)))
add("a_walk_drops_the_nearest", f"{WALK}.limit", _walk(lambda sound, walk: TraversalResult(dict(list(sound(replace(walk, limit=99)).distances.items())[-walk.limit :]), sound(walk).truncated)))
add("a_walk_has_no_limit", f"{WALK}.limit", _walk(lambda sound, walk: sound(replace(walk, limit=99))))
add("a_circle_lengthens_distances", f"{WALK}.cycles", _distances(lambda found, walk: {key: value + (value == 0) * 3 for key, value in found.items()}))

PATH = "graph.shortest_path"
add("a_path_is_any_path", f"{PATH}.ties", (PATH, lambda self, sound, walk, target: ["a", "c", "x", "z"] if target == "z" else sound(walk, target)))
add("a_path_takes_the_detour", f"{PATH}.fewest", (PATH, lambda self, sound, walk, target: ["a", "b", "c", "z"] if target == "z" else sound(walk, target)))
add("a_path_is_one_step_longer_than_allowed", f"{PATH}.unreachable", (PATH, lambda self, sound, walk, target: sound(replace(walk, depth=walk.depth + 1), target)))
add("a_path_ignores_direction", f"{PATH}.unreachable", (PATH, lambda self, sound, walk, target: sound(replace(walk, direction=Direction.BOTH), target)))
add("out_of_reach_is_an_empty_path", f"{PATH}.unreachable", (PATH, lambda self, sound, walk, target: sound(walk, target) or []))
add("a_path_ignores_relationships", f"{PATH}.options", (PATH, lambda self, sound, walk, target: sound(replace(walk, relationships=()), target)))
add("a_path_to_itself_is_none", f"{PATH}.itself", (PATH, lambda self, sound, walk, target: sound(walk, target) if target not in walk.start else None))
add("a_path_to_itself_goes_round", f"{PATH}.itself", (PATH, lambda self, sound, walk, target: ["a", "b", "a"] if target in walk.start else sound(walk, target)))

DEGREES = "graph.degrees"
add("degrees_in_the_other_direction", f"{DEGREES}.direction", (DEGREES, lambda self, sound, scope, direction, *more: sound(scope, {Direction.OUT: Direction.IN, Direction.IN: Direction.OUT}.get(direction, direction), *more)))
add("degrees_of_both_directions_count_out", f"{DEGREES}.direction", (DEGREES, lambda self, sound, scope, direction, *more: sound(scope, Direction.OUT if direction == Direction.BOTH else direction, *more)))
add("degrees_leave_ties_unordered", f"{DEGREES}.limit", (DEGREES, lambda self, sound, scope, direction, names, limit: sorted(sound(scope, direction, names, 99), key=lambda each: each.id, reverse=True)[:limit]))
add("degrees_have_no_limit", f"{DEGREES}.limit", (DEGREES, lambda self, sound, scope, direction, names, limit: sound(scope, direction, names, 99)))
add("degrees_count_every_relationship", f"{DEGREES}.relationships", (DEGREES, lambda self, sound, scope, direction, names, limit: sound(scope, direction, (), limit)))

# --- reading in order to change -----------------------------------------------------------------

LOCKED = "graph.lock_nodes.existing"
ADD = "graph.increment"
add("a_node_lock_finds_nothing", LOCKED, ("graph.lock_nodes", lambda self, sound, keys: []))
add("a_node_lock_leaves_the_expired_out", LOCKED, ("graph.lock_nodes", lambda self, sound, keys: [node for node in sound(keys) if node.expires_at is None]))
add("an_edge_lock_finds_nothing", LOCKED, ("graph.lock_edges", lambda self, sound, keys: []))
add("a_task_lock_ignores_the_owner", LOCKED, ("tasks.lock", lambda self, sound, ids, owner: sound(ids, None)))
add("a_thought_lock_ignores_the_owner", LOCKED, ("thoughts.lock", lambda self, sound, ids, owner: sound(ids, None)))
def _ignoring_the_time(self: Any, sound: Any, keys: Any, now: Any = None) -> Any:
    return sound(keys)


add("an_edge_leads_to_what_expired", "graph.put_edges.expired_end", ("graph.put_edges", _ignoring_the_time))
add("deleting_nodes_counts_the_expired", "graph.delete_nodes.expired", ("graph.delete_nodes", _ignoring_the_time))
add("deleting_leaves_expired_nodes", "graph.delete_nodes.expired", ("graph.delete_nodes", lambda self, sound, keys, now=None: sound([node.key for node in self.get_nodes(keys, now)])))
add("deleting_edges_counts_those_of_the_expired", "graph.delete_edges.expired", ("graph.delete_edges", _ignoring_the_time))
add("deleting_correlations_counts_the_expired", "correlations.delete.expired", ("correlations.delete", _ignoring_the_time))
add("edges_are_not_counted", "graph.put_edges.revision graph.put_edges.update", ("graph.put_edges", lambda self, sound, edges: [self._edges.put(each.key, each.replaced(revision=1)) or each for each in sound(edges)] and self._edges.pick(each.key for each in edges)))
add("edges_come_back_as_given", "graph.put_edges.revision", ("graph.put_edges", lambda self, sound, edges: list(edges) if sound(edges) is not None else []))
add("an_increment_subtracts", f"{ADD}.sum", (ADD, lambda self, sound, key, path, by, now: sound(key, path, -by, now)))
add("an_increment_takes_the_last_key", f"{ADD}.sum", (ADD, lambda self, sound, key, path, by, now: sound(key, path[-1:], by, now)))
add("an_increment_is_in_floats", f"{ADD}.sum", (ADD, lambda self, sound, key, path, by, now: sound(key, path, float(by), now)))
add("an_increment_leaves_the_time", f"{ADD}.sum", (ADD, lambda self, sound, key, path, by, now: sound(key, path, by, self._nodes.rows[key].updated_at) if key in self._nodes.rows else None))
add("an_increment_brings_expired_nodes_back", f"{ADD}.refused", (ADD, lambda self, sound, key, path, by, now: sound(key, path, by, now - timedelta(days=1))))


@plant(f"{ADD}.refused", ADD)
def an_increment_replaces_what_is_no_number(self: Any, sound: Any, key: Any, path: Any, by: Any, now: Any) -> Any:
    try:
        return sound(key, path, by, now)
    except InvalidArgument:
        return by


# --- search -----------------------------------------------------------------------------------

SEARCH = "graph.search"
add("search_is_declared_but_refused", f"{SEARCH}.declared", (SEARCH, lambda self, sound, query: (_ for _ in ()).throw(NotSupported("no search"))))
add("search_is_declared_but_finds_nothing", f"{SEARCH}.declared {SEARCH}.all_words", (SEARCH, always([])))
add("search_works_undeclared", f"{SEARCH}.declared", ("graph.search", lambda self, sound, query: sound(query)), capabilities=SOUND - {Capability.FULL_TEXT})
add("search_finds_any_word", f"{SEARCH}.all_words", (SEARCH, lambda self, sound, query: [hit for word in query.words for hit in sound(replace(query, words=(word,)))]))
add("search_finds_parts_of_words", f"{SEARCH}.all_words", (SEARCH, lambda self, sound, query: [SearchHit(node, 1.0) for node in self._nodes.rows.values() if all(word.lower() in f"{node.id} {node.attributes}".lower() for word in query.words)]))
add("search_looks_at_the_first_word", f"{SEARCH}.all_words", (SEARCH, lambda self, sound, query: sound(replace(query, words=query.words[-1:]))))
add("search_tells_capitals_apart", f"{SEARCH}.case", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if all(word in f"{hit.node.id} {hit.node.attributes}" for word in query.words)]))
add("search_splits_at_spaces_only", f"{SEARCH}.case", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if set(query.words) <= set(f"{hit.node.attributes}".split())]))
add("search_reads_words_as_a_query", f"{SEARCH}.hostile", (SEARCH, lambda self, sound, query: sound(replace(query, words=("dog",))) if "or" in query.words else sound(query)))
add("search_lists_the_worst_first", f"{SEARCH}.rank", (SEARCH, lambda self, sound, query: sound(query)[::-1]))
add("search_has_no_limit", f"{SEARCH}.limit", (SEARCH, lambda self, sound, query: sound(replace(query, limit=99))))


@plant(f"{SEARCH}.limit", SEARCH)
def search_filters_after_the_limit(self: Any, sound: Any, query: Any) -> Any:
    return [hit for hit in sound(replace(query, now=None)) if not query.now or not hit.node.expires_at]


@plant(f"{SEARCH}.fresh", SEARCH)
def search_uses_an_index_of_before(self: Any, sound: Any, query: Any) -> Any:
    index = vars(self.lab).setdefault("index", {})
    index.update({key: node for key, node in self.before[0].items() if key not in index})
    return [SearchHit(node, 1.0) for node in index.values() if all(word in str(node.attributes) for word in query.words)]
