"""PostgreSQL dialect: its spelling of the toolkit's fragments, and its conversion of values."""

from __future__ import annotations

from datetime import datetime, timedelta

from ciris_store_core.models.document_filters import Condition
from ciris_store_core.sql import Codec, Dialect, decimal_json_text
from ciris_store_postgres.document_conditions import Compiled, condition_on

_FRAGMENTS = {
    "in_texts": "= ANY(?)",
    "keys2": "(SELECT k ->> 0, k ->> 1 FROM jsonb_array_elements(?::jsonb) k)",
    "keys4": "(SELECT k ->> 0, k ->> 1, k ->> 2, k ->> 3 FROM jsonb_array_elements(?::jsonb) k)",
    "for_update": "FOR UPDATE",
    "skip_locked": "FOR UPDATE SKIP LOCKED",
    "key_lock": "FOR KEY SHARE",
    "share_lock": "FOR SHARE",
    "no_index": "",
    "bucket": "greatest(date_bin(?, c.timestamp, timestamptz '1970-01-01 00:00:00+00'), "
    "timestamptz '0001-01-01 00:00:00+00')",
    "tag": '(c.tags ->> ?::text) COLLATE "C"',
    "has_tag": "c.tags ->> ?::text = ?",
    # Citus refuses a STABLE function of a column in an UPDATE, such as the sum of an interval and a time with zone. The
    # sum with a time of UTC without zone is IMMUTABLE.
    "ttl_later": "(?::timestamptz AT TIME ZONE 'UTC' + make_interval(secs => ttl)) AT TIME ZONE 'UTC'",
    # Containment compares types: a list that contains the value is not equal to it, and 1 is not true. Numbers are
    # decimals, so 1 equals 1.0.
    "has_attribute": "n.attributes @> ?::jsonb",
}


def _as_it_is(moment: datetime) -> datetime:
    return moment


class _TimeText:
    """Conversion of a time to text, with the last result cached.

    Several columns of a row often hold the same time object. The driver's own conversion of times costs more than that
    of all other values of a row.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime | None, str] = (None, "")

    def __call__(self, moment: datetime) -> str:
        last, text = self._last
        if moment is not last:
            text = moment.isoformat()
            self._last = (moment, text)
        return text


class PostgresDialect(Dialect):
    """Dialect of PostgreSQL 14 and newer, with all tables in one schema."""

    def __init__(self, schema: str) -> None:
        """Make the dialect of one open store. ``schema`` must be a safe identifier."""
        names = {name: f'"{schema}".{name}' for name in ("graph_words", "separated_words")}
        super().__init__(
            name="postgres",
            codec=Codec(time_in=_TimeText(), time_out=_as_it_is, json_in=decimal_json_text, texts_in=list),
            fragments={**_FRAGMENTS, **names, "schema": f'"{schema}"'},
            placeholder="%s",
            schema=schema,
        )

    def lock_fragments(self, table: str, key: str) -> tuple[str, str]:
        """As an array where the key is one column: the planner then looks rows up by key instead of joining.

        The subquery locks all rows before the outer statement changes the first. A row that another transaction
        changed meanwhile is checked against the condition again when it is locked (READ COMMITTED).
        """
        if "," in key:
            return super().lock_fragments(table, key)
        return f"{key} = ANY (ARRAY(SELECT {key} FROM {{{table}}} WHERE", f"ORDER BY {key} FOR UPDATE))"

    def document_condition(self, condition: Condition) -> Compiled | None:
        """Return the test of a document's value."""
        return condition_on(condition)

    def attribute_params(self, key: str, value: object) -> tuple[object, ...]:
        """Return the JSON object that the attributes must contain."""
        return (self.codec.json_in({key: value}),)

    def bucket_params(self, width: timedelta) -> tuple[object, ...]:
        """Return the width, which the driver sends as an interval."""
        return (width,)
