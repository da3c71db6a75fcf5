"""A checked, normalised copy of a JSON value, which shares no container with the caller's."""

from __future__ import annotations

import json
from collections.abc import Sized
from enum import Enum
from math import isfinite
from typing import Any, Final

from pydantic_core import from_json, to_json

from ciris_store_core.errors import InvalidArgument

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
INT64 = range(-(2**63), 2**63)

_SCALAR_BYTES = 40  # More than any number, or the signs around a key and a text, take.

UNUSUAL: Final = object()
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 19  # Fewer always fit into 64 bits.

_BASES: tuple[type[Any], ...] = (int, float, dict, list, tuple)
_ADVICE = {
    "datetime": "Use its .isoformat()",
    "date": "Use its .isoformat()",
    "time": "Use its .isoformat()",
    "timedelta": "Use its .total_seconds()",
    "bytes": "Encode it, for instance with base64",
    "bytearray": "Encode it, for instance with base64",
    "set": "Use a list",
    "frozenset": "Use a list",
    "Decimal": "Use str() or float()",
    "UUID": "Use str()",
    "PosixPath": "Use str()",
    "mappingproxy": "Use dict()",
}


class Refused(Exception):
    """Why a value is not acceptable. The path to it is gathered from the inside out."""

    def __init__(self, reason: str) -> None:
        """Start at the value itself."""
        super().__init__(reason)
        self.path: list[str] = []

    def as_error(self, root: str) -> InvalidArgument:
        """The error for callers: where, then why."""
        return InvalidArgument(f"{'.'.join([root, *map(_fit_to_show, reversed(self.path))])}: {self}")


def _fit_to_show(step: str) -> str:
    """A key, unless it holds a secret itself."""
    from ciris_store_core.secrets.detector import Detector  # Only where something is wrong.

    return "(a secret)" if Detector().find(step) else step


def clean_text(text: str, *, replace: bool) -> str:
    """Plain text without NUL and lone surrogates: refused, or replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        if not replace:
            raise Refused(_bad_text("a lone surrogate")) from None
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "\0" not in text:
        return text
    if not replace:
        raise Refused(_bad_text("a NUL character"))
    return text.replace("\0", "\ufffd")


def _bad_text(what: str) -> str:
    return f"the text holds {what}. Remove it, or open the store with text_errors='replace'."


def plain_text(value: Any) -> str:
    """The text itself of a ``str``, a subclass of it or an enum of texts."""
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise Refused(f"expected text, not {type(value).__name__}")
    return str(value.value) if isinstance(value, Enum) else str.__str__(value)


def plain_number(value: Any) -> int | float | None:
    """The number itself of an ``int``, a ``float`` or a subclass of them; None for anything else, booleans too."""
    kind = type(value)
    if kind is float or kind is int:
        return value  # type: ignore[no-any-return]
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    return None if kind is bool or not isinstance(value, int) else int.__add__(value, 0)


def finite_number(value: Any) -> float:
    """Return a number as a finite float; raise ``Refused`` for anything else."""
    number = plain_number(value)
    if number is None:
        raise Refused(f"expected a number, not {type(value).__name__}")
    try:
        number = float(number)
    except OverflowError:
        raise Refused("the number is larger than any float. Leave it out.") from None
    if not isfinite(number):
        raise Refused(f"{number} is not a finite number. Leave it out or use None.")
    return number + 0.0  # -0.0 becomes 0.0


def json_copy(value: Any, *, replace: bool) -> Any:
    """Return the copy; raise ``Refused`` if the value is not JSON, too deep or too large."""
    copy = usual_copy(value)
    return close_copy(value, replace=replace) if copy is UNUSUAL else copy


def usual_copy(value: Any) -> Any:
    """Return a copy by way of its text, at a third of the cost of visiting each part; ``UNUSUAL`` if that would differ.

    A value that is not JSON, though it can be encoded, does not equal the decoded copy.
    """
    try:
        encoded = to_json(value)
        text = encoded.decode()
        if len(encoded) > MAX_BYTES or "\\u0000" in text or "-0.0" in text:
            return UNUSUAL
        if encoded.translate(_DIGITS_ALIKE).find(_MANY_DIGITS) >= 0:
            return UNUSUAL
        copy = from_json(encoded, allow_inf_nan=False)
    except (ValueError, RecursionError):
        return UNUSUAL
    return copy if copy == value and (len(text) <= 2 * MAX_DEPTH or _depth(copy) <= MAX_DEPTH) else UNUSUAL


def _depth(value: Any) -> int:
    """Return the number of levels of objects and arrays in a decoded JSON value."""
    if type(value) is not dict and type(value) is not list:
        return 0
    inner = value.values() if type(value) is dict else value
    return 1 + max([_depth(part) for part in inner if type(part) is dict or type(part) is list], default=0)


def close_copy(value: Any, *, replace: bool) -> Any:
    """The copy, by looking at each part."""
    copier = _Copier(replace)
    copy = copier.copy(value, 0)
    # Only a payload that may be too large is measured exactly.
    if copier.at_most > MAX_BYTES and encoded_size(copy) > MAX_BYTES:
        raise Refused("larger than 16 MiB of JSON. Store it elsewhere and keep a reference.")
    return copy


def encoded_size(value: Any) -> int:
    """Bytes of the value as compact JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


