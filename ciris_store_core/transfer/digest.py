"""Digests of records and of sets of records: equal only if the records are equal, on any database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

from ciris_store_core.models.base import Record

_MODULUS = 2**256


@cache
def _values(model: type[Record]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Collect the values of a record's fields, in a fixed order."""
    return itemgetter(*model.model_fields)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Record):
        values = _values(type(value))(value.__dict__)
        return (*values, value.__pydantic_extra__) if value.__pydantic_extra__ else values
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} cannot be part of a record")


# Sorted keys, since every database keeps them in an order of its own. 1 and 1.0 stay different.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False, default=_plain
).encode


def canonical(record: Record) -> bytes:
    """Return the canonical form of a record: equal for equal records, as long as the record fields stay the same."""
    return _encode(_plain(record)).encode("ascii")


@dataclass(slots=True)
class Tally:
    """The number of records and the sum of their digests, in which the order of the records does not count.

    It detects records that were lost, duplicated or changed by accident. It does not detect deliberate manipulation.
    """

    count: int = 0
    total: int = 0

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Tally:
        """Return the tally of records in serialized form."""
        made = cls()
        made.add_texts(texts)
        return made

    def add(self, records: Iterable[Record]) -> int:
        """Add records; return the size of their canonical forms in bytes."""
        return self.add_texts(map(canonical, records))

    def add_texts(self, texts: Iterable[bytes]) -> int:
        """Add records in serialized form; return their size in bytes."""
        size = 0
        for text in texts:
            size += len(text)
            self.count += 1
            self.total += int.from_bytes(hashlib.sha256(text).digest(), "big")
        self.total %= _MODULUS
        return size

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both sets together."""
        return Tally(self.count + other.count, (self.total + other.total) % _MODULUS)

    def __str__(self) -> str:
        """Return the text from which ``parse`` makes an equal tally."""
        return f"{self.count}:{self.total:064x}"

    @classmethod
    def parse(cls, text: str) -> Tally:
        """Return the tally of a text; raise ``ValueError`` if the text is malformed."""
        count, _, total = text.partition(":")
        return cls(int(count), int(total, 16))


Tallies = Mapping[str, Tally]
"""Tallies by the name of the kind."""
