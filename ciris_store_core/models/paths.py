"""Namespaces as texts whose order is that of their segments, and keys of any length as short index keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

END = "\x01"
"""Ends every segment of a path. Smaller than every character of a segment, so a prefix sorts before its extensions."""

_ESCAPE = "\x02"
_AFTER_END = "\x02"

INDEXED_BYTES = 1000
"""A path or key of more bytes is indexed by its first ones and a hash: databases bound the size of an index entry."""


def path_of(namespace: Sequence[str]) -> str:
    """Return the path: its segments, each with ``END`` behind it. Paths order as their lists of segments do."""
    return "".join(
        f"{segment.replace(_ESCAPE, _ESCAPE * 2).replace(END, _ESCAPE + END)}{END}"
        if END in segment or _ESCAPE in segment
        else f"{segment}{END}"
        for segment in namespace
    )


def namespace_of(path: str) -> tuple[str, ...]:
    """Return the namespace of a path that ``path_of`` made."""
    if _ESCAPE not in path:
        return tuple(path.split(END)[:-1])
    segments: list[str] = []
    current: list[str] = []
    characters = iter(path)
    for character in characters:
        if character == END:
            segments.append("".join(current))
            current = []
        else:
            current.append(next(characters) if character == _ESCAPE else character)
    return tuple(segments)


def below(path: str) -> str:
    """Return the first text behind all paths that begin with this path, which is not empty."""
    return path[:-1] + _AFTER_END


def index_key(text: str) -> str:
    """Return the text itself, or, if it is long, its beginning and a hash of the whole, which no short text equals."""
    if len(text) * 4 <= INDEXED_BYTES:
        return text
    encoded = text.encode()
    if len(encoded) <= INDEXED_BYTES:
        return text
    beginning = encoded[:INDEXED_BYTES].decode(errors="ignore")
    return beginning + hashlib.sha256(encoded).hexdigest()
