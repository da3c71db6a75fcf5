"""Conditions on the values of documents, and their one meaning on every backend.

>>> from ciris_store_core import field
>>> open_and_old = field("status").eq("open") & field("user", "age").gte(18)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "exists", "contains"]
ValuePath = tuple[str | int, ...]
"""Keys of objects and indexes of arrays, from the outside in. A key never means an index, and holds no syntax."""


class Filter:
    """A condition. Combine conditions with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        """Return the condition that both hold."""
        return AllOf((self, other))

    def __or__(self, other: Filter) -> Filter:
        """Return the condition that at least one holds."""
        return AnyOf((self, other))

    def __invert__(self) -> Filter:
        """Return the condition that this one does not hold."""
        return Not(self)


@dataclass(frozen=True, slots=True)
class Condition(Filter):
    """One comparison of the part of a value that a path leads to."""

    path: ValuePath
    operator: Operator
    operand: Any
    """A JSON value; for ``in`` a tuple of them, for ``exists`` a boolean."""


@dataclass(frozen=True, slots=True)
class AllOf(Filter):
    """Conditions that must all hold. None: always true."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """Conditions of which at least one must hold. None: never true."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """A condition that must not hold."""

    part: Filter


@dataclass(frozen=True, slots=True)
class Field:
    """A part of a value, to compare. Made by ``field``."""

    path: ValuePath

    def eq(self, operand: Any) -> Filter:
        """Return the condition that the part equals a JSON value; numbers by value, ``True`` is not 1."""
        return Condition(self.path, "eq", operand)

    def ne(self, operand: Any) -> Filter:
        """Return the condition that the part is absent, or does not equal a JSON value."""
        return Condition(self.path, "ne", operand)

    def gt(self, operand: float | str) -> Filter:
        """Return the condition that the part is greater: numbers than a number, texts than a text by UTF-8 bytes."""
        return Condition(self.path, "gt", operand)

    def gte(self, operand: float | str) -> Filter:
        """Return the condition that the part is greater or equal. See ``gt``."""
        return Condition(self.path, "gte", operand)

    def lt(self, operand: float | str) -> Filter:
        """Return the condition that the part is less. See ``gt``."""
        return Condition(self.path, "lt", operand)

    def lte(self, operand: float | str) -> Filter:
        """Return the condition that the part is less or equal. See ``gt``."""
        return Condition(self.path, "lte", operand)

    def is_in(self, operands: Iterable[Any]) -> Filter:
        """Return the condition that the part equals one of these JSON values."""
        return Condition(self.path, "in", tuple(operands))

    def exists(self, present: bool = True) -> Filter:
        """Return the condition that the part is there (``null`` is), or with False that it is absent."""
        return Condition(self.path, "exists", present)

    def contains(self, operand: Any) -> Filter:
        """Return the condition that the part is an array with such an element, or a text with this text in it."""
        return Condition(self.path, "contains", operand)


def field(*path: str | int) -> Field:
    """Return the part of a value that these keys and indexes lead to; without any, the whole value."""
    return Field(path)


_ABSENT: Any = object()


def matches(condition: Filter, value: Any) -> bool:
    """Return whether a value, as filters see it, meets a condition. This is the meaning that every backend has."""
    if isinstance(condition, Condition):
        return _holds(condition, _part(value, condition.path))
    if isinstance(condition, AllOf):
        return all(matches(part, value) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(matches(part, value) for part in condition.parts)
    assert isinstance(condition, Not)
    return not matches(condition.part, value)


def _part(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return _ABSENT
        elif not isinstance(value, list) or step >= len(value):
            return _ABSENT
        value = value[step]
    return value


def _holds(condition: Condition, part: Any) -> bool:
    operator, operand = condition.operator, condition.operand
    if operator == "exists":
        return bool((part is not _ABSENT) == operand)
    if part is _ABSENT:
        return operator == "ne"
    if operator == "eq":
        return same(part, operand)
    if operator == "ne":
        return not same(part, operand)
    if operator == "in":
        return any(same(part, each) for each in operand)
    if operator == "contains":
        if isinstance(part, str):
            return isinstance(operand, str) and operand in part
        return isinstance(part, list) and any(same(each, operand) for each in part)
    return _compared(operator, part, operand)


def _compared(operator: str, part: Any, operand: Any) -> bool:
    # Code points order as UTF-8 bytes do.
    if not ((_is_number(part) and _is_number(operand)) or (isinstance(part, str) and isinstance(operand, str))):
        return False
    if operator in ("gt", "gte"):
        return bool(part > operand or (operator == "gte" and part == operand))
    return bool(part < operand or (operator == "lte" and part == operand))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: 1 and 1.0 are, 1 and True are not, the order of keys is nothing."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return type(one) is type(other) and one == other if not _is_number(one) else _is_number(other) and one == other
