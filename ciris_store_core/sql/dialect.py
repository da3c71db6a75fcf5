"""What differs between SQL databases: spelling of a few fragments, placeholders, names of tables.

Statements are written once, complete, as constants of the modules beside this one. They bind values with ``?`` and
name tables and fragments in braces: ``SELECT task_id FROM {tasks} WHERE task_id {in_texts}``. A dialect renders each
constant once and keeps the result; it belongs to one open store, never to the process.

Two transactions that lock the same rows in different orders wait for each other. So a statement that changes several
rows names its table and key around its condition: ``DELETE FROM {tasks} WHERE {lock tasks by task_id}status = ?{end}``
locks the rows in key order first, where the database locks row by row, and is the plain condition elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.sql.codec import Codec

TABLES = (
    "graph_nodes", "graph_edges", "correlations", "tasks", "thoughts", "schema_migrations",
    "occurrences", "leases", "secrets", "secret_access", "audit_entries", "audit_anchors", "audit_chains",
)  # fmt: skip

FRAGMENTS: Mapping[str, str] = {
    "in_texts": "a test of a text column against one bound list of texts",
    "keys2": "a bound JSON array of pairs of texts, as rows: the right side of (a, b) IN",
    "keys4": "a bound JSON array of quadruples of texts, as rows",
    "for_update": "locks the selected rows until the transaction ends, where rows are locked one by one",
    "skip_locked": "as for_update, leaving out rows that another transaction locked",
    "share_lock": "locks the selected rows against change until the transaction ends",
    "no_index": "keeps the planner from choosing an index by the column that follows",
    "bucket": "the start of a timestamp column's bucket, in its units, at the earliest the year 1; binds the width",
    "tag": "the value of a tag whose key is bound, of table alias c",
    "has_tag": "a test that a tag, key and value bound, is there, of table alias c",
    "has_attribute": "a test that an attribute equals a scalar, of table alias n; binds what attribute_params gives",
}
"""Names that a dialect must spell, and what each stands for."""

_NAME = re.compile(r"\{(\w+)\}")

_LOCK = re.compile(r"\{lock (\w+) by ([\w, ]+)\}(.*?)\{end\}", re.DOTALL)


class Dialect:
    """The spelling of one kind of SQL database."""

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
            raise InvalidArgument(f"dialect {name} lacks the fragments {', '.join(sorted(missing))}")
        self.name = name
        self.codec = codec
        self.schema = schema
        self._placeholder = placeholder
        prefix = f'"{schema}".' if schema else ""
        self._names = {**fragments, **{table: prefix + table for table in TABLES}}
        self.locks_rows = bool(fragments["for_update"])
        """Whether transactions lock rows one by one, and can wait for each other's rows."""
        self.program: int | None = None
        """Number of the newest migration that this program knows, once the schema was looked at."""
        self.rendered: dict[str, str] = {}
        """Statements rendered so far, by constant."""

    def render(self, statement: str) -> str:
        """The text that the driver gets for a statement of the toolkit; rendered once, then looked up."""
        text = self.rendered.get(statement)
        if text is None:
            text = self.rendered[statement] = self._render(statement)
        return text

    def spelled(self, statement: str) -> str:
        """A statement of the toolkit as the database reads it, whatever placeholders the driver wants."""
        text = _LOCK.sub(lambda match: self.locking(*match.groups()), statement)
        text = _NAME.sub(lambda match: self._names[match[1]], text)
        return _NAME.sub(lambda match: self._names[match[1]], text)  # fragments may name tables

    def locking(self, table: str, key: str, condition: str) -> str:
        """The condition of an UPDATE or DELETE that locks the rows in the order of their key before it changes any."""
        if not self.locks_rows:
            return condition
        keys = f"SELECT {key} FROM {{{table}}} WHERE {condition} ORDER BY {key} {{for_update}}"
        return f"({key}) IN ({keys})"

    def _render(self, statement: str) -> str:
        text = self.spelled(statement)
        if self._placeholder == "?":
            return text
        return text.replace("%", "%%").replace("?", self._placeholder)

    def translate(self, statement: str) -> str:
        """A raw statement in SQLite's style on the store's own tables, as this database's driver takes it.

        Raises ``InvalidArgument`` for what cannot be translated safely, and on databases that it knows nothing of; see
        the module ``translate``.
        """
        from ciris_store_core.sql.translate import (  # compiles large patterns, which few programs need
            STORE_TABLES,
            translate,
        )

        return translate(statement, self.name, tables=STORE_TABLES)  # type: ignore[arg-type]  # checked there

    def attribute_params(self, key: str, value: object) -> tuple[object, ...]:
        """What ``has_attribute`` binds for one attribute and the scalar that it must equal."""
        raise NotImplementedError

    def tag_params(self, key: str, value: str) -> tuple[object, ...]:
        """What ``has_tag`` binds for a tag and the text that it must equal."""
        return (key, value)

    def tag_key_params(self, key: str) -> tuple[object, ...]:
        """What ``tag`` binds."""
        return (key,)

    def bucket_params(self, width: timedelta) -> tuple[object, ...]:
        """What ``bucket`` binds for buckets of that width."""
        raise NotImplementedError
