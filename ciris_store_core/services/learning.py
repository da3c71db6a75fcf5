"""Learnable operations on a configuration; concurrent learners lose none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ciris_store_core.errors import InvalidArgument

NEUTRAL = 0.5
"""Weight of a key before its first reward."""


class Operation(Protocol):
    """A change of a configuration's values, in place; the result must fit the configuration's fields."""

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Change ``values``; ``now`` is the store's time."""
        ...


@dataclass(frozen=True, slots=True)
class Count:
    """Add ``by`` to a field, or to the entry ``key`` of a field that is a dict."""

    field: str
    key: str | None = None
    by: int = 1

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Add, starting from 0."""
        _change(values, self.field, self.key, lambda old: (old or 0) + self.by)


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """Move a field, or its entry ``key``, towards ``value``: by the fraction ``weight`` of the way.

    The first value is taken as it is.
    """

    field: str
    value: float
    key: str | None = None
    weight: float = 0.1

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` if the weight is not from 0 to 1."""
        _fraction(self.weight, "weight")

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Move the value."""
        _change(values, self.field, self.key, lambda old: _towards(old, self.value, self.weight, self.value))


@dataclass(frozen=True, slots=True)
class Append:
    """Append to a list and keep its newest ``keep`` items; with ``once``, only if the item is not in the list."""

    field: str
    item: Any
    keep: int = 100
    once: bool = False

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` if ``keep`` is less than 1."""
        _at_least_one(self.keep)

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Append the item."""
        items = values.get(self.field) or []
        if not isinstance(items, list):
            raise InvalidArgument(f"{self.field!r} is no list. Name a field that is one.")
        if not (self.once and self.item in items):
            values[self.field] = [*items, self.item][-self.keep :]


@dataclass(frozen=True, slots=True)
class Prefer:
    """Move the weight of ``key`` towards ``reward``, from 0 (bad) to 1 (good), by the fraction ``rate`` of the way.

    A key without a weight begins at 0.5.
    """

    field: str
    key: str
    reward: float
    rate: float = 0.1

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` if the reward or rate is not from 0 to 1."""
        _fraction(self.reward, "reward")
        _fraction(self.rate, "rate")

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Move the value."""
        _change(values, self.field, self.key, lambda old: _towards(old, self.reward, self.rate, NEUTRAL))


@dataclass(frozen=True, slots=True)
class ReplaceTemplate:
    """Replace a template of ``ResponseTemplates``, and keep the newest ``keep`` former ones of that name."""

    name: str
    template: str
    keep: int = 10

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` if ``keep`` is less than 1."""
        _at_least_one(self.keep)

    def apply(self, values: dict[str, Any], now: datetime) -> None:
        """Replace the template, unless it is the same."""
        if "templates" not in values:
            raise InvalidArgument("the configuration has no templates. Learn them on ResponseTemplates.")
        templates, former = values["templates"], values["former"]
        old = templates.get(self.name)
        if old == self.template:
            return
        if old is not None:
            kept = [*former.get(self.name, []), {"template": old, "replaced_at": now}]
            values["former"] = {**former, self.name: kept[-self.keep :]}
        values["templates"] = {**templates, self.name: self.template}


def _change(values: dict[str, Any], field: str, key: str | None, change: Callable[[float | None], float]) -> None:
    if key is None:
        values[field] = change(_number(values.get(field), field))
        return
    entries = values.get(field) or {}
    if not isinstance(entries, dict):
        raise InvalidArgument(f"{field!r} has no entries. Leave out the key.")
    values[field] = {**entries, key: change(_number(entries.get(key), field))}


def _number(value: Any, field: str) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise InvalidArgument(f"{field!r} is no number. Name one of its entries by its key, or another field.")
    return value  # type: ignore[no-any-return]


def _towards(old: float | None, goal: float, rate: float, first: float) -> float:
    start = first if old is None else old
    return start + rate * (goal - start)


def _fraction(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise InvalidArgument(f"{name} must be from 0 to 1, not {value!r}")


def _at_least_one(keep: int) -> None:
    if type(keep) is not int or keep < 1:
        raise InvalidArgument(f"keep must be a whole number of at least 1, not {keep!r}")
