"""The import of every row of the engine's database, in batches, into a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ciris_store_core.contract.foreign import ForeignDatabase
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import (
    AccessDenied,
    Conflict,
    InvalidArgument,
    NotFound,
    NotSupported,
    SecretDetected,
    StoreError,
)
from ciris_store_core.importer import correlation_rows, graph_rows, work_rows
from ciris_store_core.importer.engine_row import EngineRow
from ciris_store_core.importer.import_report import ImportReport, RowCounter, Say, TableReport
from ciris_store_core.importer.record_targets import Target, targets
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.models.tasks import Task
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.store import Store
from ciris_store_core.url import resolve_url

BATCH = 500
"""Rows of one transaction."""

MARK = "service_correlations"
"""The table that identifies a database of the engine."""

_OF_ONE_ROW = (AccessDenied, Conflict, InvalidArgument, NotFound)
"""Errors of single rows. Other errors end the import, and a repeated import continues it."""

_OTHER = frozenset({"schema_migrations"})
"""Tables without data of the agent."""


@dataclass(frozen=True, slots=True)
class EngineTable:
    """A table of the engine."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    """Columns beside the key."""
    model: type[Record]
    convert: Callable[[EngineRow], Record]
    becomes: str


TABLES = (
    EngineTable(
        "graph_nodes",
        ("node_id", "scope"),
        ("node_type", "attributes_json", "version", "updated_by", "updated_at", "created_at"),
        GraphNode,
        graph_rows.node,
        "nodes",
    ),
    EngineTable(
        "graph_edges",
        ("edge_id",),
        ("source_node_id", "target_node_id", "scope", "relationship", "weight", "attributes_json", "created_at"),
        GraphEdge,
        graph_rows.edge,
        "edges",
    ),
    EngineTable(
        "tasks",
        ("task_id",),
        (
            *("channel_id", "description", "status", "priority", "created_at", "updated_at", "parent_task_id"),
            *("context_json", "outcome_json", "retry_count", "signed_by", "signature", "signed_at"),
            *("updated_info_available", "updated_info_content", "agent_occurrence_id"),
        ),
        Task,
        work_rows.task,
        "tasks",
    ),
    EngineTable(
        "thoughts",
        ("thought_id",),
        (
            *("source_task_id", "channel_id", "thought_type", "status", "created_at", "updated_at", "round_number"),
            *("content", "context_json", "thought_depth", "ponder_notes_json", "parent_thought_id"),
            *("final_action_json", "agent_occurrence_id"),
        ),
        Thought,
        work_rows.thought,
        "thoughts",
    ),
    EngineTable(
        MARK,
        ("correlation_id",),
        (
            *("service_type", "handler_name", "action_type", "request_data", "response_data", "status"),
            *("created_at", "updated_at", "correlation_type", "timestamp", "metric_name", "metric_value"),
            *("log_level", "trace_id", "span_id", "parent_span_id", "tags", "retention_policy"),
            "agent_occurrence_id",
        ),
        Correlation,
        correlation_rows.correlation,
        "correlations",
    ),
    EngineTable(
        "feedback_mappings",
        ("feedback_id",),
        ("source_message_id", "target_thought_id", "feedback_type", "created_at"),
        Correlation,
        correlation_rows.feedback,
        "correlations (feedback)",
    ),
)
"""The imported tables in order: an edge needs its nodes."""

OnProgress = Callable[[str, int, int], object]
"""Called with a table's name, the number of its finished rows, and the number of all its rows."""


def open_engine(url: str | os.PathLike[str], *, registry: Registry | None = None) -> ForeignDatabase:
    """Open a database of the engine for reading: the path of an SQLite file, or a URL.

    Raises:
        NotSupported: The backend of the URL cannot read other programs' databases.
        StoreError: The database cannot be opened.
    """
    try:
        target = resolve_url(url)
    finally:
        del url  # The URL may hold a password, which a traceback with local variables would show.
    spec = (registry or Registry()).spec_for(target.scheme)
    if spec.open_foreign is None:
        raise NotSupported(
            f"{target.scheme}:// cannot be read from. Name as OLD an SQLite file or a postgresql:// URL."
        )
    return spec.open_foreign(target)


def import_ciris(
    old: ForeignDatabase,
    store: Store,
    report: ImportReport,
    *,
    say: Say | None = None,
    progress: OnProgress | None = None,
) -> ImportReport:
    """Write the engine's rows into a store.

    Memory does not grow with the database. Rows that are stored already are compared and left unchanged, so the import
    can be repeated after an interruption, or when the engine has written more.

    Args:
        old: The engine's database, open for reading.
        store: The target.
        report: The report to fill in and return.
        say: Called with one JSON object for each row that was fixed or refused.
        progress: Called with the progress.

    Raises:
        SecretDetected: A row holds a secret, and the store has no key to encrypt it with. Nothing was written.
        InvalidArgument: ``old`` is not a database of the engine.
        StoreError: A database failed. Rows that were written stay.
    """
    there = old.tables()
    if MARK not in there:
        other = (
            "it is a store already. Use ciris-store copy."
            if "correlations" in there
            else f"it has no table {MARK}. Name another."
        )
        raise InvalidArgument(f"OLD is no database of the CIRIS engine: {other}")
    kinds = targets(store)
    refuse_secrets(old, there, kinds)
    for table in TABLES:
        if table.name in there:
            told = TableReport(table.name, table.becomes)
            report.tables.append(told)
            _import(old, table, kinds[table.model], RowCounter(told, say), progress)
    taken = _OTHER.union(table.name for table in TABLES)
    counts = {name: old.count(name) for name in there if name not in taken}
    report.left_behind = {name: number for name, number in counts.items() if number}
    return report


