"""Checks of namespaces, keys and filters, as callers give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.document_filters import AllOf, AnyOf, Condition, Filter, Not, Operator, ValuePath
from ciris_store_core.models.documents import Namespace
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.validation.json_values import Refused
from ciris_store_core.validation.payloads import check_json, searchable

MAX_SEGMENTS = 32
MAX_NAME_BYTES = 2_048
MAX_PATH_BYTES = 8_192
_MOST_CONDITIONS = 1_000

AnyNamespace = str | Sequence[str]
"""The segments of a namespace; a text is a namespace of one segment."""


def namespace_of(given: AnyNamespace, key: str = "", *, prefix: bool = False) -> Namespace:
    """Return the segments of a namespace; a ``prefix`` may have none. ``key``: what is counted with its bytes."""
    parts = (given,) if isinstance(given, str) else tuple(given)
    try:
        segments, size = _segments(parts)
    except TypeError:  # a part that is no text, and has no hash
        segments, size = _segments.__wrapped__(parts)
    if not (prefix or segments) or len(segments) > MAX_SEGMENTS:
        raise InvalidArgument(
            f"a namespace has 1 to {MAX_SEGMENTS} segments, not {len(segments)}",
            hint="Use a tuple of texts, as in ('users', 'ada').",
        )
    size += len(key) if key.isascii() else len(key.encode())
    if size > MAX_PATH_BYTES:
        raise InvalidArgument(
            f"namespace and key have {size} bytes of UTF-8 together, and {MAX_PATH_BYTES} are the most",
            hint="Shorten them, or use a hash.",
        )
    return segments


# Most calls of a program name few namespaces.
@lru_cache(maxsize=256)
def _segments(given: tuple[str, ...]) -> tuple[Namespace, int]:
    """Return checked segments, and how many bytes of UTF-8 they have."""
    segments = tuple(name_of(segment, "namespace") for segment in given)
    return segments, sum(len(segment.encode()) for segment in segments)


def pattern_of(given: Iterable[str | None] | str, name: str) -> tuple[str | None, ...]:
    """Return the segments of a pattern, in which None stands for any one segment."""
    segments = (given,) if isinstance(given, str) else tuple(given)
    if len(segments) > MAX_SEGMENTS:
        raise InvalidArgument(
            f"{name} has {len(segments)} segments, and a namespace at most {MAX_SEGMENTS}. Shorten it."
        )
    return tuple(None if segment is None else name_of(segment, name) for segment in segments)


def name_of(given: str, name: str) -> str:
    """Return a segment, key or name: 1 to 2,048 bytes of UTF-8, without NUL and lone surrogates."""
    if type(given) is str and given.isascii() and 0 < len(given) <= MAX_NAME_BYTES and "\0" not in given:
        return given
    if not isinstance(given, str):
        raise InvalidArgument(f"{name}: expected text, not {type(given).__name__}", hint="Use str().")
    text = str.__str__(given)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"{name}: the text holds a lone surrogate", hint="Remove it.") from None
    if not 1 <= size <= MAX_NAME_BYTES or "\0" in text:
        raise InvalidArgument(
            f"{name}: a text of {size} bytes cannot be a name",
            hint=f"Use 1 to {MAX_NAME_BYTES} bytes of UTF-8, none of them NUL.",
        )
    return text


def filter_of(given: Filter | None) -> Filter | None:
    """Return a filter with checked paths, and operands as stored values are compared."""
    return None if given is None else _checked(given, [_MOST_CONDITIONS])


def _checked(given: Any, left: list[int]) -> Filter:
    left[0] -= 1
    if left[0] < 0:
        raise InvalidArgument(f"a filter has at most {_MOST_CONDITIONS} conditions", hint="Use is_in for many values.")
    if isinstance(given, Condition):
        return Condition(path_of_value(given.path), given.operator, _operand(given))
    if isinstance(given, AllOf | AnyOf):
        return type(given)(tuple(_checked(part, left) for part in given.parts))
    if isinstance(given, Not):
        return Not(_checked(given.part, left))
    raise InvalidArgument(
        f"a filter cannot be a {type(given).__name__}", hint='Make one with field("status").eq("open").'
    )


def _operand(condition: Condition) -> Any:
    operand = condition.operand
    if condition.operator not in get_args(Operator):
        raise InvalidArgument(
            f"{condition.operator!a} is no operator", hint=f"Use one of {', '.join(get_args(Operator))}."
        )
    if condition.operator == "exists":
        if not isinstance(operand, bool):
            raise InvalidArgument("exists: expected True or False")
        return operand
    try:
        check_json(list(operand) if condition.operator == "in" else operand, 0)
    except Refused as refused:
        raise refused.as_error(f"the operand of {condition.operator}") from None
    cleaned = searchable(list(operand) if condition.operator == "in" else operand)
    if condition.operator == "in":
        return tuple(cleaned)
    if condition.operator in ("gt", "gte", "lt", "lte") and (
        isinstance(cleaned, bool) or not isinstance(cleaned, str | int | float)
    ):
        raise InvalidArgument(
            f"{condition.operator} compares with a number or a text, not with {type(operand).__name__}",
            hint="Use eq or is_in.",
        )
    return cleaned


def path_of_value(given: Sequence[Any]) -> ValuePath:
    """Return the path to a part of a value, checked."""
    for step in given:
        if isinstance(step, bool) or not isinstance(step, str | int) or (isinstance(step, int) and step < 0):
            raise InvalidArgument(f"{step!a} is no step of a path", hint="Use keys, and indexes from 0.")
    return tuple(searchable(step) if isinstance(step, str) else int(step) for step in given)


def checked_modes(given: Mapping[Any, SecretsMode]) -> dict[Namespace, SecretsMode]:
    """Return what becomes of secrets, by prefix of the namespace, checked."""
    for mode in given.values():
        if mode not in ("detect", "encrypt", "plain"):
            raise InvalidArgument(f"documents: {mode!a} is no mode. Use 'detect', 'encrypt' or 'plain'.")
    return {namespace_of(prefix, prefix=True): mode for prefix, mode in given.items()}
