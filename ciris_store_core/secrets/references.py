"""References, which replace secrets in texts: ``{SECRET:<uuid>:<description>}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ciris_store_core.models.base import Record

# A description is ours, or that of a pattern, which is held to the same form. It has no room for a secret.
DESCRIPTION = re.compile(r"[a-z][a-z0-9 _-]{0,39}", re.ASCII)

REFERENCE = re.compile(
    r"\{SECRET:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):" + DESCRIPTION.pattern + r"\}", re.ASCII
)


def reference(secret_id: str, description: str) -> str:
    """Return the text that stands for a secret."""
    return f"{{SECRET:{secret_id}:{description}}}"


def references_in(value: Any) -> dict[str, None]:
    """Return the ids that a record or a JSON value refers to, anywhere in it, each once, in order."""
    return {match[1]: None for text in texts_of(value) if "{SECRET:" in text for match in REFERENCE.finditer(text)}


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text of a record or a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, Record):
        yield from texts_of(value.__dict__)
        yield from texts_of(value.__pydantic_extra__)


def replaced(value: Any, whole: Callable[[str], Any]) -> Any:
    """Return a copy of a record or a JSON value with ``whole(text)`` in place of every text; keys become text again."""
    if type(value) is str:  # A member of an enum is none.
        return whole(value)
    if isinstance(value, dict):
        return {str(whole(key)): replaced(item, whole) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, whole) for item in value]
    if isinstance(value, Record):
        copy = value.replaced(**{name: replaced(item, whole) for name, item in value.__dict__.items()})
        object.__setattr__(copy, "__pydantic_extra__", replaced(value.__pydantic_extra__, whole))
        return copy
    return value
