"""Memory operations as spans of the conventions for generative AI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ciris_store_core import GraphScope, InvalidArgument, MemoryQuery, Store
from ciris_store_core.integrations.genai import TracedMemoryService
from tests.support import factories


def use(store: Store, **options: Any) -> list[Any]:
    """The spans of a memory service that writes, reads and deletes one node."""
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    memory = TracedMemoryService(store, tracer_provider=tracers, store_id="agent", **options)
    memory.memorize(factories.node("tea", attributes={"likes": "oolong"}))
    memory.recall(MemoryQuery(node_id="te*", scope=GraphScope.LOCAL))
    memory.search("oolong")
    memory.forget(("tea", GraphScope.LOCAL))
    memory.forget(("tea", GraphScope.LOCAL))
    with pytest.raises(InvalidArgument):
        memory.search("oolong", limit=0)
    tracers.shutdown()
    return list(spans.get_finished_spans())


def test_operations_are_spans_without_contents(store: Store) -> None:
    spans = use(store)
    assert [(span.name, span.kind.name) for span in spans] == [
        (name, "CLIENT") for name in ("upsert_memory", *["search_memory"] * 2, *["delete_memory"] * 2, "search_memory")
    ]
    told = [dict(span.attributes) for span in spans]
    assert all(each["gen_ai.operation.name"] == span.name for each, span in zip(told, spans, strict=True))
    assert {each["gen_ai.memory.store.id"] for each in told} == {"agent"}
    assert [each.get("gen_ai.memory.record.id") for each in told] == ["tea", None, None, "tea", "tea", None]
    assert [each.get("gen_ai.memory.record.count") for each in told] == [1, 1, 1, 1, 0, None]
    assert [each.get("error.type") for each in told] == [None] * 5 + ["InvalidArgument"]
    assert "oolong" not in "".join(span.to_json() for span in spans)


def test_contents_are_told_on_request(store: Store) -> None:
    upserted, recalled, searched, *_ = (dict(span.attributes) for span in use(store, contents=True))
    assert (recalled["gen_ai.memory.query.text"], searched["gen_ai.memory.query.text"]) == ("te*", "oolong")
    for each in (upserted, recalled, searched):
        [record] = json.loads(each["gen_ai.memory.records"])
        assert record["id"] == "tea" and record["content"]["likes"] == "oolong"


def test_a_refused_write_is_an_error(store: Store) -> None:
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    memory = TracedMemoryService(store, tracer_provider=tracers)
    node = factories.node("self", scope=GraphScope.IDENTITY)
    assert (memory.memorize(node).status, memory.forget(node).status) == ("denied", "ok")
    errors = [(span.attributes.get("error.type"), span.status.is_ok) for span in spans.get_finished_spans()]
    assert errors == [("AccessDenied", False), (None, True)]
