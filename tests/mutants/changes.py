"""Faults of changes: rows counted as changed, values merged, values taken for none."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from math import fsum
from typing import Any

from ciris_store_core.contract.aggregation import aggregate_rows, count_of, sum_of
from ciris_store_core.models.correlations import PercentilePoint
from ciris_store_core.models.graph import SearchHit
from tests.mutants.planting import add, plant

_TICK = timedelta(microseconds=1)

# --- equal values -----------------------------------------------------------------------------

_TABLES = {"tasks": "_tasks", "thoughts": "_thoughts", "correlations": "_table"}


def _counting_changes(store: str) -> Any:
    """Return whether the row changed, rather than whether it was there."""

    def update(self: Any, sound: Any, id: str, *more: Any) -> Any:
        before = getattr(self, _TABLES[store]).rows.get(id)
        return sound(id, *more) and getattr(self, _TABLES[store]).rows.get(id) != before

    return (f"{store}.update", update)


def _nothing_to_do(store: str) -> Any:
    """Take an update without other values for one of a row that is not there."""

    def update(self: Any, sound: Any, id: str, changes: Any, *more: Any) -> Any:
        stored = getattr(self, _TABLES[store]).rows.get(id)
        other = {name: value for name, value in changes.items() if stored is None or getattr(stored, name) != value}
        return bool(other) and sound(id, other, *more)

    return (f"{store}.update", update)


for _store in _TABLES:
    add(f"updates_of_{_store}_count_changed_rows", f"{_store}.update.same", _counting_changes(_store))
    add(f"updates_of_{_store}_send_other_values_only", f"{_store}.update.same", _nothing_to_do(_store))
for _store in ("tasks", "thoughts"):
    add(f"{_store}_stay_where_they_are_transferred_to", f"{_store}.update.same", (f"{_store}.transfer", lambda self, sound, which, source, target, now: sound(which, source, target, now) if source != target else 0))


@plant("graph.put_nodes.same", "graph.put_nodes")
def an_equal_node_is_not_written(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    other = [each for each in writes if (stored := self._nodes.rows.get(each.node.key)) is None or {**stored.attributes, **each.node.attributes} != stored.attributes]
    sound(other, now)
    return self._nodes.pick([each.node.key for each in writes])


@plant("graph.put_nodes.same", "graph.put_edges")
def an_equal_edge_is_not_written(self: Any, sound: Any, edges: Any, *now: Any) -> Any:
    if len(edges) == 1 and (stored := self._edges.rows.get(edges[0].key)) is not None and stored.weight == edges[0].weight:
        return [stored]
    return sound(edges, *now)


add("an_increment_by_nothing_is_no_write", "graph.put_nodes.same", ("graph.increment", lambda self, sound, key, path, by, now: sound(key, path, by, now) if by else self._nodes.rows[key].attributes[path[0]]))
add("a_heartbeat_of_the_same_moment_is_none", "coordination.same", ("coordination.heartbeat", lambda self, sound, id, at, until: id in self._occurrences.rows and self._occurrences.rows[id].heartbeat_at != at and sound(id, at, until)))
add("a_lease_is_not_renewed_to_the_same_moment", "coordination.same", ("coordination.renew_lease", lambda self, sound, name, owner, fence, now, until: self._leases.rows[name].expires_at != until and sound(name, owner, fence, now, until)))
add("a_lease_is_not_acquired_to_the_same_moment", "coordination.same", ("coordination.acquire_lease", lambda self, sound, name, owner, now, until: None if name in self._leases.rows and self._leases.rows[name].expires_at == until else sound(name, owner, now, until)))
add("an_equal_ciphertext_is_not_stored", "coordination.same", ("secrets.reencrypt", lambda self, sound, id, old, key, new: old != new and sound(id, old, key, new)))

# --- values that are merged -------------------------------------------------------------------


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    if hasattr(old, "replaced") and hasattr(new, "replaced"):
        return new.replaced(**{name: _merged(getattr(old, name), item) for name, item in new if isinstance(item, dict) or item is None})
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *(each for each in new if each not in old)]
    return old if new is None else new


def _merging(store: str, *names: str) -> Any:
    def update(self: Any, sound: Any, id: str, changes: Any, *more: Any) -> Any:
        stored = getattr(self, _TABLES[store]).rows.get(id)
        given = {name: _merged(getattr(stored, name), value) if name in names else value for name, value in changes.items()} if stored else changes
        return sound(id, given, *more)

    return (f"{store}.update", update)


for _store, _names in {
    "tasks": ("metadata", "context", "outcome"),
    "thoughts": ("metadata", "context", "final_action", "ponder_notes"),
    "correlations": ("metadata", "tags", "request_data", "child_correlation_ids"),
}.items():
    for _name in _names:
        add(f"updates_of_{_store}_merge_{_name}", f"{_store}.update.replaces", _merging(_store, _name))


def _edges(change: Callable[[Any, Any], Any]) -> Any:
    return ("graph.put_edges", lambda self, sound, edges, *now: sound([each if (stored := self._edges.rows.get(each.key)) is None else change(each, stored) for each in edges], *now))


add("metadata_of_edges_is_merged", "graph.put_edges.replaces graph.put_edges.update", _edges(lambda edge, stored: edge.replaced(metadata={**stored.metadata, **edge.metadata})))
add("no_metadata_of_an_edge_keeps_the_old", "graph.put_edges.replaces", _edges(lambda edge, stored: edge.replaced(metadata=edge.metadata or stored.metadata)))
add("no_context_of_an_edge_keeps_the_old", "graph.put_edges.replaces", _edges(lambda edge, stored: edge.replaced(attributes=edge.attributes.replaced(context=edge.attributes.context or stored.attributes.context))))


def _nodes(change: Callable[[Any, Any], Any]) -> Any:
    def put_nodes(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        return sound([each if (stored := self._nodes.rows.get(each.node.key)) is None else replace(each, node=change(each.node, stored)) for each in writes], now)

    return ("graph.put_nodes", put_nodes)


add("metadata_of_nodes_is_merged", "graph.put_nodes.replaces graph.put_nodes.kept_unless_given", _nodes(lambda node, stored: node.replaced(metadata={**stored.metadata, **node.metadata})))
add("no_metadata_of_a_node_keeps_the_old", "graph.put_nodes.replaces", _nodes(lambda node, stored: node.replaced(metadata=node.metadata or stored.metadata)))
add("nested_attributes_are_merged", "graph.put_nodes.replaces graph.put_nodes.merge", _nodes(lambda node, stored: node.replaced(attributes={key: _merged(stored.attributes.get(key), value) if value is not None else None for key, value in node.attributes.items()})))

# --- sums, extremes, percentiles --------------------------------------------------------------

AGGREGATE = "correlations.aggregate"


def _answering(function: str, value: Callable[[list[Any], int], float]) -> Any:
    """Compute one aggregate of each bucket by another rule."""

    def aggregate(self: Any, sound: Any, query: Any) -> Any:
        points = sound(query)
        if query.function != function:
            return points
        rows = [row for row in self._scan(query.where) if row.metric_data is not None]
        inside = [[row for row in rows if aggregate_rows([row], query)[0].start == point.start and aggregate_rows([row], query)[0].group == point.group] for point in points]
        return [replace(point, value=value(each, point.count)) for point, each in zip(points, inside, strict=True)]

    return (AGGREGATE, aggregate)


def _plain_sum(rows: list[Any]) -> float:
    total = 0.0
    for row in rows:
        total += sum_of(row)
    return total


add("an_average_of_averages", f"{AGGREGATE}.rolled_up", _answering("avg", lambda rows, count: fsum(sum_of(row) / count_of(row) for row in rows) / len(rows)))
add("an_average_of_rows", f"{AGGREGATE}.rolled_up", _answering("avg", lambda rows, count: fsum(sum_of(row) for row in rows) / len(rows)))
add("sums_are_added_one_by_one", f"{AGGREGATE}.cancellation", _answering("sum", lambda rows, count: _plain_sum(rows)))
add("averages_are_added_one_by_one", f"{AGGREGATE}.cancellation", _answering("avg", lambda rows, count: _plain_sum(rows) / count))
add("sums_have_15_digits", f"{AGGREGATE}.cancellation", _answering("sum", lambda rows, count: fsum(float(f"{sum_of(row):.15g}") for row in rows) if not any(abs(sum_of(row)) == 0.1 for row in rows) else 0.0))
add("sums_below_a_trillionth_are_zero", f"{AGGREGATE}.cancellation", _answering("sum", lambda rows, count: round(fsum(map(sum_of, rows)), 12)))
add("sums_that_cancel_are_left_out", f"{AGGREGATE}.cancellation", (AGGREGATE, lambda self, sound, query: [point for point in sound(query) if query.function != "sum" or point.value]))


def _falsy(name: str) -> Any:
    """Take a field of 0 for one that is missing."""
    return (AGGREGATE, lambda self, sound, query: aggregate_rows([row if row.metric_data is None else row.replaced(metric_data=row.metric_data.replaced(**{name: getattr(row.metric_data, name) or None})) for row in self._scan(query.where)], query))


for _name in ("min_value", "max_value", "sample_sum"):
    add(f"a_{_name}_of_zero_is_missing", f"{AGGREGATE}.zero", _falsy(_name))
add("extremes_begin_at_zero", f"{AGGREGATE}.zero", _answering("max", lambda rows, count: max([0.0, *(row.metric_data.max_value or row.metric_value for row in rows)])))
add("values_of_zero_are_left_out", f"{AGGREGATE}.zero", (AGGREGATE, lambda self, sound, query: aggregate_rows([row for row in self._scan(query.where) if row.metric_value != 0], query)))

PERCENTILES = "correlations.percentiles"


def _percentiles(value: Callable[[list[float], float], float]) -> Any:
    def percentiles(self: Any, sound: Any, query: Any) -> list[PercentilePoint]:
        points = sound(query)
        rows = [row for row in self._scan(query.where) if row.metric_data is not None]
        groups = [sorted(row.metric_value for row in rows if point.start <= row.timestamp < point.start + query.bucket and tuple(row.tags.get(key) for key in query.group_by) == point.group) for point in points]
        return [replace(point, values=tuple(value(each, fraction) for fraction in query.fractions)) for point, each in zip(points, groups, strict=True)]

    return (PERCENTILES, percentiles)


def _nearest(values: list[float], fraction: float) -> float:
    return values[min(len(values) - 1, int(fraction * len(values)))]


def _by_rank(first: float, more: float) -> Callable[[list[float], float], float]:
    """Interpolate by another definition of the rank."""

    def percentile(values: list[float], fraction: float) -> float:
        place = min(max(fraction * (len(values) + more) - first, 0.0), len(values) - 1.0)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (values[high] - values[low]) * (place - low) if abs(values[low]) < 1e300 else values[low]

    return percentile


add("percentiles_are_of_the_nearest_rank", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(_nearest))
add("percentiles_are_those_of_hazen", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(_by_rank(0.5, 0)))
add("percentiles_are_those_of_weibull", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(_by_rank(1, 1)))
add("a_median_is_a_mean", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(lambda values, fraction: fsum(values) / len(values) if fraction == 0.5 and max(map(abs, values)) < 1e300 else _by_rank(0, -1)(values, fraction)))
add("percentiles_between_two_are_in_the_middle", f"{PERCENTILES}.values {PERCENTILES}.groups", _percentiles(lambda values, fraction: values[int(fraction * (len(values) - 1))] / 2 + values[min(len(values) - 1, int(fraction * (len(values) - 1)) + (fraction * (len(values) - 1) % 1 > 0))] / 2))
add("percentiles_are_of_distinct_values", f"{PERCENTILES}.values", _percentiles(lambda values, fraction: _by_rank(0, -1)(sorted(set(values)), fraction)))
add("percentiles_are_those_of_the_whole_time", f"{PERCENTILES}.groups", (PERCENTILES, lambda self, sound, query: [replace(point, values=(sound(replace(query, bucket=timedelta(days=9000))) or [point])[0].values) for point in sound(query)]))

# --- search and walks -------------------------------------------------------------------------

SEARCH = "graph.search"
_STOP = {"the", "a", "are", "not", "to", "be", "or", "and", "did"}


def _stem(word: str) -> str:
    for ending in ("ning", "s", "en"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending)
    return word


def _searching(words: Callable[[list[str]], list[str]]) -> Any:
    """Compare what a function makes of the words of nodes and of the query."""
    from ciris_store_core.words import node_words

    def search(self: Any, sound: Any, query: Any) -> Any:
        asked = set(words(list(query.words)))
        rows = sorted((row for row in self._nodes.rows.values() if asked and asked <= set(words(node_words(row.id, row.attributes)))), key=lambda row: row.key)
        return [SearchHit(row, 1.0) for row in rows][: query.limit]

    return (SEARCH, search)


add("search_finds_stems", f"{SEARCH}.whole_words", _searching(lambda words: [_stem(each) for each in words]))
add("search_leaves_out_stop_words", f"{SEARCH}.whole_words", _searching(lambda words: [each for each in words if each not in _STOP]))
add("search_leaves_out_short_words", f"{SEARCH}.whole_words", _searching(lambda words: [each for each in words if len(each) > 2]))
add("search_knows_no_umlauts", f"{SEARCH}.whole_words", _searching(lambda words: [each for each in words if each != "konnen"]))
add("search_takes_the_limit_before_the_rank", f"{SEARCH}.rank.order", (SEARCH, lambda self, sound, query: [hit for hit in sound(replace(query, limit=99)) if hit.node.key in [each.node.key for each in sorted(sound(replace(query, limit=99)), key=lambda each: each.node.id)[: query.limit]]]))
add("search_ranks_the_newest_first", f"{SEARCH}.rank.order", (SEARCH, lambda self, sound, query: [hit for key in list(self._nodes.rows)[::-1] for hit in sound(query) if hit.node.key == key]))
add("search_ranks_by_repeats", f"{SEARCH}.rank.order", (SEARCH, lambda self, sound, query: sorted(sound(query), key=lambda hit: -str(hit.node.attributes).count(query.words[0]))))
add("search_leaves_ties_of_scopes", f"{SEARCH}.rank", (SEARCH, lambda self, sound, query: sorted(sound(query), key=lambda hit: hit.node.id + ("" if hit.node.scope == "network" else "~"))))


@plant(f"{SEARCH}.deleted", SEARCH)
def words_of_deleted_nodes_stay(self: Any, sound: Any, query: Any) -> Any:
    from ciris_store_core.words import matches, node_words

    known = vars(self.lab).setdefault("every_word", {})
    for key, node in [*self.before[0].items(), *self._nodes.rows.items()]:
        known.setdefault(key, set()).update(node_words(node.id, node.attributes))
    return [SearchHit(node, 1.0) for key, node in sorted(self._nodes.rows.items()) if matches(query.words, known[key])]


@plant(f"{SEARCH}.deleted", SEARCH)
def words_of_the_first_node_of_an_id_count(self: Any, sound: Any, query: Any) -> Any:
    from ciris_store_core.words import matches, node_words

    known = vars(self.lab).setdefault("first_words", {})
    for key, node in [*self.before[0].items(), *self._nodes.rows.items()]:
        known.setdefault(key, set(node_words(node.id, node.attributes)))
    return [SearchHit(node, 1.0) for key, node in sorted(self._nodes.rows.items()) if matches(query.words, known[key])]


PATH = "graph.shortest_path"


def _greedy(backwards: bool) -> Any:
    """Take the smallest parent of each node, whatever its own path."""

    def shortest_path(self: Any, sound: Any, walk: Any, target: str) -> Any:
        if sound(walk, target) is None:
            return None
        parents: dict[str, Any] = {walk.start[0]: None}
        level = [walk.start[0]]
        while target not in parents:
            found: dict[str, str] = {}
            for near, far in self._links(level, walk):
                if far not in parents:
                    found[far] = min(found.get(far, near), near) if not backwards else max(found.get(far, near), near)
            parents.update(found)
            level = list(found)
        trail = [target]
        while parents[trail[-1]] is not None:
            trail.append(parents[trail[-1]])
        return trail[::-1]

    return (PATH, shortest_path)


add("a_path_is_smallest_at_its_end", f"{PATH}.smallest", _greedy(False))
add("a_path_is_largest", f"{PATH}.smallest {PATH}.ties", _greedy(True))
add("a_path_is_searched_from_its_target", f"{PATH}.smallest", (PATH, lambda self, sound, walk, target: (found := sound(replace(walk, start=(target,), direction={"out": "in", "in": "out"}.get(walk.direction, walk.direction)), walk.start[0])) and found[::-1]))
add("a_walk_lists_nodes_as_they_were_stored", "graph.traverse.limit", ("graph.traverse", lambda self, sound, walk: replace(sound(walk), distances=dict(sorted(sound(replace(walk, limit=99)).distances.items(), key=lambda item: (item[1], -ord(item[0])))[: walk.limit]))))

# --- fences, ciphertexts, times of audit ------------------------------------------------------

add("a_fence_of_zero_is_none_given", "tasks.update.fence", ("tasks.update", lambda self, sound, id, changes, owner, fence: sound(id, changes, owner, fence or None)))
add("a_claim_with_fence_zero_is_anybodys", "tasks.lock_claim.fence", ("tasks.lock_claim", lambda self, sound, id, fence: None if not fence and id in self._tasks.rows else sound(id, fence)))
add("a_claim_of_a_missing_task_is_locked", "tasks.lock_claim.fence", ("tasks.lock_claim", lambda self, sound, id, fence: sound(id, fence) if id in self._tasks.rows else None))
for _length in (8, 255, 300):
    add(f"the_first_{_length}_bytes_of_ciphertexts_are_compared", "secrets.reencrypt", ("secrets.reencrypt", lambda self, sound, id, old, key, new, n=_length: sound(id, self._secrets.rows[id].ciphertext if id in self._secrets.rows and self._secrets.rows[id].ciphertext[:n] == old[:n] else old, key, new)))
add("ciphertexts_are_compared_as_texts", "secrets.reencrypt", ("secrets.reencrypt", lambda self, sound, id, old, key, new: sound(id, self._secrets.rows[id].ciphertext if id in self._secrets.rows and self._secrets.rows[id].ciphertext.rstrip(b"\0 ").lower() == old.rstrip(b"\0 ").lower() else old, key, new)))
add("entries_are_listed_by_time", "audit.find.order", ("audit.find", lambda self, sound, query: replace(sound(query), items=sorted(sound(query).items, key=lambda each: (each.chain, each.at)))))
add("the_head_is_the_latest", "audit.head", ("audit.head", lambda self, sound, chain: max(((each.at, each.sequence, each.entry_hash) for (name, _), each in self._entries.rows.items() if name == chain), default=(None,))[1:] or sound(chain)))
add("a_cut_removes_what_is_older_than_the_anchor", "audit.prune", ("audit.prune", lambda self, sound, anchor: self._anchors.put(anchor.chain, anchor) or self._entries.delete([key for key, each in self._entries.rows.items() if each.chain == anchor.chain and each.at <= anchor.at])))

# --- sizes, depths, limits --------------------------------------------------------------------


@plant("graph.put_nodes.too_large", "graph.put_nodes")
def attributes_are_measured_in_characters(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    light = [replace(each, node=each.node.replaced(attributes={k: v.encode("latin-1", "replace").decode("latin-1").replace("\xe9", "e") if isinstance(v, str) else v for k, v in each.node.attributes.items()})) for each in writes]
    nodes = sound(light, now)
    return [self._nodes.put(node.key, node.replaced(attributes={**node.attributes, **each.node.attributes})) or self._nodes.rows[node.key] for node, each in zip(nodes, writes, strict=True)]


@plant("graph.put_nodes.too_large", "graph.put_nodes")
def attributes_have_four_bytes_a_character(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    from ciris_store_core.errors import InvalidArgument

    for each in writes:
        stored = self._nodes.rows.get(each.node.key)
        if stored and sum(len(value) * 4 for value in {**stored.attributes, **each.node.attributes}.values() if isinstance(value, str)) > 16 * 2**20:
            raise InvalidArgument("too large")
    return sound(writes, now)


def _deep(most: int) -> Any:
    def descendants(self: Any, sound: Any, ids: Any) -> Any:
        found = level = set(ids)
        for _ in range(most):
            level = {row.task_id for row in self._tasks.rows.values() if row.parent_task_id in level} - found
            found = found | level
        return found

    return ("tasks._with_descendants", descendants)


add("descendants_to_a_depth_of_1000", "tasks.delete.deep", _deep(1000))


def _before_the_filter(target: str, hidden: Callable[[Any, Any], bool]) -> Any:
    """Take the limit of a claim before its filter."""

    def method(self: Any, sound: Any, *arguments: Any) -> Any:
        owner, limit = arguments[1 if target == "claim_next" else 0], arguments[2]
        first = sorted(self._tasks.rows.values(), key=lambda row: (-row.priority, row.created_at, row.task_id) if target == "claim_next" else (row.claimed_at or row.created_at, row.task_id))[:limit]
        rest = {row.task_id: row for row in self._tasks.rows.values() if row not in first}
        self._tasks.delete(list(rest))
        found = sound(*arguments)
        for key, row in rest.items():
            self._tasks.put(key, row)
        return found if owner != "?" else []

    return (f"tasks.{target}", method)


add("claims_are_limited_before_the_queue", "tasks.claim_next.queue", _before_the_filter("claim_next", lambda row, owner: True))
add("releases_are_limited_before_the_owner", "tasks.release.which tasks.release.dead", _before_the_filter("release", lambda row, owner: True))
for _store in ("tasks", "thoughts"):

    def _limited(self: Any, sound: Any, query: Any) -> Any:
        whole = replace(type(query)(), order=query.order, limit=query.limit, after=query.after)
        right = sound(replace(query, limit=10**6)).items
        page = sound(whole)
        return replace(page, items=[row for row in page.items if row in right])

    for _clause in ("orphaned", "owner_dead", "needs_seed_thought" if _store == "tasks" else "active_tasks", "bounds", "filters"):
        add(f"{_store}_are_limited_before_{_clause}", f"{_store}.find.{_clause}", (f"{_store}.find", _limited))
add("correlations_are_limited_before_their_filter", "correlations.find.filters correlations.find.time correlations.find.tags", ("correlations.find", lambda self, sound, query: replace(sound(type(query)(query.limit, query.after, descending=query.descending)), items=[row for row in sound(type(query)(query.limit, query.after, descending=query.descending)).items if row in sound(replace(query, limit=10**6)).items])))
