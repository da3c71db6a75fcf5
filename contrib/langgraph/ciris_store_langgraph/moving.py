"""Import of threads and items from the tables of LangGraph's own savers and stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.store.base import PutOp

from ciris_store_core import Store
from ciris_store_langgraph.frames import Typed
from ciris_store_langgraph.saver import CirisSaver
from ciris_store_langgraph.store import CirisStore

_BATCH = 100
Writes = dict[tuple[str, str], dict[int, tuple[str, Typed]]]
"""Serialized writes by index, by task and its path."""


@dataclass
class Imported:
    """Numbers of what was imported, and all that came back different."""

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    items: int = 0
    expired: int = 0
    different: list[str] = field(default_factory=list)


class Source:
    """Tables of a saver and a store in one database."""

    def __init__(
        self, connection: Any, saver: BaseCheckpointSaver[Any], *, mark: str, writes: str, tables: str
    ) -> None:
        """Take a connection, and the saver that reads its checkpoints."""
        self._connection = connection
        self.saver = saver
        self._mark = mark
        self._writes = writes
        self._tables = {name for (name,) in self._rows(tables)}

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return list(self._connection.execute(statement.replace("?", self._mark), values).fetchall())

    def threads(self) -> list[str]:
        """Return the ids of all threads."""
        if "checkpoints" not in self._tables:
            return []
        return [name for (name,) in self._rows("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id")]

    def writes(self, thread_id: str, ns: str, checkpoint_id: str) -> Writes:
        """Return the writes pending at a checkpoint."""
        found: Writes = {}
        for task, path, index, channel, tag, data in self._rows(self._writes, thread_id, ns, checkpoint_id):
            found.setdefault((task, path), {})[index] = (channel, (tag, bytes(data)))
        return found

    def items(self) -> Iterator[tuple[PutOp, bool]]:
        """Yield the items of the store, and whether each has expired."""
        if "store" not in self._tables:
            return
        for prefix, key, value, expires_at, minutes in self._rows(
            "SELECT prefix, key, value, expires_at, ttl_minutes FROM store ORDER BY prefix, key"
        ):
            value = json.loads(value) if isinstance(value, str | bytes) else value
            yield PutOp(tuple(prefix.split(".")), key, value, ttl=minutes), _is_past(expires_at)


def _is_past(moment: str | datetime | None) -> bool:
    if moment is None:
        return False
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return found.replace(tzinfo=found.tzinfo or UTC) <= datetime.now(UTC)


def source_of(url: str) -> AbstractContextManager[Source]:
    """Open the tables at ``sqlite:///FILE`` or ``postgresql://...``."""
    return _postgres(url) if urlsplit(url).scheme.startswith("postgres") else _sqlite(url)


@contextmanager
def _sqlite(url: str) -> Iterator[Source]:
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

    file = Path(url.removeprefix("sqlite:///"))
    address = f"{file.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(writes)")}
        path = "task_path" if "task_path" in columns else "''"  # Older tables have none.
        saver = SqliteSaver(connection)
        saver.is_setup = True  # Its tables are there, and are not to be changed.
        yield Source(
            connection,
            saver,
            mark="?",
            writes=f"SELECT task_id, {path}, idx, channel, type, value FROM writes "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx",
            tables="SELECT name FROM sqlite_master WHERE type = 'table'",
        )


@contextmanager
def _postgres(url: str) -> Iterator[Source]:
    import psycopg
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg.rows import dict_row

    with (
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row) as own,
    ):
        yield Source(
            connection,
            PostgresSaver(own),
            mark="%s",
            writes="SELECT task_id, task_path, idx, channel, type, blob FROM checkpoint_writes "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx",
            tables="SELECT table_name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))",
        )


def import_all(source: Source, store: Store) -> Imported:
    """Import every thread and item, and read each back. To repeat it changes nothing.

    The times of items become those of the import; a TTL begins anew.
    """
    report, saver, items = Imported(), CirisSaver(store), CirisStore(store)
    for thread in source.threads():
        report.threads += 1
        for found in source.saver.list({"configurable": {"thread_id": thread}}):
            _import_checkpoint(source, saver, found, report)
    batch: list[PutOp] = []
    for op, expired in source.items():
        if expired:
            report.expired += 1
            continue
        batch.append(op)
        if len(batch) == _BATCH:
            _import_items(items, batch, report)
            batch = []
    _import_items(items, batch, report)
    return report


def _import_checkpoint(source: Source, saver: CirisSaver, found: CheckpointTuple, report: Imported) -> None:
    place: Any = found.config["configurable"]
    names = place["thread_id"], place["checkpoint_ns"], place["checkpoint_id"]
    above: Any = found.parent_config or {"configurable": {"thread_id": names[0], "checkpoint_ns": names[1]}}
    saver.put(above, found.checkpoint, found.metadata, found.checkpoint["channel_versions"])
    writes = source.writes(*names)
    for (task, path), each in writes.items():
        saver.import_writes(found.config, task, path, each)
    report.checkpoints += 1
    report.writes += sum(map(len, writes.values()))
    back = saver.get_tuple(found.config)
    if back is None or not _same(saver, found, back):
        report.different.append(f"checkpoint {'/'.join(names)}")


def _same(saver: CirisSaver, one: CheckpointTuple, other: CheckpointTuple) -> bool:
    """Compare what serializing makes of both, as values may have no equality of their own."""

    def parts(found: CheckpointTuple) -> list[Any]:
        values, writes = found.checkpoint["channel_values"], found.pending_writes or ()
        rest = {**found.checkpoint, "channel_values": {}}
        above: Any = found.parent_config
        return [
            {name: saver.serde.dumps_typed(value) for name, value in values.items()},
            rest,
            dict(found.metadata),
            above and above["configurable"]["checkpoint_id"],
            sorted((task, channel, saver.serde.dumps_typed(value)) for task, channel, value in writes),
        ]

    return parts(one) == parts(other)


def _import_items(items: CirisStore, batch: list[PutOp], report: Imported) -> None:
    items.batch(batch)
    report.items += len(batch)
    for op in batch:
        back = items.get(op.namespace, op.key, refresh_ttl=False)
        if back is None or back.value != op.value:
            report.different.append(f"item {'.'.join(op.namespace)} {op.key}")
