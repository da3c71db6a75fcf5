"""Columns of payloads, in the tables of documents and of stream entries, and names that are too long for an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from ciris_store_core.models.paths import index_key, namespace_of, path_of
from ciris_store_core.models.payloads import Payload
from ciris_store_core.sql.codec import json_text

_FORMATS = {"json": "json", "bytes": "bytes", "encrypted": "encrypted"}


def payload_values(payload: Payload) -> tuple[Any, ...]:
    """Return format, media_type, key_id, secret_refs, searchable, body and data: texts and bytes have a column each."""
    body, refs = payload.body, payload.secret_refs
    text, data = (body, None) if type(body) is str else (None, body)
    return (
        payload.format, payload.media_type, payload.key_id, json_text(refs) if refs else None, payload.searchable,
        text, data,
    )  # fmt: skip


def read_payload(
    format: str,
    media_type: str | None,
    key_id: str | None,
    refs: str | None,
    searchable: str | None,
    body: str | None,
    data: Any,
) -> Payload:
    """Return the payload of the values of ``payload_values``; raise an error of the mapper if there is no body."""
    return Payload(
        _FORMATS[format],  # type: ignore[arg-type]
        body if body is not None else bytes(data),
        searchable,
        media_type,
        key_id,
        tuple(from_json(refs)) if refs else (),
    )


def key_values(namespace: Sequence[str], key: str) -> tuple[str, str, str | None]:
    """Return the path and key of the index, and JSON of the whole path and key if one of them is too long for it."""
    path = path_of(namespace)
    short_path, short_key = index_key(path), index_key(key)
    if short_path is path and short_key is key:
        return path, key, None
    return short_path, short_key, json_text([path, key])


def read_key(path: str, key: str, long_name: str | None) -> tuple[tuple[str, ...], str]:
    """Return the namespace and key of the values of ``key_values``."""
    if long_name is not None:
        path, key = from_json(long_name)
    return namespace_of(path), key


def key_of_row(row: Sequence[Any], long_name: int) -> str:
    """Return the key of a row that begins with path and key, as people read it, even if the row is corrupt."""
    try:
        namespace, key = read_key(row[0], row[1], row[long_name])
    except (ValueError, TypeError, AttributeError):
        return str(row[0])
    return "/".join((*namespace, key))
