"""The corpus times the methods: which values each argument and each field of a record may be handed.

It is made from the signatures, so that a new argument or field is covered by itself, and a new method as soon as
``calls.METHODS`` has a plain call of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ciris_store_core.models.base import Record
from ciris_store_core.store.context import AnyOccurrence
from tests.reliability.calls import METHODS, Arguments, call, method_of, plain_arguments
from tests.reliability.items import ITEMS, Item

Path = tuple[str, ...]

MANY = {"text": "texts", "number": "numbers"}
"""Plurals of the names of kinds."""
NOT_DATA = {"on_corrupt"}
"""Arguments that are functions."""


class Case(NamedTuple):
    """One item in one place of one call."""

    method: str
    path: Path
    item: Item

    def run(self, home: Any) -> Any:
        """Make the call; the record is made in it, as a caller would."""
        return call(home, self.method, with_value(plain_arguments(self.method), self.path, self.item.value))

    @property
    def writes(self) -> bool:
        """True if the method writes."""
        return METHODS[self.method].writes

    def __str__(self) -> str:
        """Name in a report."""
        return f"{self.method}({'.'.join(self.path)} = {self.item.name})"


def cases(method: str) -> Iterator[Case]:
    """Every item in every place of the method's arguments where a value of its kind is expected."""
    plain = plain_arguments(method)
    for name, hint in sorted(hints_of(method).items()):
        for path, kind in places(name, hint, plain.get(name)):
            for item in ITEMS[kind]:
                yield Case(method, path, item)


@cache
def _types_of(annotated: Any) -> dict[str, Any]:
    return get_type_hints(annotated, include_extras=True)


def hints_of(method: str) -> dict[str, Any]:
    """The type of each argument; of ``**changes`` and the like each by its name."""
    function, known = method_of(method), METHODS[method]
    hints = _types_of(function)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self" or name in NOT_DATA:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            found[name] = list[hints[name]]  # type: ignore[valid-type]  # a type made from a signature
        elif parameter.kind is not parameter.VAR_KEYWORD:
            found[name] = hints[name]
        elif known.changes is not None:
            fields = _types_of(known.changes[0])
            found |= {each: fields[each] for each in known.changes[1]}
        else:
            [filters] = get_args(hints[name])  # Unpack[SomeTypedDict]
            found |= _types_of(filters)
    return {name: hint for name, hint in found.items() if name not in NOT_DATA}


def places(name: str, hint: Any, value: Any) -> Iterator[tuple[Path, str]]:
    """The places in one argument or field, and what kind of items each is handed."""
    kinds = set(kinds_of(hint))
    for kind in sorted(kind for kind in kinds if isinstance(kind, str)):
        yield (name,), kind
    records = [kind for kind in kinds if isinstance(kind, type)]
    inner = value[0] if isinstance(value, list) and value and not isinstance(value[0], str) else value
    if records and isinstance(inner, Record):
        fields = _types_of(type(inner))
        for field in type(inner).model_fields:
            for path, kind in places(field, fields[field], getattr(inner, field)):
                yield (name, *path), kind
    elif records and (is_dataclass(inner) or hasattr(inner, "_fields")):
        for field, kind_of_field in _types_of(type(inner)).items():
            for path, kind in places(field, kind_of_field, getattr(inner, field)):
                yield (name, *path), kind


def kinds_of(hint: Any) -> Iterator[str | type]:
    """Return the values that a type admits: names of kinds of items, and classes of records."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from kinds_of(arguments[0])
    elif origin in (Union, UnionType):
        yield from _of_union(arguments)
    elif hint is Any:
        yield "json"
    elif origin is Literal or hint in (bool, NoneType, AnyOccurrence):
        yield from ["enum"] if origin is Literal and isinstance(arguments[0], str) else []
    elif origin is tuple or isinstance(hint, TypeVar):  # a node's key, as (id, scope); any record
        return
    elif origin is not None and issubclass(origin, Mapping):
        yield "tags" if arguments[1] is str else "json"
    elif origin is not None and issubclass(origin, Iterable):
        yield from (MANY.get(kind, kind) if isinstance(kind, str) else kind for kind in kinds_of(arguments[0]))
    else:
        yield _of_class(hint)


def _of_union(arguments: tuple[Any, ...]) -> Iterator[str | type]:
    closed = any(isinstance(each, type) and issubclass(each, Enum) for each in arguments)
    for each in arguments:
        yield from ["enum"] if closed and each is str else kinds_of(each)


def _of_class(hint: Any) -> str | type:
    if not isinstance(hint, type):
        raise TypeError(f"no items for arguments of type {hint}. Say in kinds_of what it is handed.")
    if issubclass(hint, Enum):
        return "enum"
    for kind, name in ((str, "text"), (int, "number"), (float, "number"), (datetime, "time"), (timedelta, "number")):
        if issubclass(hint, kind):
            return name
    return hint


def with_value(arguments: Arguments, path: Path, value: Any) -> Arguments:
    """The arguments with another value at a place."""
    name, *rest = path
    return {**arguments, name: _inside(arguments[name], tuple(rest), value) if rest else value}


def _inside(holder: Any, path: Path, value: Any) -> Any:
    if isinstance(holder, list):
        return [_inside(holder[0], path, value), *holder[1:]]
    name, *rest = path
    inner = _inside(getattr(holder, name), tuple(rest), value) if rest else value
    if isinstance(holder, Record):
        return type(holder)(**{**_given(holder), name: inner})
    return replace(holder, **{name: inner}) if is_dataclass(holder) else holder._replace(**{name: inner})


def _given(record: Record) -> dict[str, Any]:
    own = {name: getattr(record, name) for name in record.model_fields_set}
    return {**own, **(record.__pydantic_extra__ or {})}


def value_at(record: Any, path: Path) -> Any:
    """Return the value at a place of a record; None if it has no such place."""
    for name in path:
        record = getattr(record, name, None)
    return record
