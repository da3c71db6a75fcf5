"""SQLite's spelling of the toolkit's fragments."""

from __future__ import annotations

from datetime import timedelta

from ciris_store_core.models.document_filters import Condition
from ciris_store_core.sql import Dialect, micros_codec
from ciris_store_sqlite.document_conditions import Compiled, condition_on

_FRAGMENTS = {
    "in_texts": "IN (SELECT value FROM json_each(?))",
    "keys2": "(SELECT value ->> 0, value ->> 1 FROM json_each(?))",
    "keys4": "(SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?))",
    # SQLite has one writer at a time: a write transaction excludes every other, so no row needs a lock.
    "for_update": "",
    "skip_locked": "",
    "key_lock": "",
    "share_lock": "",
    # Without statistics the planner prefers an equality to a range, however many rows share the value.
    "no_index": "+",
    "bucket": "max(c.timestamp - ((c.timestamp % ? + ?) % ?), -62135596800000000)",
    "tag": "(SELECT j.atom FROM json_each(c.tags) j WHERE j.key = ?)",
    "has_tag": "EXISTS (SELECT 1 FROM json_each(c.tags) j WHERE j.key = ? AND j.atom = ?)",
    # The index finds the candidates, long texts by their beginning; the second part compares the whole value.
    "ttl_later": "? + CAST(round(ttl * 1000000) AS INTEGER)",
    "has_attribute": (
        "n.node_number IN (SELECT a.node_number FROM graph_node_attributes a "
        "WHERE a.key = ? AND a.kind = ? AND a.value = ?) "
        "AND EXISTS (SELECT 1 FROM json_each(n.attributes) j WHERE j.key = ? AND j.atom IS ?)"
    ),
}

_INDEXED_CHARACTERS = 200
"""Characters of a text that the attribute index holds; the view graph_node_scalars repeats the number."""


class SqliteDialect(Dialect):
    """Dialect of SQLite, from 3.38 on."""

    def __init__(self) -> None:
        """One for each open store."""
        super().__init__(name="sqlite", codec=micros_codec(), fragments=_FRAGMENTS)

    def document_condition(self, condition: Condition) -> Compiled | None:
        """Return the test of a document's value."""
        return condition_on(condition)

    def attribute_params(self, key: str, value: object) -> tuple[object, ...]:
        """Return key, kind and value as the attribute index holds them, then key and value once more."""
        if value is None:
            return (key, "null", 0, key, None)
        if isinstance(value, bool):
            return (key, "boolean", int(value), key, int(value))
        if isinstance(value, str):
            return (key, "text", value[:_INDEXED_CHARACTERS], key, value)
        return (key, "number", value, key, value)

    def bucket_params(self, width: timedelta) -> tuple[object, ...]:
        """Return the width in microseconds, three times: the remainder of a time before 1970 is negative."""
        micros = width // timedelta(microseconds=1)
        return (micros, micros, micros)