class _Copier:
    """Copies one value; ``at_most`` is an upper bound of its encoded size."""

    __slots__ = ("at_most", "replace")

    def __init__(self, replace: bool) -> None:
        self.replace = replace
        self.at_most = 0

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is bool or value is None:
            return value
        if kind is dict:
            return self._object(value, depth + 1)
        if kind is list or kind is tuple:
            return self._array(value, depth + 1)
        if kind is int or kind is float:
            return self._number(value)
        return self._unusual(value, depth)

    def _text(self, value: str) -> str:
        self.at_most += 6 * len(value)
        if value.isascii() and "\0" not in value:
            return value
        return clean_text(value, replace=self.replace)

    def _number(self, value: float) -> float:
        if type(value) is int:
            if value not in INT64:
                raise Refused("the integer has more than 64 bits. Keep it as text.")
            return value
        if not isfinite(value):
            raise Refused(f"{value} is not a finite number. Leave it out or use None.")
        return value + 0.0  # -0.0 becomes 0.0

    def _array(self, values: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        self._enter(values, depth)
        copy: list[Any] = []
        try:
            for value in values:
                copy.append(self.copy(value, depth))
        except Refused as refused:
            refused.path.append(f"[{len(copy)}]")
            raise
        return copy

    def _object(self, values: dict[Any, Any], depth: int) -> dict[str, Any]:
        self._enter(values, depth)
        copy: dict[str, Any] = {}
        key: Any = ""
        try:
            for key, value in values.items():
                copy[self._key(key)] = self.copy(value, depth)
        except Refused as refused:
            refused.path.append(ascii(key)[:80])
            raise
        if len(copy) != len(values):
            raise Refused("two keys become the same text once they are cleaned. Rename one.")
        return copy

    def _key(self, key: Any) -> str:
        if type(key) is str:
            return self._text(key)
        if not isinstance(key, str):
            raise Refused(f"a key of a JSON object must be text, not {type(key).__name__}. Use str().")
        return self._text(plain_text(key))

    def _unusual(self, value: Any, depth: int) -> Any:
        """Subclasses of the JSON types; anything else is refused."""
        if isinstance(value, str):
            return self._text(plain_text(value))
        for base in _BASES:
            if isinstance(value, base):
                return self.copy(base(value), depth)
        name = type(value).__name__
        if isinstance(value, Enum):
            raise Refused(f"{name} is not JSON. Use its .value.")
        if hasattr(value, "model_dump"):
            raise Refused(f"{name} is not JSON. Use its .model_dump(mode='json').")
        raise Refused(f"{name} is not JSON. {_ADVICE.get(name, 'Use text, numbers, booleans, None, lists and dicts')}.")

    def _enter(self, values: Sized, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels. Make it flatter.")
        self.at_most += _SCALAR_BYTES * (len(values) + 1)
