"""Faults of cost: statements for each record, and rows that no caller asked for."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ciris_store_core.conformance.suite.costs import BATCHES, COUNTS, ONE_STATEMENT
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.streams import EntryQuery, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from tests.mutants.planting import add

EVERYTHING = 10**6


def _for_each(self: Any, sound: Any, batch: Any, *more: Any) -> Any:
    found = [sound([each], *more) for each in batch]
    if not found or found[0] is None:
        return None
    return sum(found) if isinstance(found[0], int) else [row for rows in found for row in rows]


def _for_each_of_a_stream(self: Any, sound: Any, stream: Any, batch: Any, *more: Any) -> Any:
    return [row for each in batch for row in sound(stream, [each], *more)]


for _name in BATCHES:
    _method = _for_each_of_a_stream if _name in ("streams.append", "streams.get") else _for_each
    add(f"{_name}_sends_a_statement_for_each", "session.costs.batches", (_name, _method))


def _all_of_them(self: Any, sound: Any, query: Any) -> Any:
    page = sound(replace(query, limit=EVERYTHING))
    items = page.items[: query.limit]
    more = sound(query).next_after if len(items) < len(page.items) else None
    return ResultPage(items, more, page.corrupt)


for _name in ("tasks.find", "thoughts.find", "correlations.find", "correlations.points", "graph.list_nodes", "graph.list_edges", "documents.find", "streams.find"):
    add(f"{_name}_loads_every_row_for_a_page", "session.costs.answers", (_name, _all_of_them))

_LISTED: dict[str, tuple[str, Any]] = {
    "tasks": ("find", TaskQuery(EVERYTHING)),
    "thoughts": ("find", ThoughtQuery(EVERYTHING)),
    "correlations": ("find", CorrelationQuery(EVERYTHING, where=CorrelationFilter())),
    "graph": ("list_nodes", NodeQuery(EVERYTHING)),
    "documents": ("find", DocumentQuery(EVERYTHING)),
}


def _loading(name: str) -> Any:
    part = name.partition(".")[0]
    listing, query = _LISTED[part]

    def method(self: Any, sound: Any, *arguments: Any) -> Any:
        getattr(self, listing)(query)
        return sound(*arguments)

    return method


for _name in COUNTS:
    add(f"{_name}_loads_every_row", "session.costs.counts", (_name, _loading(_name)))
add("claims_load_the_queue", "session.costs.answers", ("tasks.claim_next", _loading("tasks.claim_next")))
add("expiry_loads_every_node", "session.costs.answers", ("graph.delete_expired_nodes", _loading("graph.delete_expired_nodes")))
add("a_stream_is_read_whole_to_append", "session.costs.answers", ("streams.append", lambda self, sound, stream, *more: (self.read(stream, EntryQuery(EVERYTHING)), sound(stream, *more))[1]))
add("a_stream_is_read_whole_to_pop", "session.costs.answers", ("streams.pop", lambda self, sound, stream, now: (self.read(stream, EntryQuery(EVERYTHING)), sound(stream, now))[1]))
add("edges_are_walked_for_a_node", "session.costs.answers", ("graph.list_nodes", lambda self, sound, query: (self.list_edges(EdgeQuery(EVERYTHING)), sound(query))[1]))


def _reading_first(name: str) -> Any:
    part = name.partition(".")[0]

    def method(self: Any, sound: Any, *arguments: Any) -> Any:
        if part in ("tasks", "thoughts"):
            self.get(["t"], None)
        elif part == "documents":
            self.get([], None)
        elif part == "streams":
            self.find(StreamQuery())
        elif part in ("correlations", "secrets"):
            self.get(["c"])
        elif part == "coordination":
            self.list_leases(None)
        else:
            self.get_edges([]) if name != "graph.get_edges" else self.get_nodes([], None)
        return sound(*arguments)

    return method


for _name in ONE_STATEMENT:
    if _name.endswith(".get"):
        add(f"{_name}_asks_twice", "session.costs.one_statement", (_name, lambda self, sound, *arguments: sound(*arguments) and sound(*arguments)))
    else:
        add(f"{_name}_reads_first", "session.costs.one_statement", (_name, _reading_first(_name)))
