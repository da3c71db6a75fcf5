"""A store so large that reading all of a table is never the cheapest way to a few rows."""

from __future__ import annotations

from typing import Any

from ciris_store_core.conformance import factories as make
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.contract import Backend
from ciris_store_core.models import CorrelationType, GraphScope
from ciris_store_core.models.documents import DocumentWrite, StoredDocument
from ciris_store_core.models.enums import Resolution, RetentionPolicy, TaskStatus, ThoughtStatus
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import StoredEntry, StreamKey
from tests.support.pgserver import execute

OWNERS = 20
TASKS = 8000
DOCUMENTS = 13_000
LATE = at(10_000_000)
SCOPES = list(GraphScope)


def fill(backend: Backend) -> None:
    """Enough rows that reading all of a table is never the cheapest way to a few of them."""
    with backend.session(write=True) as session:
        session.tasks.add([_task(n) for n in range(TASKS)])
        session.thoughts.add([_thought(n) for n in range(TASKS)])
        session.correlations.add([_correlation(n) for n in range(TASKS)])
        session.graph.put_nodes([make.put(_node(n)) for n in range(TASKS)], T0)
        session.graph.put_edges([_edge(n) for n in range(TASKS)])
        session.documents.put([DocumentWrite(_document(n)) for n in range(DOCUMENTS)], T0)
        session.documents.create_index(("name",))
        session.streams.append(STREAM, [_entry(n) for n in range(TASKS)], T0, None)
        for n in range(400):
            session.streams.append(StreamKey(("streams", f"s{n % 20}"), f"n{n}"), [_entry(n)], at(n), None)
        for n in range(0, OWNERS, 2):
            session.coordination.put_occurrence(make.occurrence(f"owner {n}", expires_at=LATE))


def _task(n: int) -> Any:
    statuses = list(TaskStatus)
    claimed = {"claimed_by": f"owner {n % OWNERS}", "claimed_at": at(n), "claimed_from": "default"}
    return make.task(
        f"task {n}",
        agent_occurrence_id=f"owner {n % OWNERS}",
        status=statuses[n // OWNERS % len(statuses)],
        priority=n % 11,
        channel_id=f"channel {n % 50}",
        created_at=at(n),
        updated_at=at(n),
        parent_task_id=f"task {n - 1}" if n % 10 == 1 else None,
        shared_type="nightly" if n % 100 == 0 else None,
        context={"correlation_id": f"correlation {n}"},
        **(claimed if n % 3 == 0 else {}),
    )


def _thought(n: int) -> Any:
    statuses = list(ThoughtStatus)
    return make.thought(
        f"thought {n}",
        f"task {n - n % 2}",
        agent_occurrence_id=f"owner {n % OWNERS}",
        status=statuses[n // OWNERS % len(statuses)],
        created_at=at(n),
        updated_at=at(n),
        parent_thought_id=f"thought {n - 1}" if n % 10 == 1 else None,
    )


def _correlation(n: int) -> Any:
    fields = {
        "correlation_type": CorrelationType.METRIC_DATAPOINT,
        "timestamp": at(n),
        "metric_data": {"metric_name": f"metric {n % 20}", "metric_value": float(n)},
        "tags": {"host": f"h{n % 5}"},
        "request_data": {
            "service_type": "llm", "method_name": "ask", "task_id": f"task {n}", "thought_id": f"thought {n}",
            "channel_id": f"channel {n % 50}",
        },
        "trace_context": {"trace_id": f"trace {n % 400}", "span_id": f"span {n}", "span_name": "s"},
        "parent_correlation_id": f"correlation {n - 1}" if n % 10 == 1 else None,
        "ttl_seconds": 60 if n % 100 == 0 else None,
        "agent_occurrence_id": f"owner {n % OWNERS}",
        "retention_policy": RetentionPolicy.DOWNSAMPLED if n % 200 in (0, 1, 8) else RetentionPolicy.RAW,
    }  # fmt: skip
    if n % 200 == 8:
        fields |= {"correlation_type": CorrelationType.METRIC_HOURLY_SUMMARY, "resolution": Resolution.HOURLY}
    if n % 4:
        fields |= {"correlation_type": CorrelationType.LOG_ENTRY, "metric_data": None}
        fields |= {"log_data": {"log_level": "ERROR" if n % 40 == 1 else "INFO", "log_message": "m"}}
    return make.correlation(f"correlation {n}", **fields)


def _node(n: int) -> Any:
    return make.node(
        f"node {n}",
        scope=SCOPES[n % 2],
        type=f"type_{n % 20}",
        attributes={"n": n, "name": f"word{n % 500}"},
        updated_at=at(n),
        expires_at=at(n) if n % 100 == 0 else None,
    )


def _edge(n: int) -> Any:
    return make.edge(f"node {n}", f"node {(n * 7) % TASKS // 2 * 2 + n % 2}", f"kind {n % 5}", scope=SCOPES[n % 2])


def _document(n: int) -> StoredDocument:
    payload = (
        Payload("encrypted", b"x", key_id="k1") if n % 50 == 0 else Payload("json", f'{{"name": "n{n}", "n": {n}}}')
    )
    expires_at = at(n) if n % 100 == 1 else None
    return StoredDocument(("docs", f"d{n % 100}"), f"key {n}", payload, at(n), at(n), expires_at=expires_at, ttl=5.0)


def _entry(n: int) -> StoredEntry:
    payload = Payload("encrypted", b"x", key_id="k1") if n % 50 == 0 else Payload("json", "1")
    return StoredEntry(payload, at(n), f"id {n}" if n % 3 == 0 else None)


STREAM = StreamKey(("streams", "long"), "long")
KEYS = {
    "tasks": {"task_id"},
    "thoughts": {"thought_id", "source_task_id"},
    "correlations": {"correlation_id"},
    "graph_nodes": {"id"},
    "graph_edges": {"source", "target"},
    "documents": {"key"},
    "streams": {"name"},
}


COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = '{table}' AND is_generated = 'NEVER' AND is_identity = 'NO'
"""


STREAMS = """
INSERT INTO streams (path, name, first_position, last_position, created_at, updated_at)
SELECT 'x' || chr(1), 'name ' || n, 1, 0, '2026-01-01', '2026-01-01' FROM generate_series(1, 20000) n
"""


def multiply(url: str) -> None:
    """Eight times the rows, for a database that knows how cheap it is to read a small table whole."""
    for table, keys in KEYS.items():
        columns = [row[0] for row in execute(url, COLUMNS.format(table=table))]
        values = ", ".join(f"{column} || '~' || k" if column in keys else column for column in columns)
        execute(
            url, f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}, generate_series(1, 7) k"
        )
