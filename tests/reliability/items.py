"""The corpus of bad input: values for any argument or field, by the kind of value that is expected."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.samples import AWKWARD_KEYS, nested


class Item(NamedTuple):
    """One value, and what to call it in a report."""

    name: str
    value: Any


def _named(values: dict[str, Any]) -> list[Item]:
    return [Item(name, value) for name, value in values.items()]


def _noise(size: int) -> str:
    """Text that no compression makes smaller: an index entry of PostgreSQL holds at most 2,704 bytes."""
    return "".join(map(chr, Random(size).choices(range(33, 127), k=size)))


class OwnText(str):
    """A text of a library's own class."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "own('"

    __str__ = __repr__


class OwnInt(int):
    """A whole number of a library's own class."""

    def __repr__(self) -> str:
        return "own('"

    __str__ = __repr__


class OwnFloat(float):
    """A number of a library's own class."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "own('"

    __str__ = __repr__


class OwnBytes(bytes):
    """Bytes of a library's own class."""


class OwnTime(datetime):
    """A time of a library's own class."""

    def __str__(self) -> str:
        return "own('"

    isoformat = __str__  # type: ignore[assignment]


IDS = _named(
    {
        "empty": "", "space": " ", "NUL": "a\0b", "lone surrogate": "\ud800", "NFC": "\u00e9", "NFD": "e\u0301",
        "titlecase": "\u01c5", "override": "\u202e", "zero width": "\u200b", "BOM": "\ufeff", "70 bytes": "i" * 70,
        "255 bytes": "\u00e9" * 127 + "x", "256 bytes": "\u00e9" * 128, "2705 bytes": _noise(2705),
        "100,000 a": "a" * 100_000, "path": "../../x", "SQL": "'; DROP TABLE tasks;--", "shared": "__shared__",
    }
)  # fmt: skip
PATTERNS = _named(
    {
        "percent": "%", "underscore": "_", "backslash": "\\", "ends in backslash": "a\\", "100%": "100%", "ABC": "ABC",
        "abc": "abc", "\u00c9": "\u00c9", "((((": "((((", "a & |": "a & |", '"': '"', "NEAR(": "NEAR(a b)", "*": "*",
        "placeholder": "%s ? $1 :x", "cast": "::text", "own text": OwnText("a'b"),
    }
)  # fmt: skip
TEXTS = [*IDS, *PATTERNS]

KEYS = [
    *(Item(f"key {key[:12]!r}", key) for key in AWKWARD_KEYS),
    *_named({"key empty": "", "key 10 kB": "k" * 10_000, "key NUL": "a\0b", "key surrogate": "\udfff"}),
]

NUMBERS = _named(
    {
        "2^31": 2**31, "2^53+1": 2**53 + 1, "2^63": 2**63, "2^63-1": 2**63 - 1, "-2^63": -(2**63),
        "-2^63-1": -(2**63) - 1, "NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf, "-0.0": -0.0, "1e308": 1e308,
        "5e-324": 5e-324, "0.1": 0.1, "23 digits": 10**22 + 1, "1": 1, "1.0": 1.0, "True": True, "0": 0, "-1": -1,
        "text": "1", "own int": OwnInt(3), "own float": OwnFloat(0.5), "longest": timedelta.max,
        "shortest": timedelta.min, "resolution": timedelta.resolution,
    }
)  # fmt: skip
if find_spec("numpy") is not None:
    import numpy

    NUMBERS += _named({"float64": numpy.float64(0.5), "float32": numpy.float32(0.5), "int64": numpy.int64(3)})
    NUMBERS += _named({"bool_": numpy.bool_(True)})

_BERLIN = ZoneInfo("Europe/Berlin")
TIMES = _named(
    {
        "naive": datetime(2025, 1, 1, 12), "+14:00": datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=14))),
        "fold 0": datetime(2025, 10, 26, 2, 30, tzinfo=_BERLIN),
        "fold 1": datetime(2025, 10, 26, 2, 30, tzinfo=_BERLIN, fold=1),
        "gap": datetime(2025, 3, 30, 2, 30, tzinfo=_BERLIN), "min": datetime.min.replace(tzinfo=UTC),
        "max": datetime.max.replace(tzinfo=UTC), "microsecond": T0 + timedelta(microseconds=1),
        "before year 1": datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        "year 10000": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        "-00:00:01": datetime(2025, 1, 1, tzinfo=timezone(timedelta(seconds=-1))),
        "text with nanoseconds": "2025-01-01T00:00:00.123456789Z", "leap second": "2016-12-31T23:59:60Z",
        "BC": "0044-03-15 BC", "far future": datetime(9000, 1, 1, tzinfo=UTC),
        "before 1970": datetime(1960, 2, 29, tzinfo=UTC), "a number": 1_735_732_800,
        "own time": OwnTime(2025, 1, 1, 12, tzinfo=UTC), "naive min": datetime.min, "naive max": datetime.max,
    }
)  # fmt: skip

TAGS = [
    *(Item(f"tag {key.name}", {key.value: "v"}) for key in KEYS),
    *(Item(f"value {text.name}", {"k": text.value}) for text in TEXTS),
    *_named(
        {
            "no tags": {},
            "number": {"k": 1},
            "None": {"k": None},
            "key number": {1: "v"},
            "list": ["k"],
            "list of values": {"k": ["v"]},
        }
    ),
]
JSONS = [
    *(Item(f"JSON {key.name}", {key.value: 1}) for key in KEYS),
    *(Item(f"JSON {text.name}", {"k": text.value}) for text in TEXTS),
    *(Item(f"JSON {number.name}", {"k": number.value}) for number in NUMBERS),
    *_named(
        {
            "depth 99": nested(99), "depth 101": nested(101), "depth 1001": nested(1001), "depth 2001": nested(2001),
            "escaped NUL": {"k": "\\u0000"}, "key order": {"b": 1, "a": 2, "aa": 3}, "not an object": [1],
            "a set": {"k": {1}}, "bytes": {"k": b"x"}, "own bytes": {"k": OwnBytes(b"x")},
            "a time": {"k": T0}, "empty": {},
            "mixed": {"k": [1, 1.0, True, None, "1", {"": []}]},
        }
    ),
]  # fmt: skip
ENUMS = _named(
    {"empty": "", "upper": "PENDING", "unknown": "no such", "NUL": "a\0b", "SQL": "'--", "surrogate": "\ud800"}
)

ITEMS: dict[str, list[Item]] = {
    "text": TEXTS, "number": NUMBERS, "time": TIMES, "tags": TAGS, "json": JSONS, "enum": ENUMS,
    "numbers": [Item(f"[{number.name}]", [number.value]) for number in NUMBERS],
    "texts": [
        *(Item(f"[{text.name}]", [text.value]) for text in TEXTS),
        *_named({"no texts": [], "twice": ["a", "a"], "many": [str(number) for number in range(1000)], "one text": "ab",
                 "a number": [1]}),
    ],
}  # fmt: skip
"""By kind."""