def refuse_secrets(old: ForeignDatabase, there: Collection[str], kinds: Mapping[type[Record], Target]) -> None:
    """Raise ``SecretDetected`` if a row holds a secret that the store would refuse for lack of a key."""
    # Row by row, the import would write all other rows, and leave a store without some of its tasks.
    found: list[str] = []
    for table in TABLES if any(target.refuses_secrets for target in kinds.values()) else ():
        if table.name in there:
            rows = _converted(table, RowCounter(TableReport(table.name, ""), None), _values(old, table))
            found += (f"{table.name} {ready.key[0]!a}" for ready in rows if kinds[table.model].is_refused(ready.record))
    if found:
        raise SecretDetected(
            f"{len(found)} rows hold secrets, and there is no key to encrypt them with: {', '.join(found[:3])}"
            f"{', ...' if len(found) > 3 else ''}. Nothing was written. Make a key with 'ciris-store key new --file "
            "FILE', name it in CIRIS_SECRETS_KEY_FILE and run the import again; or import them as they are, with "
            "--secrets=plain or open_store(secrets=False)."
        )


def _values(old: ForeignDatabase, table: EngineTable) -> Iterator[dict[str, Any]]:
    there = old.columns(table.name)
    columns = [name for name in (*table.key, *table.columns) if name in there]
    return (dict(zip(columns, values, strict=True)) for values in old.rows(table.name, columns, table.key))


def _import(
    old: ForeignDatabase, table: EngineTable, target: Target, counter: RowCounter, progress: OnProgress | None
) -> None:
    total = old.count(table.name)
    rows = _values(old, table)
    while batch := [*islice(rows, BATCH)]:
        _store(target, counter, [*_converted(table, counter, batch)])
        counter.report.read += len(batch)
        if progress is not None:
            progress(table.name, counter.report.read, max(total, counter.report.read))


@dataclass(frozen=True, slots=True)
class _Ready:
    """A record and its origin."""

    record: Any
    key: tuple[Any, ...]
    notes: list[str]


def _converted(table: EngineTable, counter: RowCounter, batch: Iterable[dict[str, Any]]) -> Iterator[_Ready]:
    for values in batch:
        key, row = tuple(values[name] for name in table.key), EngineRow(values)
        try:
            yield _Ready(table.convert(row), key, row.notes)
        except InvalidArgument as error:
            counter.refused(key, row.notes, str(error))


def _store(target: Target, counter: RowCounter, batch: list[_Ready]) -> None:
    new: dict[Any, _Ready] = {}
    later: list[_Ready] = []
    try:
        known = target.known([target.key(ready.record) for ready in batch])
    except InvalidArgument:
        _one_by_one(target, counter, batch)  # The store cannot even look up one of the keys.
        return
    for ready in batch:
        key = target.key(ready.record)
        if key in known:
            _compare(target, counter, ready, known[key])
        elif key in new:
            later.append(ready)  # Two rows of the engine may be one record: its edges have ids of their own.
        else:
            new[key] = ready
    _add(target, counter, [*new.values()])
    _one_by_one(target, counter, later)


def _compare(target: Target, counter: RowCounter, ready: _Ready, stored: Record) -> None:
    try:
        field = target.difference(ready.record, stored)
    except InvalidArgument as error:  # The record holds a secret, and the store has no key to compare it.
        counter.refused(ready.key, ready.notes, _said(error))
        return
    if field is None:
        counter.taken(ready.key, ready.notes, written=False)
    else:
        counter.refused(ready.key, ready.notes, f"stored already, and differs in {field}: left as it is")


def _add(target: Target, counter: RowCounter, batch: list[_Ready]) -> None:
    if not batch:
        return
    try:
        target.add([ready.record for ready in batch])
    except _OF_ONE_ROW as error:
        if len(batch) > 1:
            _one_by_one(target, counter, batch)
        else:
            counter.refused(batch[0].key, batch[0].notes, _said(error))
        return
    for ready in batch:
        counter.taken(ready.key, ready.notes, written=True)


def _one_by_one(target: Target, counter: RowCounter, batch: list[_Ready]) -> None:
    for ready in batch:
        try:
            known = target.known([target.key(ready.record)])
        except InvalidArgument as error:
            counter.refused(ready.key, ready.notes, _said(error))
            continue
        for stored in known.values():
            _compare(target, counter, ready, stored)
        if not known:
            _add(target, counter, [ready])


def _said(error: StoreError) -> str:
    return " ".join(str(error).split())
