"""Conditions on paths and names that begin with a prefix, as ranges that an index serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ciris_store_core.models.paths import INDEXED_BYTES, below, index_key, path_of

_SURE_BYTES = INDEXED_BYTES - 8
"""Bytes of a text that are in its index key as they are, however long the text is."""

Range = tuple[list[str], list[Any], bool]
"""Conditions, the values that they bind, and whether they are exact; if not, each row is to be judged."""


def prefix_range(column: str, prefix: Sequence[str]) -> Range:
    """Return the range of the paths of namespaces that begin with these whole segments."""
    if not prefix:
        return [], [], True
    path = path_of(prefix)
    if index_key(path) is path:
        return [f"{column} >= ?", f"{column} < ?"], [path, below(path)], True
    return _text_range(column, path)


def text_prefix_range(column: str, prefix: str | None) -> Range:
    """Return the range of the names that begin with this text."""
    return _text_range(column, prefix) if prefix else ([], [], True)


def sure_part(text: str) -> str:
    """Return the beginning of a text that is in its index key as it is, or the text itself if it is not longer."""
    if len(text) * 4 <= _SURE_BYTES:
        return text
    encoded = text.encode()
    return text if len(encoded) <= _SURE_BYTES else encoded[:_SURE_BYTES].decode(errors="ignore")


def _text_range(column: str, prefix: str) -> Range:
    sure = sure_part(prefix)
    end = prefix_end(sure)
    conditions, values = [f"{column} >= ?"], [sure]
    if end is not None:
        conditions.append(f"{column} < ?")
        values.append(end)
    return conditions, values, sure == prefix


def prefix_end(prefix: str | None) -> str | None:
    """Return the first text, in the order of UTF-8 bytes, after every text with that prefix; None if there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == 0xD800:
            last = 0xE000  # surrogates are no characters
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None
