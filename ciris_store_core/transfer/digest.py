"""Digests of records and of sets of records: equal only where the records are, on whatever database they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ciris_store_core.models.base import Record

if TYPE_CHECKING:
    from ciris_store_core.store import Store

_MODULUS = 2**256


@cache
def _values(model: type[Record]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Takes the values out of a record's fields, in one order."""
    return itemgetter(*model.model_fields)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Record):
        values = _values(type(value))(value.__dict__)
        return (*values, value.__pydantic_extra__) if value.__pydantic_extra__ else values
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} is no part of a record")


# Keys in order, as databases keep them in orders of their own; 1 and 1.0 stay different.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False, default=_plain
).encode


def canonical(record: Record) -> bytes:
    """The one form that equal records have, as long as the fields of records are those of this version."""
    return _encode(_plain(record)).encode("ascii")


@dataclass(slots=True)
class Tally:
    """How many records there are, and the sum of their digests, in which their order does not count.

    It shows what was lost, doubled or changed by accident. It is no proof against somebody who means to deceive.
    """

    count: int = 0
    total: int = 0

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Tally:
        """Of records that are in some form of bytes."""
        made = cls()
        made.add_texts(texts)
        return made

    def add(self, records: Iterable[Record]) -> int:
        """Take records in; returns the size of their canonical forms in bytes."""
        return self.add_texts(map(canonical, records))

    def add_texts(self, texts: Iterable[bytes]) -> int:
        """Take records in that are in some form of bytes; returns their size."""
        size = 0
        for text in texts:
            size += len(text)
            self.count += 1
            self.total += int.from_bytes(hashlib.sha256(text).digest(), "big")
        self.total %= _MODULUS
        return size

    def __add__(self, other: Tally) -> Tally:
        """Of both sets together."""
        return Tally(self.count + other.count, (self.total + other.total) % _MODULUS)

    def __str__(self) -> str:
        """As text, from which ``parse`` makes an equal one."""
        return f"{self.count}:{self.total:064x}"

    @classmethod
    def parse(cls, text: str) -> Tally:
        """The tally of a text; ValueError where it is none."""
        count, _, total = text.partition(":")
        return cls(int(count), int(total, 16))


Tallies = Mapping[str, Tally]
"""By kind."""


def digest_store(store: Store, *, without: Iterable[str] = ()) -> dict[str, Tally]:
    """The tally of each kind of records, as the store is at one moment; reads everything.

    Two stores with equal digests hold the same records. ``without``: kinds or scopes to leave out, see ``copy_store``.
    """
    from ciris_store_core.transfer.record_kinds import KindSelection
    from ciris_store_core.transfer.store_reader import StoreReader, tallied

    with StoreReader.of(store, KindSelection.of(without)) as reader:
        return tallied(reader)
