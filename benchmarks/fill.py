"""Fills the store's tables with as many tasks, nodes and points, by the database itself."""

from __future__ import annotations

import psycopg2

from benchmarks import raw_sqlite, values
from ciris_store_core import open_store

# Even tasks are pending, odd ones completed. 2654435761 scatters the keys, as values.filled_key does.
_SQLITE_NUMBERS = "WITH RECURSIVE number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < {size})"
_SQLITE_KEY = "'{kind}-' || printf('%08x', i * 2654435761 % 4294967296)"

_SQLITE = """
INSERT INTO tasks (task_id, channel_id, description, agent_occurrence_id, status, priority, created_at, updated_at,
    context, updated_info_available, fence, metadata, correlation_id)
{numbers} SELECT {task}, 'channel-1', 'Answer the question that user 1 asked in channel 1, number ' || i, 'default',
    CASE i % 2 WHEN 0 THEN 'pending' ELSE 'completed' END, i % 11, {end} - i * 1000000, {end} - i * 1000000,
    json_object('correlation_id', 'request-' || i, 'channel_id', 'channel-1', 'user_id', 'user-1', 'parent_task_id',
        NULL, 'agent_occurrence_id', 'default', 'metadata', json('{{}}')),
    0, 0, json_object('source', 'discord', 'attempt', i, 'labels', json('["urgent","question"]')), 'request-' || i
FROM number;

INSERT INTO graph_nodes (id, scope, type, attributes, version, revision, created_at, updated_at, consent_stream)
{numbers} SELECT {node}, 'local', 'concept', json_object('name', 'concept ' || i, 'weight', 0.5, 'seen', i, 'words',
        json('["alpha","beta"]'), 'active', json('true')),
    1, 1, {end} - i * 1000000, {end} - i * 1000000, 'temporary'
FROM number;

INSERT INTO graph_words (node_number, size, words)
SELECT node_number, 11, ' ' || replace(id, '-', ' ') || ' ' || json_extract(attributes, '$.name')
    || ' name weight seen words alpha beta active ' FROM graph_nodes;

INSERT INTO graph_word_index (rowid, words) SELECT node_number, words FROM graph_words;

DELETE FROM graph_words_pending;

INSERT INTO correlations (correlation_id, correlation_type, service_type, handler_name, action_type, status,
    agent_occurrence_id, scope, created_at, updated_at, timestamp, metric_name, metric_value, tags, retention_policy,
    resolution)
{points} SELECT {point}, 'metric_datapoint', 'llm', 'bench', 'record_metric', 'pending', 'default', 'local',
    {end} - i * {step}, {end} - i * {step}, {end} - i * {step}, 'metric_' || (i % {series}), i % 1000 / 10.0,
    json_object('model', 'model-' || (i % 3), 'region', 'eu'), 'raw', 'raw'
FROM number;
"""

_POSTGRES_KEY = "'{kind}-' || lpad(to_hex(i * 2654435761 % 4294967296), 8, '0')"

_POSTGRES = """
INSERT INTO tasks (task_id, channel_id, description, agent_occurrence_id, status, priority, created_at, updated_at,
    context, updated_info_available, fence, metadata, correlation_id)
SELECT {task}, 'channel-1', 'Answer the question that user 1 asked in channel 1, number ' || i, 'default',
    CASE i % 2 WHEN 0 THEN 'pending' ELSE 'completed' END, i % 11, {end} - i * interval '1 s',
    {end} - i * interval '1 s',
    jsonb_build_object('correlation_id', 'request-' || i, 'channel_id', 'channel-1', 'user_id', 'user-1',
        'parent_task_id', NULL, 'agent_occurrence_id', 'default', 'metadata', '{{}}'::jsonb),
    false, 0, jsonb_build_object('source', 'discord', 'attempt', i, 'labels', '["urgent","question"]'::jsonb),
    'request-' || i
FROM generate_series(0::bigint, {size} - 1) i;

INSERT INTO graph_nodes (id, scope, type, attributes, version, revision, created_at, updated_at, consent_stream, words)
SELECT {node}, 'local', 'concept', jsonb_build_object('name', 'concept ' || i, 'weight', 0.5, 'seen', i, 'words',
        '["alpha","beta"]'::jsonb, 'active', true),
    1, 1, {end} - i * interval '1 s', {end} - i * interval '1 s', 'temporary',
    array_to_tsvector(string_to_array(replace({node}, '-', ' ') || ' concept ' || i
        || ' name weight seen words alpha beta active', ' '))
FROM generate_series(0::bigint, {size} - 1) i;

INSERT INTO correlations (correlation_id, correlation_type, service_type, handler_name, action_type, status,
    agent_occurrence_id, scope, created_at, updated_at, timestamp, metric_name, metric_value, tags, retention_policy,
    resolution)
SELECT {point}, 'metric_datapoint', 'llm', 'bench', 'record_metric', 'pending', 'default', 'local',
    {end} - i * {step}, {end} - i * {step}, {end} - i * {step}, 'metric_' || (i % {series}), i % 1000 / 10.0,
    jsonb_build_object('model', 'model-' || (i % 3), 'region', 'eu'), 'raw', 'raw'
FROM generate_series(0::bigint, {points} - 1) i;
"""


def fill(url: str, size: int, points: int) -> None:
    """Make the tables of the store in an empty database, with ``size`` tasks and nodes and ``points`` metrics."""
    with open_store(url):
        pass
    if url.startswith("sqlite"):
        _fill_sqlite(path_of(url), size, points)
    else:
        _fill_postgres(url, size, points)


def path_of(url: str) -> str:
    """The file of an SQLite URL."""
    return url.removeprefix("sqlite:///")


def _fill_sqlite(path: str, size: int, points: int) -> None:
    db = raw_sqlite.connect(path)
    db.execute("PRAGMA synchronous = OFF")  # here only: nothing of this is measured
    db.execute("PRAGMA cache_size = -200000")
    script = _SQLITE.format(
        numbers=_SQLITE_NUMBERS.format(size=size),
        points=_SQLITE_NUMBERS.format(size=points),
        end=raw_sqlite.micros(values.END),
        step=values.STEP.seconds * 1_000_000,
        series=values.SERIES,
        task=_SQLITE_KEY.format(kind="task"),
        node=_SQLITE_KEY.format(kind="node"),
        point=_SQLITE_KEY.format(kind="point"),
    )
    db.executescript(f"BEGIN;\n{script}\nCOMMIT;")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _fill_postgres(url: str, size: int, points: int) -> None:
    script = _POSTGRES.format(
        size=size,
        points=points,
        end=f"timestamptz '{values.END.isoformat()}'",
        step=f"interval '{values.STEP.seconds} s'",
        series=values.SERIES,
        **{kind: _POSTGRES_KEY.format(kind=kind) for kind in ("task", "node", "point")},
    )
    db = psycopg2.connect(url)
    db.autocommit = True
    with db.cursor() as cursor:
        cursor.execute(script)
    db.close()
    settle(url)


def settle(url: str) -> None:
    """Do now what PostgreSQL's own housekeeping would do within minutes of so many writes."""
    if url.startswith("sqlite"):
        return
    db = psycopg2.connect(url)
    db.autocommit = True
    with db.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    db.close()
