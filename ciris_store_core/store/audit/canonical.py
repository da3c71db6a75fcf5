"""Canonical form of records, for hashes and signatures that last."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

from ciris_store_core.models.base import Record


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of a value: UTF-8, keys by code point, no spaces, times in UTC with microseconds."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_time_text
    )
    return text.encode()


def _time_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} is no part of a record")


def fields_of(record: Record) -> dict[str, Any]:
    """Return the fields of a record that hold a value.

    Empty fields are left out, so that a field which a later version adds changes no older record's form.
    """
    found = {**record.__dict__, **(record.__pydantic_extra__ or {})}
    return {name: _plain(value) for name, value in found.items() if value is not None and value != {} and value != []}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return fields_of(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def hash_of(kind: str, value: Any) -> str:
    """Return the SHA-256 of a kind and a value's canonical form, which no value of another kind shares."""
    return sha256(kind.encode() + b"\n" + canonical(value)).hexdigest()
