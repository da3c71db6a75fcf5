"""DuckDB's spelling of the toolkit's fragments."""

from __future__ import annotations

from datetime import timedelta

from ciris_store_core.sql import Codec, Dialect, json_text
from ciris_store_core.sql.codec import micros_to_time, time_to_micros

_FRAGMENTS = {
    "in_texts": "IN (SELECT unnest(CAST(? AS VARCHAR[])))",
    "keys2": "(SELECT k[1], k[2] FROM (SELECT unnest(CAST(CAST(? AS JSON) AS VARCHAR[][])) AS k))",
    "keys4": "(SELECT k[1], k[2], k[3], k[4] FROM (SELECT unnest(CAST(CAST(? AS JSON) AS VARCHAR[][])) AS k))",
    # One transaction writes at a time (see backend.py), so no row needs a lock.
    "for_update": "",
    "skip_locked": "",
    "key_lock": "",
    "share_lock": "",
    "no_index": "",
    "bucket": "greatest(c.timestamp - ((c.timestamp % ? + ?) % ?), -62135596800000000)",
    "tag": "json_extract_string(c.tags, ?)",
    "has_tag": "json_extract_string(c.tags, ?) = ?",
    # As written, for texts, booleans, null and whole numbers; or a number written with a fraction, by its value.
    "ttl_later": "? + CAST(round(ttl * 1000000) AS BIGINT)",
    "has_attribute": (
        "((json_type(n.attributes, ?) IN (SELECT unnest(CAST(? AS VARCHAR[]))) "
        "AND json_extract_string(n.attributes, ?) IS NOT DISTINCT FROM ?) "
        "OR (json_type(n.attributes, ?) = 'DOUBLE' "
        "AND TRY_CAST(json_extract_string(n.attributes, ?) AS DOUBLE) = ?))"
    ),
}

_WHOLE = ("BIGINT", "UBIGINT")


class DuckDialect(Dialect):
    """Dialect of DuckDB, from 2.0 on."""

    def __init__(self) -> None:
        """One for each open store."""
        codec = Codec(time_in=time_to_micros, time_out=micros_to_time, json_in=json_text, texts_in=list)
        super().__init__(name="duckdb", codec=codec, fragments=_FRAGMENTS)

    def attribute_params(self, key: str, value: object) -> tuple[object, ...]:
        """Return the key with the JSON types, text and number to be found; None where there is none."""
        path, (types, text, number) = _pointer(key), _wanted(value)
        return (path, types, path, text, path, path, number)

    def tag_params(self, key: str, value: str) -> tuple[object, ...]:
        """Return key and text."""
        return (_pointer(key), value)

    def tag_key_params(self, key: str) -> tuple[object, ...]:
        """Return the key."""
        return (_pointer(key),)

    def bucket_params(self, width: timedelta) -> tuple[object, ...]:
        """Return the width in microseconds, three times: the remainder of a time before 1970 is negative."""
        micros = width // timedelta(microseconds=1)
        return (micros, micros, micros)


def _pointer(key: str) -> str:
    """Return a JSON pointer to a key. DuckDB's other kind of path reads some characters of a key as operators."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _wanted(value: object) -> tuple[tuple[str, ...], str | None, float | None]:
    if value is None:
        return ("NULL",), None, None
    if isinstance(value, bool):
        return ("BOOLEAN",), str(value).lower(), None
    if isinstance(value, str):
        return ("VARCHAR",), value, None
    if isinstance(value, int):
        return _WHOLE, str(value), float(value) if int(float(value)) == value else None
    assert isinstance(value, float)
    return _WHOLE, str(int(value)) if value.is_integer() else None, value
