"""Databases as the engine leaves them, made from what it stores, on both of its databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from tests.store.conftest import clock, opened, store, url

__all__ = ["clock", "opened", "store", "url"]

# Columns by table: a name alone is text, ":json" and ":time" are types of their own on PostgreSQL.
TABLES = {
    "graph_nodes": "node_id scope node_type attributes_json:json version:int updated_by updated_at:time "
    "created_at:time",
    "graph_edges": "edge_id source_node_id target_node_id scope relationship weight:real attributes_json:json "
    "created_at:time",
    "tasks": "task_id channel_id description status priority:int created_at:time updated_at:time parent_task_id "
    "context_json:json outcome_json:json retry_count:int signed_by signature signed_at:time "
    "updated_info_available:int updated_info_content agent_occurrence_id",
    "thoughts": "thought_id source_task_id channel_id thought_type status created_at:time updated_at:time "
    "round_number:int content context_json:json thought_depth:int ponder_notes_json:json parent_thought_id "
    "final_action_json:json agent_occurrence_id",
    "service_correlations": "correlation_id service_type handler_name action_type request_data:json "
    "response_data:json status created_at:time updated_at:time correlation_type timestamp:time metric_name "
    "metric_value:real log_level trace_id span_id parent_span_id tags:json retention_policy agent_occurrence_id",
    "feedback_mappings": "feedback_id source_message_id target_thought_id feedback_type created_at:time",
    "wa_cert": "wa_id name",
    "schema_migrations": "filename",
}
SQLITE_TYPES = {"": "TEXT", "json": "TEXT", "time": "TEXT", "int": "INTEGER", "real": "REAL"}
POSTGRES_TYPES = {"": "TEXT", "json": "JSONB", "time": "TIMESTAMP", "int": "INTEGER", "real": "DOUBLE PRECISION"}

AT = "2025-10-01T12:00:00+00:00"

#: Default values of a row of each table.
ORDINARY: dict[str, dict[str, Any]] = {
    "graph_nodes": {"scope": "local", "node_type": "concept", "attributes_json": {}, "version": 1, "updated_at": AT,
                    "created_at": AT},
    "graph_edges": {"scope": "local", "relationship": "knows", "weight": 1.0, "created_at": AT},
    "tasks": {"channel_id": "api", "description": "do it", "status": "pending", "priority": 0, "created_at": AT,
              "updated_at": AT, "agent_occurrence_id": "default"},
    "thoughts": {"source_task_id": "t1", "thought_type": "standard", "status": "pending", "content": "hm",
                 "created_at": AT, "updated_at": AT, "agent_occurrence_id": "default"},
    "service_correlations": {"service_type": "bus", "handler_name": "h", "action_type": "speak", "status": "pending",
                             "created_at": AT, "updated_at": AT, "timestamp": AT, "retention_policy": "raw",
                             "correlation_type": "service_interaction", "agent_occurrence_id": "default"},
    "feedback_mappings": {"created_at": AT},
    "wa_cert": {"name": "x"},
    "schema_migrations": {},
}  # fmt: skip


def columns(table: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, _, kind in (each.partition(":") for each in TABLES[table].split())]


class Engine:
    """A database of the engine."""

    def __init__(self, url: str, run: Callable[[str, tuple[Any, ...]], None]) -> None:
        self.url = url
        self._run = run

    def add(self, table: str, key: str | Mapping[str, Any], **values: Any) -> None:
        """A row, ordinary but for the values given."""
        names = columns(table)
        row = {names[0][0]: key} if isinstance(key, str) else dict(key)
        row = {**ORDINARY[table], **row, **values}
        kinds = dict(names)
        shown = [json.dumps(v) if kinds[n] == "json" and isinstance(v, dict | list) else v for n, v in row.items()]
        marks = ", ".join("?" for _ in row)
        self._run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(shown))


def _ddl(types: Mapping[str, str], tables: Mapping[str, str] = TABLES) -> Iterator[str]:
    for table in tables:
        made = ", ".join(f"{name} {types[kind]}" for name, kind in columns(table))
        yield f"CREATE TABLE {table} ({made})"


@pytest.fixture
def sqlite_engine(tmp_path: Any) -> Engine:
    path = tmp_path / "old" / "ciris_engine.db"
    path.parent.mkdir()

    def run(statement: str, params: tuple[Any, ...] = ()) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(statement, params)

    for statement in _ddl(SQLITE_TYPES):
        run(statement)
    return Engine(str(path), run)


@pytest.fixture
def opened_elsewhere(sqlite_engine: Engine) -> Iterator[sqlite3.Connection]:
    """A program that has the engine's file open."""
    with closing(sqlite3.connect(sqlite_engine.url)) as connection:
        connection.execute("SELECT count(*) FROM tasks").fetchone()
        yield connection


@pytest.fixture
def postgres_engine(postgres_server: Any) -> Iterator[Engine]:
    url = postgres_server.create_database()
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def run(statement: str, params: tuple[Any, ...] = ()) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement.replace("?", "%s")), params)  # type: ignore[arg-type]

    for statement in _ddl(POSTGRES_TYPES):
        run(statement)
    yield Engine(url, run)
    connection.close()
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite_engine", "postgres_engine"])
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.getfixturevalue(request.param)
    return made
