"""Differences between SQL databases: the spelling of a few fragments, placeholders, names of tables.

Statements are written once, whole, as constants of the modules beside this one. They have two kinds of placeholder:
``?`` binds a value, and ``{name}`` stands for a table, a list of columns, or a fragment that the dialect spells:
``SELECT {task_columns} FROM {tasks} WHERE task_id {in_texts}``. A dialect renders each constant once and keeps the
result; it belongs to one open store, never to the process.

Two transactions that lock the same rows in different orders wait for each other in a circle. So a statement that
changes several rows puts its condition between two fragments of its table::

    DELETE FROM {tasks} WHERE {lock_tasks} status = ? {end_lock_tasks}

Where the database locks row by row, they make the condition a subquery that locks the rows in key order before the
first one changes. Elsewhere both are empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.document_filters import Condition
from ciris_store_core.sql.codec import Codec
from ciris_store_core.sql.columns import COLUMN_LISTS

TABLES = (
    "graph_nodes", "graph_edges", "correlations", "tasks", "thoughts", "schema_migrations",
    "occurrences", "leases", "secrets", "secret_access", "audit_entries", "audit_anchors", "audit_chains",
    "documents", "streams", "stream_entries",
)  # fmt: skip

FRAGMENTS: Mapping[str, str] = {
    "in_texts": "a test of a text column against one bound list of texts",
    "keys2": "a bound JSON array of pairs of texts, as rows: the right side of (a, b) IN",
    "keys4": "a bound JSON array of quadruples of texts, as rows",
    "for_update": "locks the selected rows until the transaction ends, where rows are locked one by one",
    "skip_locked": "as for_update, leaving out rows that another transaction locked",
    "key_lock": "locks the selected rows against deletion until the transaction ends, but not against other changes",
    "share_lock": "locks the selected rows against change until the transaction ends",
    "no_index": "keeps the planner from choosing an index by the column that follows",
    "bucket": "the start of a timestamp column's bucket, in its units, at the earliest the year 1; binds the width",
    "tag": "the value of a tag whose key is bound, of table alias c",
    "has_tag": "a test that a tag, key and value bound, is there, of table alias c",
    "ttl_later": "a bound time, later by the seconds of the column ttl",
    "has_attribute": "a test that an attribute equals a scalar, of table alias n; binds what attribute_params gives",
}
"""Fragments that every dialect must spell, with their meaning."""

LOCKED_BY: Mapping[str, str] = {
    "tasks": "task_id",
    "thoughts": "thought_id",
    "correlations": "correlation_id",
    "secrets": "secret_id",
    "graph_nodes": "id, scope",
    "graph_edges": "scope, source, target, relationship",
    "documents": "path, key",
    "streams": "path, name",
}
"""The key by whose order the rows of a table are locked, for ``{lock_<table>}`` and ``{end_lock_<table>}``."""

MOST_RENDERED = 2000
"""Rendered statements that are kept."""

_NAME = re.compile(r"\{(\w+)\}")


class Dialect:
    """Dialect of one kind of SQL database."""

    def __init__(
        self,
        *,
        name: str,
        codec: Codec,
        fragments: Mapping[str, str],
        placeholder: str = "?",
        schema: str | None = None,
    ) -> None:
        """``placeholder`` is ``?`` or ``%s``; ``schema``, a validated identifier, qualifies every table."""
        missing = FRAGMENTS.keys() - fragments.keys()
        if missing:
            raise InvalidArgument(f"dialect {name} lacks the fragments {', '.join(sorted(missing))}. Define them.")
        self.name = name
        self.codec = codec
        self.schema = schema
        self._placeholder = placeholder
        prefix = f'"{schema}".' if schema else ""
        self.locks_rows = bool(fragments["for_update"])
        """True if transactions lock rows one by one, and so can wait for each other's rows."""
        self._names = {**COLUMN_LISTS, **fragments, **{table: prefix + table for table in TABLES}}
        for table, key in LOCKED_BY.items():
            before, after = self.lock_fragments(table, key) if self.locks_rows else ("", "")
            self._names |= {f"lock_{table}": before, f"end_lock_{table}": after}
        self.program: int | None = None
        """Number of the newest migration that this program knows; None before the schema was checked."""
        self.rendered: dict[str, str] = {}
        """Rendered statements, by constant."""

    def render(self, statement: str) -> str:
        """Return the text that the driver gets for a statement of the toolkit; rendered once, then looked up."""
        text = self.rendered.get(statement)
        if text is None:
            if len(self.rendered) >= MOST_RENDERED:
                self.rendered.clear()  # conditions on documents may name ever new paths
            text = self.rendered[statement] = self._render(statement)
        return text

    def spelled(self, statement: str) -> str:
        """Return a statement of the toolkit as the database reads it, whatever placeholders the driver wants.

        A name that the dialect does not know stays: the store that runs the statement fills it in.
        """
        text = _NAME.sub(self._name, statement)
        return _NAME.sub(self._name, text)  # fragments may name tables

    def _name(self, match: re.Match[str]) -> str:
        return self._names.get(match[1], match[0])

    def lock_fragments(self, table: str, key: str) -> tuple[str, str]:
        """Return the text around a condition that makes it lock its rows, in key order, before any of them changes."""
        return f"({key}) IN (SELECT {key} FROM {{{table}}} WHERE", f"ORDER BY {key} {{for_update}})"

    def _render(self, statement: str) -> str:
        text = self.spelled(statement)
        if self._placeholder == "?":
            return text
        return text.replace("%", "%%").replace("?", self._placeholder)

    def translate(self, statement: str) -> str:
        """Return a raw statement in SQLite's style on the store's own tables, as this database's driver takes it.

        Raise ``InvalidArgument`` if it cannot be translated safely, or not for this database; see the module
        ``translate``.
        """
        from ciris_store_core.sql.translate import (  # compiles large patterns, which few programs need
            STORE_TABLES,
            translate,
        )

        return translate(statement, self.name, tables=STORE_TABLES)  # type: ignore[arg-type]  # checked there

    def document_condition(self, condition: Condition) -> tuple[str, tuple[object, ...]] | None:
        """Return the test of a document's value that means what ``matches`` says, and the values that it binds.

        It may be NULL where it does not hold. None: SQL cannot express it exactly, and Python judges it.
        """
        return None

    def attribute_params(self, key: str, value: object) -> tuple[object, ...]:
        """Return the values that ``has_attribute`` binds for one attribute and the scalar that it must equal."""
        raise NotImplementedError

    def tag_params(self, key: str, value: str) -> tuple[object, ...]:
        """Return the values that ``has_tag`` binds for a tag and the text that it must equal."""
        return (key, value)

    def tag_key_params(self, key: str) -> tuple[object, ...]:
        """Return the values that ``tag`` binds."""
        return (key,)

    def bucket_params(self, width: timedelta) -> tuple[object, ...]:
        """Return the values that ``bucket`` binds for buckets of that width."""
        raise NotImplementedError
