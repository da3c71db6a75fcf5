"""A store with a record of each kind."""

from __future__ import annotations

from typing import Any

from ciris_store_core import (
    ANY_OCCURRENCE,
    ManualClock,
    NewDocument,
    NewEntry,
    Store,
    Transaction,
)
from ciris_store_core.conformance.factories import T0, at, correlation, edge, metric, node, task, thought
from ciris_store_core.models import (
    CorrelationType,
    TaskContext,
    TaskOutcome,
    TraceContext,
)

Home = Store | Transaction
ME = "me"
SPACE = ["space", "a"]
CONTEXT = TaskContext(correlation_id="c", channel_id="channel", user_id="u", parent_task_id="p", metadata={"k": 1})
OUTCOME = TaskOutcome(status="done", summary="s", actions_taken=["a"], memories_created=["m"], errors=["e"])
TRACE = TraceContext(trace_id="tr", span_id="sp", span_name="n", parent_span_id="pa", baggage={"k": "v"})


def whole_node(id: str) -> Any:
    return node(
        id, attributes={"k": "v"}, updated_by="u", expires_at=at(10**6), metadata={"k": 1}, version=1,
        secret_refs=["s"], consent_stream="temporary", revision=1,
    )  # fmt: skip


def whole_edge(source: str, target: str) -> Any:
    return edge(
        source, target, "likes", weight=0.5, attributes={"created_at": T0, "context": "c", "k": 1}, metadata={"k": 1}
    )


def whole_task(id: str) -> Any:
    return task(
        id, context=CONTEXT, outcome=OUTCOME, created_by="u", parent_task_id="p", signed_by="wa", signature="sig",
        signed_at=T0, updated_info_content="i", claimed_by=ME, claimed_at=T0, claimed_from="default",
        shared_type="TYPE", metadata={"k": 1},
    )  # fmt: skip


def whole_thought(id: str) -> Any:
    return thought(
        id, channel_id="channel", context={"k": 1}, ponder_notes=["n"], parent_thought_id="h", round_number=1,
        final_action={"action_type": "speak", "action_params": {"k": 1}, "reasoning": "r"}, metadata={"k": 1},
    )  # fmt: skip


def whole_correlation(id: str) -> Any:
    return correlation(
        id, tags={"k": "v"}, trace_context=TRACE, ttl_seconds=10**6, parent_correlation_id="pa",
        child_correlation_ids=["x"], metadata={"k": 1},
        request_data={"service_type": "s", "method_name": "m", "thought_id": "h", "task_id": "t",
                      "channel_id": "channel", "parameters": {"k": "v"}, "request_timestamp": T0,
                      "timeout_seconds": 1.0},
        response_data={"success": True, "result_summary": "s", "result_type": "t", "result_size": 1, "error_type": "e",
                       "error_message": "m", "error_traceback": "t", "execution_time_ms": 1.0, "response_timestamp": T0,
                       "tokens_used": 1, "memory_bytes": 1},
        metric_data={"metric_name": "cpu", "metric_value": 1.0, "metric_unit": "%", "labels": {"k": "v"},
                     "min_value": 0.0, "max_value": 2.0, "mean_value": 1.0, "percentiles": {"p50": 1.0},
                     "sample_count": 3, "sample_sum": 3.0, "last_timestamp": T0},
        log_data={"log_level": "INFO", "log_message": "m", "logger_name": "l", "extra_fields": {"k": 1}},
    )  # fmt: skip


def fill(store: Home, clock: ManualClock) -> None:
    """Store a record of each kind."""
    store.graph.put_many([node("n", attributes={"k": "v", "n": 1}), node("m", attributes={"words": "alpha beta"})])
    store.graph.put_edge(edge("n", "m", attributes={"created_at": T0, "context": "c"}))
    request = {"service_type": "s", "method_name": "m"}
    store.correlations.add_many(
        [
            correlation("c", request_data={**request, "task_id": "t", "channel_id": "channel"}),
            metric("v", 1.5, tags={"host": "a"}),
            correlation("span", trace_context={"trace_id": "tr", "span_id": "sp", "span_name": "n"}),
        ]
    )  # fmt: skip
    store.tasks.add_many([task("t"), task("done", status="completed"), task("claimed", agent_occurrence_id="queue")])
    store.thoughts.add_many(
        [thought("h", "t"), thought("failed", "t", status="failed"), thought("mine", "claimed", agent_occurrence_id=ME)]
    )
    store.occurrences.register(ME, 1000)
    store.occurrences.register("dead", 1)
    store.leases.acquire("job", ME, 1000)
    store.tasks.claim_next(ME, queue="queue")
    store.shared_tasks.try_claim("wakeup", "channel", "d", occurrence_id=ME)
    store.audit.append("login", ME, {"k": 1})
    store.documents.put_many(
        [NewDocument(SPACE, "d", {"k": "v", "n": 1}, ttl=1000), NewDocument(SPACE, "b", b"x", "text/plain")]
    )
    store.streams.append(SPACE, "s", [NewEntry({"k": "v"}, "said", "e"), NewEntry(b"x", media_type="text/plain")])
    clock.advance(seconds=2)


def empty(store: Home) -> None:
    """Take everything away but the leases, which stay for their fences, and the audit trail."""
    store.graph.delete_many([each.key for each in store.graph.scan(include_expired=True)])
    events = [each for each in store.correlations.scan() if each.correlation_type != CorrelationType.AUDIT_EVENT]
    store.correlations.delete_many(each.correlation_id for each in events)
    store.tasks.delete_many(each.task_id for each in store.tasks.scan(occurrence_id=ANY_OCCURRENCE))
    store.thoughts.delete_many(each.thought_id for each in store.thoughts.scan(occurrence_id=ANY_OCCURRENCE))
    for each in store.occurrences.find(alive_only=False):
        store.occurrences.remove(each.occurrence_id)
    for lease in store.leases.find():
        store.leases.release(lease)
    store.documents.delete_matching(SPACE[:1])
    store.streams.delete_many([(each.namespace, each.name) for each in store.streams.find(limit=10_000).items])
