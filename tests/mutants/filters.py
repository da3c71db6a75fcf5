"""Faults of listings: filters, bounds, comparisons."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import CorrelationFilter
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from tests.mutants.planting import add, plant

TICK = timedelta(microseconds=1)
ALL = 10**6


def with_query(**given: Any) -> Callable[..., Any]:
    """Replace fields of the query."""
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
            "correlations.find.expired": "now", "correlations.points.expired": "now",
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
    ("correlations._matching", "correlations.find.expired", "now"),
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
    """Replace the comparison of a filter."""

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
add("pools_have_no_case", "tasks.claim_next.queue", ("tasks._matching", _kept("agent_occurrence_id", "occurrence_id", _folded)))


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
    """Replace the comparison of attributes."""

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
}


def _as_float(value: Any) -> Any:
    return (isinstance(value, bool), float(value)) if isinstance(value, (int, float)) else value


def _nfc(value: Any) -> Any:
    import unicodedata

    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


for _name, (_which, _same) in _COMPARED.items():
    add(_name, f"graph.list_nodes.attributes.{_which}", ("graph._matching", _attributes(_same)))


@plant("graph.list_nodes.attributes.all", "graph._matching")
def any_attribute_will_do(self: Any, sound: Any, query: Any) -> Any:
    parts = [sound(replace(query, attributes=(each,))) for each in query.attributes] or [sound(query)]
    return iter({row.key: row for part in parts for row in part}.values())


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
