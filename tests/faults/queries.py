"""Faults of listings: filters, bounds, orders, pages, counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.paging import Slice
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

from .planting import add, key_of, plant

TICK = timedelta(microseconds=1)
ALL = 10**6


def with_query(**given: Any) -> Callable[..., Any]:
    """A method that asks with other fields."""
    return lambda self, sound, query: sound(replace(query, **given))


# --- a filter that is ignored -----------------------------------------------------------------

_IGNORED: tuple[tuple[str, Any, dict[str, str]], ...] = (
    (
        "tasks._matching", TaskQuery(),
        {
            "tasks.find.filters": "occurrence_id statuses channel_id parent_task_id shared_type correlation_id",
            "tasks.find.shared": "only_shared", "tasks.find.bounds": "created_from updated_to",
            "tasks.find.orphaned": "orphaned", "tasks.find.owner_dead": "owner_dead_at",
            "tasks.find.needs_seed_thought": "needs_seed_thought", "tasks.find.all_filters": "statuses channel_id",
        },
    ),
    (
        "thoughts._matching", ThoughtQuery(),
        {
            "thoughts.find.filters": "occurrence_id statuses source_task_id parent_thought_id thought_types",
            "thoughts.find.bounds": "created_from updated_to", "thoughts.find.orphaned": "orphaned",
            "thoughts.find.owner_dead": "owner_dead_at", "thoughts.find.active_tasks": "of_active_tasks",
            "thoughts.find.all_filters": "statuses source_task_id",
        },
    ),
    (
        "correlations._matching", CorrelationFilter(),
        {
            "correlations.find.filters": "types occurrence_id scope metric_names log_levels task_id thought_id "
            "action_type service_type status channel_id trace_id parent_correlation_id resolutions retention_policies",
            "correlations.find.time": "time_from time_to time_to_exclusive", "correlations.find.tags": "tags",
            "correlations.find.tags.awkward": "tags", "correlations.find.all_filters": "task_id action_type",
            "correlations.find.same_microsecond": "", "correlations.points.filters": "tags",
            "correlations.aggregate.filter": "metric_names",
        },
    ),
    (
        "graph._matching", NodeQuery(),
        {
            "graph.list_nodes.scope_and_type": "scope type", "graph.list_nodes.id_prefix": "id_prefix",
            "graph.list_nodes.attributes.values": "attributes", "graph.list_nodes.attributes.keys": "attributes",
            "graph.list_nodes.attributes.all": "attributes", "graph.list_nodes.attributes.none": "attributes",
            "graph.list_nodes.attributes.texts": "attributes",
            "graph.list_nodes.updated": "updated_from updated_to", "graph.list_nodes.expired": "now",
            "graph.search.filters": "scope type now",
        },
    ),
    ("graph.list_edges", EdgeQuery(), {"graph.list_edges.filters": "source target relationship scope"}),
    ("audit.find", AuditQuery(), {"audit.find.order": "chain"}),
)  # fmt: skip
for _target, _default, _fields in _IGNORED:
    for _clause, _names in _fields.items():
        for _name in _names.split():
            _value = getattr(_default, _name)
            add(f"{_clause}_ignores_{_name}", _clause, (_target, with_query(**{_name: _value})))

# --- bounds off by one ------------------------------------------------------------------------


def _moved(name: str, by: timedelta) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        bound = getattr(query, name)
        return sound(query if bound is None else replace(query, **{name: bound + by}))

    return method


_BOUNDS = (
    ("tasks._matching", "tasks.find.bounds", "created_from updated_to"),
    ("thoughts._matching", "thoughts.find.bounds", "created_from updated_to"),
    ("correlations._matching", "correlations.find.time", "time_from time_to"),
    ("graph._matching", "graph.list_nodes.updated", "updated_from updated_to"),
    ("graph._matching", "graph.list_nodes.expired", "now"),
    ("tasks._matching", "tasks.find.owner_dead", "owner_dead_at"),
    ("thoughts._matching", "thoughts.find.owner_dead", "owner_dead_at"),
)
for _target, _clause, _names in _BOUNDS:
    for _name in _names.split():
        add(f"{_clause}_{_name}_a_tick_late", _clause, (_target, _moved(_name, TICK)))
        add(f"{_clause}_{_name}_a_tick_early", _clause, (_target, _moved(_name, -TICK)))
    add(f"{_clause}_in_milliseconds", _clause, *((_target, _moved(_name, TICK * 999)) for _name in _names.split()))

# --- exact match that is not exact ------------------------------------------------------------


def _kept(field: str, name: str, same: Callable[[str, str], bool]) -> Callable[..., Any]:
    """The filter of a field compares in another way."""

    def method(self: Any, sound: Any, query: Any) -> Any:
        wanted = getattr(query, name)
        found = list(sound(replace(query, **{name: None})))
        return found if wanted is None else [row for row in found if same(getattr(row, field) or "", wanted)]

    return method


def _like(value: str, pattern: str) -> bool:
    return len(value) == len(pattern) and all(b in ("_", a) for a, b in zip(value, pattern, strict=True))


def _folded(value: str, wanted: str) -> bool:
    return value.casefold() == wanted.casefold()


add("shared_types_are_patterns", "tasks.find.filters", ("tasks._matching", _kept("shared_type", "shared_type", _like)))
add("shared_types_have_no_case", "tasks.find.filters", ("tasks._matching", _kept("shared_type", "shared_type", _folded)))
add("pools_have_no_case", "tasks.claim_next.pool", ("tasks._matching", _kept("agent_occurrence_id", "occurrence_id", _folded)))


def _prefix(same: Callable[[str, str], bool]) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        wanted = query.id_prefix or ""
        found = sound(replace(query, id_prefix=None))
        return iter([row for row in found if same(row.id[: len(wanted)], wanted) or (wanted == "a%" and row.id[0] == "a")])

    return method


add("a_prefix_is_a_pattern", "graph.list_nodes.id_prefix", ("graph._matching", _prefix(_like)))
add("a_prefix_has_no_case", "graph.list_nodes.id_prefix", ("graph._matching", _prefix(_folded)))


@plant("graph.list_nodes.id_prefix", "graph._matching")
def a_prefix_is_found_anywhere(self: Any, sound: Any, query: Any) -> Any:
    return iter([row for row in sound(replace(query, id_prefix=None)) if (query.id_prefix or "") in row.id])


def _attributes(same: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    """Attributes are compared in another way."""

    def method(self: Any, sound: Any, query: Any) -> Any:
        missing = object()
        return iter([
            row
            for row in sound(replace(query, attributes=()))
            if all(same(row.attributes.get(key, missing), value) for key, value in query.attributes)
        ])  # fmt: skip

    return method


_COMPARED: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "true_equals_one": ("values", lambda a, b: bool(a == b)),
    "one_differs_from_one_point_zero": ("values", lambda a, b: type(a) is type(b) and bool(a == b)),
    "values_are_compared_as_text": ("values", lambda a, b: str(a) == str(b)),
    "numbers_are_compared_as_floats": ("values", lambda a, b: _as_float(a) == _as_float(b)),
    "a_list_holds_its_items": ("values", lambda a, b: a == b or (isinstance(a, list) and b in a)),
    "none_is_never_found": ("none", lambda a, b: b is not None and bool(a == b)),
    "none_is_anything_falsy": ("none", lambda a, b: not a if b is None else bool(a == b)),
    "texts_have_no_case_or_ends": ("texts", lambda a, b: str(a).strip() == str(b).strip() and b != " "),
    "texts_are_normalised": ("texts", lambda a, b: _nfc(a) == _nfc(b)),
    "any_attribute_will_do": ("all", lambda a, b: b == 1 or bool(a == b)),
}


def _as_float(value: Any) -> Any:
    return (isinstance(value, bool), float(value)) if isinstance(value, (int, float)) else value


def _nfc(value: Any) -> Any:
    import unicodedata

    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


for _name, (_which, _same) in _COMPARED.items():
    add(_name, f"graph.list_nodes.attributes.{_which}", ("graph._matching", _attributes(_same)))


@plant("graph.list_nodes.attributes.keys", "graph._matching")
def attribute_keys_are_paths(self: Any, sound: Any, query: Any) -> Any:
    def at_path(attributes: Any, path: str) -> Any:
        for step in path.split("."):
            attributes = attributes.get(step) if isinstance(attributes, dict) else None
        return attributes

    found = list(sound(replace(query, attributes=())))
    return iter([row for row in found if all(at_path(row.attributes, key) == value for key, value in query.attributes)])


@plant("correlations.find.tags.awkward", "correlations._matching")
def tag_keys_are_paths(self: Any, sound: Any, where: Any) -> Any:
    return iter([] if any("." in key for key, _ in where.tags) else list(sound(where)))


@plant("correlations.find.tags.awkward", "correlations._matching")
def tag_keys_with_quotes_find_nothing(self: Any, sound: Any, where: Any) -> Any:
    return iter([] if any('"' in key for key, _ in where.tags) else list(sound(where)))


@plant("correlations.find.tags", "correlations._matching")
def only_the_first_tag_counts(self: Any, sound: Any, where: Any) -> Any:
    return sound(replace(where, tags=where.tags[:1]))


@plant("correlations.find.tags", "correlations._matching")
def tag_values_have_no_case(self: Any, sound: Any, where: Any) -> Any:
    found = sound(replace(where, tags=()))
    return iter([row for row in found if all(_folded(row.tags.get(key, "\0"), value) for key, value in where.tags)])


@plant("correlations.find.tags", "correlations._matching")
def an_empty_tag_value_matches_a_missing_tag(self: Any, sound: Any, where: Any) -> Any:
    found = sound(replace(where, tags=()))
    return iter([row for row in found if all(row.tags.get(key, "") == value for key, value in where.tags)])


@plant("correlations.find.same_microsecond", "correlations._matching")
def one_event_a_moment(self: Any, sound: Any, where: Any) -> Any:
    return iter({row.timestamp: row for row in sound(where)}.values())


# --- orders and pages -------------------------------------------------------------------------

Key = Callable[[Any, Any], tuple[Any, ...]]


def _task_key(query: Any, row: Any) -> tuple[Any, ...]:
    return {
        "created": (row.created_at, row.task_id),
        "priority": (row.priority, row.created_at, row.task_id),
        "updated_desc": (row.updated_at, row.task_id),
    }[query.order]  # fmt: skip


def _thought_key(query: Any, row: Any) -> tuple[Any, ...]:
    return (row.created_at if query.order == "created" else row.updated_at, row.thought_id)


LISTINGS: dict[str, Key] = {
    "tasks.find": _task_key,
    "thoughts.find": _thought_key,
    "correlations.find": lambda query, row: (row.timestamp, row.correlation_id),
    "graph.list_nodes": lambda query, row: (row.updated_at, row.id, row.scope.value),
}


def _reordered(change: Callable[[list[Any]], list[Any]]) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        return Slice(change(page.items), page.next_after, page.unreadable)

    return method


def _no_ties(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        # Backwards among those that only the last column tells apart, as a database without ORDER BY of it may do.
        head = list(dict.fromkeys(key(query, row)[0] for row in page.items))
        items = sorted(reversed(page.items), key=lambda row: head.index(key(query, row)[0]))
        return Slice(items, page.next_after, page.unreadable)

    return method


def _skips_ties(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        rows = sound(replace(query, limit=ALL)).items
        left = [row for row in rows if query.after is None or key(query, row)[0] != query.after[0]]
        items = left[: query.limit]
        return Slice(items, key(query, items[-1]) if len(left) > len(items) > 0 else None)

    return method


def _repeats_the_last(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        rows = sound(replace(query, limit=ALL, after=None)).items
        keys = [key(query, row) for row in rows]
        start = keys.index(query.after) if query.after in keys else 0
        items = rows[start : start + query.limit]
        return Slice(items, keys[start + len(items) - 1] if start + len(items) < len(rows) else None)

    return method


def _always_more(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        return Slice(page.items, key(query, page.items[-1]) if page.items else None, page.unreadable)

    return method


def _first_page_only(self: Any, sound: Any, query: Any) -> Any:
    return Slice(sound(query).items)


def _one_too_many(self: Any, sound: Any, query: Any) -> Any:
    return sound(replace(query, limit=query.limit + 1))


def _after_is_ignored(self: Any, sound: Any, query: Any) -> Any:
    return sound(replace(query, after=None))


for _target, _key in LISTINGS.items():
    add(f"{_target}_backwards", f"{_target}.order", (_target, _reordered(lambda rows: rows[::-1])))
    add(f"{_target}_leaves_ties_unordered", f"{_target}.order {_target}.paging", (_target, _no_ties(_key)))
    add(f"{_target}_skips_ties", f"{_target}.paging {_target}.next_after", (_target, _skips_ties(_key)))
    add(f"{_target}_repeats_the_last_row", f"{_target}.paging", (_target, _repeats_the_last(_key)))
    add(f"{_target}_leads_to_an_empty_page", f"{_target}.next_after", (_target, _always_more(_key)))
    add(f"{_target}_ends_after_a_page", f"{_target}.paging {_target}.next_after", (_target, _first_page_only))
    add(f"{_target}_limit_off_by_one", f"{_target}.paging", (_target, _one_too_many))
    add(f"{_target}_starts_over", f"{_target}.paging {_target}.next_after", (_target, _after_is_ignored))

_COLLATED = "records.text.order records.ids.distinct"


def _collated(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        items = sorted(page.items, key=lambda row: (key(query, row)[0], key_of(row).casefold()))
        return Slice(items, page.next_after)

    return method


for _target in ("tasks.find", "graph.list_nodes"):
    add(f"{_target}_in_order_of_a_locale", "records.text.order", (_target, _collated(LISTINGS[_target])))
add("times_sort_as_text_with_no_leading_zero", "records.time.extremes", ("tasks.find", _reordered(lambda rows: sorted(rows, key=lambda row: str(row.created_at.year)))))
for _target in ("graph.list_edges", "audit.find"):
    _order = f"{_target}.order"
    add(f"{_target}_backwards", _order, (_target, _reordered(lambda rows: rows[::-1])))
    add(f"{_target}_starts_over", f"{_target}.next_after", (_target, _after_is_ignored))
    add(f"{_target}_ends_after_a_page", f"{_order} {_target}.next_after", (_target, _first_page_only))
add("graph.list_edges_leads_to_an_empty_page", "graph.list_edges.next_after", ("graph.list_edges", _always_more(lambda query, row: (row.scope.value, *row.key[:3]))))
add("audit.find_leads_to_an_empty_page", "audit.find.next_after", ("audit.find", _always_more(lambda query, row: (row.chain, row.sequence))))


@plant("correlations.find.order", "correlations.find")
def ties_ascend_where_times_descend(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    items = sorted(page.items, key=lambda row: row.correlation_id)
    return Slice(sorted(items, key=lambda row: row.timestamp, reverse=query.descending), page.next_after)


# --- filters after the limit, counts ----------------------------------------------------------


def _filter_after_limit(default: Any, position: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        right = [position(row) for row in sound(replace(query, limit=ALL)).items]
        page = sound(replace(default, limit=query.limit, after=query.after))
        return Slice([row for row in page.items if position(row) in right], page.next_after)

    return method


add("tasks_are_filtered_after_the_limit", "tasks.find.filters tasks.find.all_filters", ("tasks.find", _filter_after_limit(TaskQuery(), key_of)), ("tasks.count", lambda self, sound, query: len(self.find(replace(query, limit=ALL)).items)))
for _target, _default, _clause in (
    ("tasks.find", TaskQuery(), "tasks.find.all_filters"),
    ("thoughts.find", ThoughtQuery(), "thoughts.find.all_filters"),
    ("correlations.find", CorrelationQuery(), "correlations.find.all_filters"),
    ("graph.list_nodes", NodeQuery(), "graph.list_nodes.filter_before_limit"),
    ("graph.list_edges", EdgeQuery(), "graph.list_edges.filters"),
):  # fmt: skip
    _position: Callable[[Any], Any] = (lambda row: row.key) if "edges" in _target else key_of

    def _unpaged(default: Any, position: Callable[[Any], Any]) -> Callable[..., Any]:
        filtered = _filter_after_limit(default, position)
        return lambda self, sound, query: Slice(filtered(self, sound, query).items)

    add(f"{_target}_is_filtered_after_its_limit", _clause, (_target, _unpaged(_default, _position)))

_COUNTS = {"tasks.count": "tasks.find", "thoughts.count": "thoughts.find", "graph.count_nodes": "graph.list_nodes"}
for _target, _listing in _COUNTS.items():
    _method = _listing.split(".")[1]

    def _page_count(method: str) -> Callable[..., Any]:
        return lambda self, sound, query: len(getattr(self, method)(query).items)

    add(f"{_target}_counts_the_page", _target, (_target, _page_count(_method)))


@plant("correlations.count", "correlations.count")
def an_empty_count_is_none(self: Any, sound: Any, where: Any) -> Any:
    return sound(where) or None


for _target in ("tasks", "thoughts"):
    add(f"{_target}_statuses_without_rows_are_counted", f"{_target}.count_by_status", (f"{_target}.count_by_status", lambda self, sound, owner: {**dict.fromkeys(_all_statuses(self), 0), **sound(owner)}))
    add(f"{_target}_statuses_of_all_owners_are_counted", f"{_target}.count_by_status", (f"{_target}.count_by_status", lambda self, sound, owner: sound(None)))


def _all_statuses(store: Any) -> Any:
    from ciris_store_core.models import TaskStatus, ThoughtStatus

    return TaskStatus if type(store).__name__ == "MemoryTasks" else ThoughtStatus


@plant("graph.list_nodes.empty", "graph.list_nodes")
def an_empty_listing_is_an_error(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    if not page.items:
        raise LookupError("no rows")
    return page


# --- damaged rows -----------------------------------------------------------------------------


def _raises(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    if page.unreadable:
        raise ValueError("the row cannot be read")
    return page


def _hides(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    return Slice(page.items, page.next_after)


def _ends_there(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    return Slice(page.items, None if page.unreadable else page.next_after, page.unreadable)


for _target in LISTINGS:
    _clause = f"{_target}.unreadable"
    add(f"{_target}_fails_on_a_damaged_row", _clause, (_target, _raises))
    add(f"{_target}_hides_a_damaged_row", _clause, (_target, _hides))
    add(f"{_target}_ends_at_a_damaged_row", _clause, (_target, _ends_there))
