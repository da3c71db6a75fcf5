"""Faults of listings: orders, pages, counts, damaged rows."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ciris_store_core.errors import Corrupt, NotFound
from ciris_store_core.models.correlations import CorrelationQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from tests.mutants.planting import add, key_of, plant

TICK = timedelta(microseconds=1)
ALL = 10**6


def with_query(**given: Any) -> Callable[..., Any]:
    """Replace fields of the query."""
    return lambda self, sound, query: sound(replace(query, **given))

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
        return ResultPage(change(page.items), page.next_after, page.corrupt)

    return method


def _no_ties(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        # Backwards among those that only the last column tells apart, as a database without ORDER BY of it may do.
        head = list(dict.fromkeys(key(query, row)[0] for row in page.items))
        backwards = page.items[::-1]
        items = sorted(backwards, key=lambda row: head.index(key(query, row)[0]))
        return ResultPage(items, page.next_after, page.corrupt)

    return method


def _skips_ties(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        rows = sound(replace(query, limit=ALL)).items
        left = [row for row in rows if query.after is None or key(query, row)[0] != query.after[0]]
        items = left[: query.limit]
        return ResultPage(items, key(query, items[-1]) if len(left) > len(items) > 0 else None)

    return method


def _repeats_the_last(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        rows = sound(replace(query, limit=ALL, after=None)).items
        keys = [key(query, row) for row in rows]
        start = keys.index(query.after) if query.after in keys else 0
        items = rows[start : start + query.limit]
        return ResultPage(items, keys[start + len(items) - 1] if start + len(items) < len(rows) else None)

    return method


def _always_more(key: Key) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        page = sound(query)
        return ResultPage(page.items, key(query, page.items[-1]) if page.items else None, page.corrupt)

    return method


def _first_page_only(self: Any, sound: Any, query: Any) -> Any:
    return ResultPage(sound(query).items)


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
        return ResultPage(items, page.next_after)

    return method


for _target in ("tasks.find", "graph.list_nodes"):
    add(f"{_target}_in_order_of_a_locale", "records.text.order", (_target, _collated(LISTINGS[_target])))
add("times_sort_as_text_of_any_length", "records.time.extremes", ("tasks.find", _reordered(lambda rows: sorted(rows, key=lambda row: row.created_at.isoformat().replace("+00:00", "Z")))))
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
    return ResultPage(sorted(items, key=lambda row: row.timestamp, reverse=query.descending), page.next_after)


# --- filters after the limit, counts ----------------------------------------------------------


def _filter_after_limit(default: Any, position: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(self: Any, sound: Any, query: Any) -> Any:
        right = [position(row) for row in sound(replace(query, limit=ALL)).items]
        page = sound(replace(default, limit=query.limit, after=query.after))
        return ResultPage([row for row in page.items if position(row) in right], page.next_after)

    return method


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
        return lambda self, sound, query: ResultPage(filtered(self, sound, query).items)

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
        raise NotFound("no rows")
    return page


# --- damaged rows -----------------------------------------------------------------------------


def _raises(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    if page.corrupt:
        raise Corrupt("the row cannot be read")
    return page


def _hides(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    return ResultPage(page.items, page.next_after)


def _ends_there(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    return ResultPage(page.items, None if page.corrupt else page.next_after, page.corrupt)


for _target in LISTINGS:
    _clause = f"{_target}.corrupt"
    add(f"{_target}_fails_on_a_damaged_row", _clause, (_target, _raises))
    add(f"{_target}_hides_a_damaged_row", _clause, (_target, _hides))
    add(f"{_target}_ends_at_a_damaged_row", _clause, (_target, _ends_there))
