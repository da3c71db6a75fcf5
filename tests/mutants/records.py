"""Faults of storage: lost fields and changed values."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from ciris_store_core.conformance.samples import RECORD_KINDS
from ciris_store_core.inmemory.tables import TABLE_NAMES
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import UPDATABLE_CORRELATION_FIELDS
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS
from ciris_store_core.models.thoughts import UPDATABLE_THOUGHT_FIELDS
from tests.mutants.planting import add, plant

Bend = Callable[[Any], Any]


def bent(value: Any, bend: Bend) -> Any:
    """Return a copy of a record or of JSON with a function applied to each value."""
    if isinstance(value, Record):
        copy = value.replaced(**{name: bent(item, bend) for name, item in value.__dict__.items()})
        object.__setattr__(copy, "__pydantic_extra__", bent(value.__pydantic_extra__, bend))
        return copy
    if isinstance(value, dict):
        return {key: bent(item, bend) for key, item in value.items()}
    if isinstance(value, list):
        return [bent(item, bend) for item in value]
    return bend(value)


def storing(change: Callable[[Any], Any]) -> tuple[tuple[str, Any], ...]:
    """Apply a function to every record that is stored."""

    def put(self: Any, sound: Any, key: Any, record: Any) -> None:
        sound(key, change(record))

    return tuple((f"session._tables.{name}.put", put) for name in TABLE_NAMES)


def only(*kinds: type) -> Callable[[Bend], Bend]:
    """Change values of exactly these types."""
    return lambda bend: lambda value: bend(value) if type(value) in kinds else value


BENT: dict[str, tuple[str, Bend]] = {
    "times_are_cut_to_milliseconds": ("round_trip reopen time.extremes", only(datetime)(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))),
    "times_are_cut_to_seconds": ("round_trip time.extremes", only(datetime)(lambda t: t.replace(microsecond=0))),
    "times_lose_their_zone": ("round_trip", only(datetime)(lambda t: t.replace(tzinfo=None))),
    "times_before_the_epoch_are_the_epoch": ("round_trip time.extremes", only(datetime)(lambda t: max(t, datetime(1970, 1, 1, tzinfo=UTC)))),
    "integers_become_floats": ("round_trip json.values", only(int)(float)),
    "floats_become_integers": ("round_trip json.values", only(float)(lambda x: int(x) if x.is_integer() else x)),
    "large_integers_are_rounded": ("round_trip json.values", only(int)(lambda x: int(float(x)) if abs(x) < 2**63 - 1 else x)),
    "integers_have_32_bits": ("round_trip json.values", only(int)(lambda x: max(-(2**31), min(x, 2**31 - 1)))),
    "floats_have_32_bits": ("round_trip json.values", only(float)(lambda x: float(f"{x:.7g}"))),
    "true_becomes_one": ("round_trip json.values", only(bool)(int)),
    "empty_text_becomes_none": ("round_trip json.values", only(str)(lambda text: text or None)),
    "none_becomes_empty_text": ("round_trip json.values", lambda value: "" if value is None else value),
    "text_is_stripped": ("round_trip json.values", only(str)(str.strip)),
    "text_is_normalised": ("round_trip json.values", only(str)(lambda text: unicodedata.normalize("NFC", text))),
    "text_loses_what_is_beyond_the_bmp": ("round_trip json.values", only(str)(lambda text: "".join("?" if ord(c) > 0xFFFF else c for c in text))),
    "line_ends_are_converted": ("round_trip json.values", only(str)(lambda text: text.replace("\r\n", "\n"))),
    "text_that_looks_like_a_number_is_one": ("json.values", only(str)(lambda text: int(text) if text.isdecimal() else text)),
    "text_is_cut_at_64k": ("json.size", only(str)(lambda text: text[: 2**16])),
    "enums_become_text": ("round_trip types.own", lambda value: value.value if isinstance(value, Enum) else value),
    "bytes_end_at_zero": ("round_trip", only(bytes)(lambda value: value.split(b"\0")[0])),
}  # fmt: skip
for _name, (_clauses, _bend) in BENT.items():
    _change = lambda record, bend=_bend: bent(record, bend)  # noqa: E731
    add(_name, " ".join(f"records.{clause}" for clause in _clauses.split()), *storing(_change))


def _dropped(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return {key: _dropped(item, depth - 1) for key, item in value.items()} if depth else {}
    return value


def _with_json(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda record: record.replaced(
        **{name: change(item) for name, item in record.__dict__.items() if isinstance(item, dict)}
    )


add("json_is_cut_at_64_levels", "records.json.depth records.json.values", *storing(_with_json(lambda value: _dropped(value, 64))))
add("keys_with_dots_are_lost", "records.json.values records.round_trip", *storing(_with_json(lambda value: {key: {k: v for k, v in item.items() if "." not in k} if isinstance(item, dict) else item for key, item in value.items()})))
add("an_own_type_becomes_a_concept", "records.types.own", *storing(lambda record: record.replaced(type="concept") if "attributes" in record.__dict__ and "type" in record.__dict__ else record))
add("an_own_correlation_type_is_a_member", "records.types.own", *storing(lambda record: record.replaced(correlation_type="log_entry") if hasattr(record, "correlation_type") else record))


@plant("records.json.separate", *(f"session._tables.{name}.put" for name in TABLE_NAMES))
def records_are_stored_without_copying(self: Any, sound: Any, key: Any, record: Any) -> None:
    self._own()[key] = record


@plant("records.json.separate", "graph.get_nodes")
def records_are_returned_without_copying(self: Any, sound: Any, keys: Any, now: Any) -> Any:
    return [self._nodes.rows[key] for key in keys if key in self._nodes.rows]


@plant("records.batch", "tasks.add")
def a_transaction_for_each_table(self: Any, sound: Any, tasks: Any) -> None:
    if self._tables.nodes.snapshot():
        return
    sound(tasks)


# --- fields that are not stored ---------------------------------------------------------------

_KEYS = {"scope", "id", "source", "target", "relationship", "chain", "sequence", "secret_id", "revision"}
_KEYS |= {f"{name}_id" for name in ("correlation", "task", "thought", "occurrence", "access")}


def _forgets(kind: type, name: str, default: Any) -> Callable[[Any], Any]:
    return lambda record: record.replaced(**{name: default}) if type(record) is kind else record


for _kind in RECORD_KINDS:
    _plain, _full = (sample() for sample in _kind.samples)
    for _field in type(_full).model_fields:
        if _field in _KEYS or getattr(_plain, _field) == getattr(_full, _field):
            continue
        _change = _forgets(type(_full), _field, getattr(_plain, _field))  # type: ignore[assignment]
        _more = " records.reopen" if _field == "metadata" else ""
        add(f"{_kind.name}_forgets_{_field}", f"records.round_trip{_more}", *storing(_change))


def _without(name: str) -> Callable[..., Any]:
    def update(self: Any, sound: Any, key: Any, changes: Any, *more: Any) -> Any:
        return sound(key, {field: value for field, value in changes.items() if field != name}, *more)

    return update


for _store, _fields in (
    ("correlations", UPDATABLE_CORRELATION_FIELDS),
    ("tasks", UPDATABLE_TASK_FIELDS),
    ("thoughts", UPDATABLE_THOUGHT_FIELDS),
):
    for _field in sorted(_fields):
        add(f"{_store}_update_ignores_{_field}", f"{_store}.update.each", (f"{_store}.update", _without(_field)))

    def _not_to_none(self: Any, sound: Any, key: Any, changes: Any, *more: Any) -> Any:
        return sound(key, {field: value for field, value in changes.items() if value is not None}, *more)

    add(f"{_store}_update_ignores_none", f"{_store}.update.to_none", (f"{_store}.update", _not_to_none))

# --- ids that are not kept apart, and what a restart loses ------------------------------------


def _folding(fold: Callable[[str], str]) -> Callable[..., Any]:
    return lambda self, sound, records: [sound([record]) for record in {fold(record.task_id): record for record in records}.values()]  # fmt: skip


for _name, _fold in (
    ("case", str.casefold),
    ("normalisation", lambda text: unicodedata.normalize("NFC", text)),
    ("trailing_spaces", str.rstrip),
    ("what_follows_254_bytes", lambda text: text[:254] if len(text) < 255 else ""),
):
    add(f"ids_are_equal_but_for_{_name}", "records.ids.distinct", ("tasks.add", _folding(_fold)))


def _on_reopening(change: Callable[[Any], None]) -> Callable[..., Any]:
    """Change the committed records when the store is reopened."""

    def open_(self: Any, sound: Any, clock: Any) -> Any:
        backend = sound(clock)
        if vars(self).setdefault("opened", False):
            change(backend.database)
        self.opened = True
        return backend

    return open_


def _cleared(*names: str) -> Callable[[Any], None]:
    def clear(database: Any) -> None:
        database.committed = [{} if name in names else rows for name, rows in zip(TABLE_NAMES, database.committed, strict=True)]

    return clear


def _through_json(database: Any) -> None:
    def round_trip(record: Any) -> Any:
        text = json.dumps(json.loads(record.to_json()), ensure_ascii=True)
        return bent(type(record).from_json(text), only(int)(lambda x: x if abs(x) < 2**53 else int(float(x)) - 1024))

    database.committed = [{key: round_trip(row) for key, row in rows.items()} for rows in database.committed]


add("a_restart_loses_everything", "records.reopen backend.reopen", ("harness.open", _on_reopening(_cleared(*TABLE_NAMES))))
add("a_restart_rounds_large_numbers", "records.reopen", ("harness.open", _on_reopening(_through_json)))
for _table in ("leases", "entries", "nodes", "tasks"):
    add(f"a_restart_loses_{_table}", "backend.reopen", ("harness.open", _on_reopening(_cleared(_table))))
