"""Lossless texts of JSON values, and the copies of them that filters see."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json

from ciris_store_core.errors import Corrupt
from ciris_store_core.models.payloads import Payload
from ciris_store_core.validation.json_values import INT64, MAX_BYTES, MAX_DEPTH, Refused

_MOST_DIGITS = 4300
"""Digits of the longest integer that Python converts to text and back."""

_DIGITS_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")

_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_payload(value: Any) -> tuple[Payload, Any]:
    """Return the payload of a JSON value, and a copy of the value; raise ``Refused`` if it is not JSON.

    Tuples count as lists. Everything else comes back as it was: key order, 1 and 1.0, integers of any size, NUL and
    lone surrogates.
    """
    try:
        encoded = to_json(value)
        copy = from_json(encoded, allow_inf_nan=False)
    except (ValueError, RecursionError):
        return _unusual_payload(value)
    if copy != value or encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH:
        check_json(value, 0)  # what is no JSON can be encoded as well, but becomes something else
    if len(encoded) > MAX_BYTES:
        raise _too_large()
    cleaned = to_json(searchable(copy)) if _may_compare_otherwise(encoded) else encoded
    return Payload("json", encoded.decode(), None if cleaned == encoded else cleaned.decode()), copy


def _may_compare_otherwise(encoded: bytes) -> bool:
    """Return whether a JSON text may hold NUL, or a number that databases compare otherwise than Python does."""
    if b"\\" in encoded and b"\\u0000" in encoded:  # one character is found several times faster than six
        return True
    digits = encoded.translate(_DIGITS_ALIKE)
    return b"0e" in digits or b"0" * 16 in digits or (b"-" in encoded and b"-0.0" in digits)


def _unusual_payload(value: Any) -> tuple[Payload, Any]:
    """Return the payload of a value that cannot be written in UTF-8, as texts with lone surrogates."""
    check_json(value, 0)
    body = _dump(value).encode(errors="surrogatepass")
    if len(body) > MAX_BYTES:
        raise _too_large()
    copy = json.loads(body.decode(errors="surrogatepass"))
    return Payload("json", body, _dump(searchable(copy))), copy


def _too_large() -> Refused:
    return Refused("larger than 16 MiB. Store it in parts, or elsewhere.")


def check_json(value: Any, depth: int) -> None:
    """Raise ``Refused``, which says where, unless the value is JSON no deeper than ``MAX_DEPTH``."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels. Make it flatter.")
        _check_parts(value, depth + 1)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Refused(f"{value} is not a finite number. Leave it out or use None.")
    elif isinstance(value, int):
        if value.bit_length() > 3 * _MOST_DIGITS and len(f"{value:x}") * 1.21 > _MOST_DIGITS:
            raise Refused(f"the integer has more than {_MOST_DIGITS} digits. Keep it as text.")
    elif not isinstance(value, str):
        raise Refused(f"{kind.__name__} is not JSON. Use text, numbers, booleans, None, lists and dicts, or bytes.")


def _check_parts(value: Any, depth: int) -> None:
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        try:
            if isinstance(value, dict) and not isinstance(key, str):
                raise Refused(f"a key of a JSON object must be text, not {type(key).__name__}. Use str().")
            check_json(part, depth)
        except Refused as refused:
            refused.path.append(f"[{key}]" if not isinstance(value, dict) else ascii(key)[:80])
            raise


def bytes_payload(value: bytes, media_type: str | None) -> Payload:
    """Return the payload of bytes; raise ``Refused`` if they are too many."""
    if len(value) > MAX_BYTES:
        raise _too_large()
    return Payload("bytes", value, media_type=media_type)


def value_of(payload: Payload) -> Any:
    """Return the value of a payload that is not encrypted; raise ``Corrupt`` if it cannot be read."""
    if payload.format == "bytes":
        return payload.body
    try:
        body = payload.body
        return from_json(body) if isinstance(body, str) else json.loads(body.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):
        raise Corrupt("the stored text is no JSON. Restore it from a backup, or write it again.") from None


def searchable(value: Any) -> Any:
    """Return the copy of a JSON value that filters see, and of an operand that they compare with.

    NUL and lone surrogates become U+FFFD. Whole floats become integers, and integers beyond 64 bits the nearest
    float, so that all databases compare numbers alike.
    """
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): searchable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [searchable(part) for part in value]
    if isinstance(value, bool) or value is None:
        return value
    return _number(value)


def _number(value: float) -> float:
    if isinstance(value, float):
        whole = value.is_integer() and int(value) in INT64
        return int(value) if whole else value
    if value in INT64:
        return int(value)
    try:
        return _number(float(value))  # the nearest float of -(2**63) - 1 is a whole number of 64 bits
    except OverflowError:
        return 1.7976931348623157e308 if value > 0 else -1.7976931348623157e308


def _clean(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
