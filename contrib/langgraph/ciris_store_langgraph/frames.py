"""Frames: several typed byte strings as one, with a JSON header that tells them apart."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

Typed = tuple[str, bytes]
"""Type tag and bytes, as LangGraph's serializers write them."""

_LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for each call


def pack(header: dict[str, Any], parts: Sequence[Typed]) -> bytes:
    """Return a frame with this header and these parts."""
    text = _encode({**header, "parts": [[tag, len(data)] for tag, data in parts]}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *[data for _, data in parts]])


def unpack(frame: bytes) -> tuple[dict[str, Any], list[Typed]]:
    """Return the header and the parts of a frame."""
    (length,) = _LENGTH.unpack_from(frame)
    at = _LENGTH.size + length
    text = frame[_LENGTH.size : at]
    try:
        header: dict[str, Any] = from_json(text)
    except ValueError:  # it holds a lone surrogate
        header = json.loads(text)
    parts: list[Typed] = []
    for tag, size in header.pop("parts"):
        parts.append((tag, frame[at : at + size]))
        at += size
    return header, parts
