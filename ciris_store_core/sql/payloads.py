"""Columns of payloads, in the tables of documents and of stream entries, and names that are too long for an index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from ciris_store_core.models.paths import INDEXED_BYTES, index_key, namespace_of, path_of
from ciris_store_core.models.payloads import Payload, PayloadFormat
from ciris_store_core.sql.codec import json_text

FORMATS: dict[str, PayloadFormat] = {"json": "json", "bytes": "bytes", "encrypted": "encrypted"}
"""Formats by their names in a column."""


def payload_values(payload: Payload) -> tuple[Any, ...]:
    """Return format, media_type, key_id, secret_refs, searchable, body and data: texts and bytes have a column each."""
    body, refs = payload.body, payload.secret_refs
    text, data = (body, None) if type(body) is str else (None, body)
    return (
        payload.format, payload.media_type, payload.key_id, json_text(refs) if refs else None, payload.searchable,
        text, data,
    )  # fmt: skip


def read_refs(refs: str | None) -> tuple[str, ...]:
    """Return the ids of a column of secret references."""
    return tuple(from_json(refs)) if refs else ()


# Most calls of a program name few namespaces, and rows of one listing share theirs.
@lru_cache(maxsize=256)
def short_path(namespace: tuple[str, ...]) -> str:
    """Return the path of a namespace as the index holds it."""
    return index_key(path_of(namespace))


@lru_cache(maxsize=256)
def _namespace(path: str) -> tuple[str, ...]:
    return namespace_of(path)


def key_values(namespace: tuple[str, ...], key: str) -> tuple[str, str, str | None]:
    """Return the path and key of the index, and JSON of the whole path and key if one of them is too long for it."""
    path, short_key = short_path(namespace), index_key(key)
    if short_key is key and (len(path) * 4 <= INDEXED_BYTES or path == path_of(namespace)):
        return path, key, None
    return path, short_key, json_text([path_of(namespace), key])


def read_key(path: str, key: str, long_name: str | None) -> tuple[tuple[str, ...], str]:
    """Return the namespace and key of the values of ``key_values``."""
    if long_name is not None:
        path, key = from_json(long_name)
    return _namespace(path), key


def key_of_row(row: Sequence[Any], long_name: int) -> str:
    """Return the key of a row that begins with path and key, as people read it, even if the row is corrupt."""
    try:
        namespace, key = read_key(row[0], row[1], row[long_name])
    except (ValueError, TypeError, AttributeError):
        return str(row[0])
    return "/".join((*namespace, key))
