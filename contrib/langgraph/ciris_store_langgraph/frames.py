"""Frames: several typed byte strings as one, with a JSON header that tells them apart."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

Typed = tuple[str, bytes]
"""Type tag and bytes, as LangGraph's serializers write them."""

_LENGTH = struct.Struct(">I")


def pack(header: dict[str, Any], parts: Sequence[Typed]) -> bytes:
    """Return a frame with this header and these parts."""
    facts = {**header, "parts": [[tag, len(data)] for tag, data in parts]}
    text = json.dumps(facts, separators=(",", ":")).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *(data for _, data in parts)])


def unpack(frame: bytes) -> tuple[dict[str, Any], list[Typed]]:
    """Return the header and the parts of a frame."""
    (length,) = _LENGTH.unpack_from(frame)
    at = _LENGTH.size + length
    header: dict[str, Any] = json.loads(frame[_LENGTH.size : at])
    parts: list[Typed] = []
    for tag, size in header.pop("parts"):
        parts.append((tag, frame[at : at + size]))
        at += size
    return header, parts
