"""SQLAlchemy's ORM on the tables of the store: one session for each operation, as web frameworks use it."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Column, Engine, Integer, Table, create_engine, event, func, select, type_coerce
from sqlalchemy.orm import Session, registry
from sqlalchemy.types import TypeDecorator

from benchmarks import rows, values
from benchmarks.contender import Contender
from benchmarks.raw_sqlite import micros, moment

_TIMES = {
    "tasks": ("created_at", "updated_at", "signed_at", "claimed_at"),
    "graph_nodes": ("created_at", "updated_at", "expires_at"),
    "correlations": ("created_at", "updated_at", "timestamp", "last_timestamp", "expires_at"),
}
_JSON = {
    "tasks": ("context", "outcome", "metadata"),
    "graph_nodes": ("attributes", "secret_refs", "metadata"),
    "correlations": (
        "request_data", "response_data", "metric_data", "log_data", "trace_context", "tags", "child_correlation_ids",
        "metadata",
    ),
}  # fmt: skip


class Micros(TypeDecorator[datetime]):
    """A time kept as an integer."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else moment(value)


class WithOrm(Contender):
    """Mapped classes over reflected tables, with the engine's own pool. Serves all threads."""

    name = "SQLAlchemy ORM"

    def __init__(self, url: str, size: int) -> None:
        self.size = size
        self.sqlite = url.startswith("sqlite")
        self.engine = _engine(url)
        mapper = registry()
        self.task, self.node, self.correlation = (
            self._mapped(mapper, table) for table in ("tasks", "graph_nodes", "correlations")
        )

    def _mapped(self, mapper: registry, table: str) -> Any:
        columns: list[Column[Any]] = []
        if self.sqlite:  # where the database has no such types, the mapping says what the columns hold
            columns += [Column(name, Micros) for name in _TIMES[table]]
            columns += [Column(name, JSON(none_as_null=True)) for name in _JSON[table]]
        reflected = Table(table, mapper.metadata, *columns, autoload_with=self.engine)
        kind = type(table, (), {})
        mapper.map_imperatively(kind, reflected, properties={"metadata_": reflected.c.metadata})
        return kind

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session(self.engine) as session:
            yield session

    # --- workloads ------------------------------------------------------------------------------

    def task_add(self, number: int) -> Any:
        with self._session() as session:
            session.add(self._new_task(number))
            session.commit()

    def _new_task(self, number: int) -> Any:
        task, now = self.task(), datetime.now(UTC)
        task.task_id, task.channel_id, task.description = f"new-{number}", "channel-1", values.description(number)
        task.agent_occurrence_id, task.status, task.priority = "default", "completed", number % 11
        task.created_at, task.updated_at = now, now
        task.context, task.metadata_ = values.task_context(number), values.task_metadata(number)
        task.updated_info_available, task.fence, task.correlation_id = False, 0, f"request-{number}"
        return task

    def task_get(self, number: int) -> Any:
        with self._session() as session:
            return session.get(self.task, rows.task_key(number, self.size))

    def task_update(self, number: int) -> Any:
        with self._session() as session:
            self._update(session, number, number)
            session.commit()

    def _update(self, session: Session, number: int, priority: int) -> None:
        task: Any = session.get(self.task, rows.update_key(number, self.size))
        task.status, task.priority, task.updated_at = "failed", priority % 11, datetime.now(UTC)

    def _pending(self, limit: int) -> Any:
        task = self.task
        wanted = select(task).where(task.agent_occurrence_id == "default", task.status == "pending")
        return wanted.order_by(task.priority.desc(), task.created_at, task.task_id).limit(limit)

    def task_list(self, number: int) -> Any:
        with self._session() as session:
            return session.scalars(self._pending(20)).all()

    def claim(self, number: int) -> Any:
        with Session(self.engine, expire_on_commit=False) as session:
            task = session.scalars(self._pending(1).with_for_update(skip_locked=True)).one()
            now = datetime.now(UTC)
            task.agent_occurrence_id, task.status, task.claimed_from = "worker-1", "active", "default"
            task.claimed_by, task.claimed_at, task.updated_at, task.fence = "worker-1", now, now, task.fence + 1
            session.commit()
            return task

    def transaction(self, number: int) -> Any:
        first = number * values.OPERATIONS
        with self._session() as session:
            for i in range(10):
                session.add(self._new_task(10**9 + first + i))
                session.flush()
            for i in range(5):
                session.get(self.task, rows.task_key(first + i, self.size))
                self._update(session, first + i, i)
                session.flush()
            session.commit()

    def node_insert(self, number: int) -> Any:
        node, now = self.node(), datetime.now(UTC)
        node.id, node.scope, node.type, node.version, node.revision = f"new-{number}", "local", "concept", 1, 1
        node.attributes, node.created_at, node.updated_at = values.node_attributes(number), now, now
        node.consent_stream = "temporary"
        with self._session() as session:
            session.add(node)
            session.commit()

    def node_merge(self, number: int) -> Any:
        key = rows.node_key(number, self.size)
        wanted = select(self.node).where(self.node.id == key, self.node.scope == "local").with_for_update()
        with Session(self.engine, expire_on_commit=False) as session:
            node = session.scalars(wanted).one()
            node.attributes = {**node.attributes, **values.merged_attributes(number)}
            node.revision, node.updated_at = node.revision + 1, datetime.now(UTC)
            session.commit()
            return node

    def node_get(self, number: int) -> Any:
        wanted = select(self.node).where(self.node.id == rows.node_key(number, self.size), self.node.scope == "local")
        with self._session() as session:
            return session.scalars(wanted).one()

    def metric_add(self, number: int) -> Any:
        with self._session() as session:
            session.add(self.correlation(**_metric(f"metric-{number}", number)))
            session.commit()

    def metric_get(self, number: int) -> Any:
        with self._session() as session:
            return session.get(self.correlation, rows.point_key(number, self.size))

    def metrics_bulk(self, number: int) -> Any:
        with self._session() as session:
            new = self.correlation
            session.add_all([new(**_metric(f"bulk-{number}-{i}", i)) for i in range(values.BULK)])
            session.commit()

    def recall(self, number: int) -> Any:
        c = self.correlation
        wanted = select(c).where(c.metric_name == f"metric_{number % values.SERIES}", c.timestamp <= values.END)
        wanted = wanted.where(c.timestamp >= values.RECALL_FROM - values.STEP * values.SERIES)
        with self._session() as session:
            return session.scalars(wanted.order_by(c.timestamp, c.correlation_id).limit(values.POINTS)).all()

    def aggregate(self, number: int) -> Any:
        c = self.correlation
        hour = _hour(c.timestamp, self.sqlite).label("hour")
        wanted = select(hour, func.avg(c.metric_value), func.count()).group_by("hour").order_by("hour")
        wanted = wanted.where(c.metric_name == f"metric_{number % values.SERIES}")
        wanted = wanted.where(c.timestamp >= values.AGGREGATE_FROM, c.timestamp <= values.END)
        with self._session() as session:
            return session.execute(wanted).all()


def _hour(column: Any, sqlite: bool) -> Any:
    if sqlite:
        number = type_coerce(column, Integer)
        return type_coerce(number - number % (timedelta(hours=1) // timedelta(microseconds=1)), Micros)
    return func.date_trunc("hour", column)


def _metric(key: str, number: int) -> dict[str, Any]:
    now = datetime.now(UTC)
    record = dict(zip(rows.NEW_METRIC, rows.metric_row(key, number, now), strict=True))
    return {**record, "tags": values.metric_tags(number)}


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), pool_size=16)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def durable(connection: Any, record: Any) -> None:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")

    return engine
