"""Data that users hold, records and errors alike, can be pickled and copied."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pytest

import ciris_store_core
from ciris_store_core import StoreError, models, services, url
from ciris_store_core import store as access
from ciris_store_core.models.base import Record

COPIES: Mapping[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "an old pickle": lambda value: pickle.loads(pickle.dumps(value, 2)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
_PLAIN: Mapping[Any, Any] = {
    str: "x", int: 1, float: 0.5, bool: True, bytes: b"x", datetime: datetime(2025, 1, 1, tzinfo=UTC),
    timedelta: timedelta(hours=1), Any: {"k": [1, None]}, type(None): None, object: "x",
}  # fmt: skip
_GIVEN: Mapping[str, Any] = {
    "Approval": {"request": "0" * 64, "nonce": "0" * 32, "signature": "0" * 128},
    "StreamRule": {"keep": 5},
}


def _is_data(kind: Any) -> bool:
    named = inspect.isclass(kind) and issubclass(kind, tuple) and hasattr(kind, "_fields")
    return inspect.isclass(kind) and (issubclass(kind, Record) or named or dataclasses.is_dataclass(kind))


def _public() -> list[Any]:
    homes = [(ciris_store_core, ciris_store_core.__all__), (models, models.__all__), (services, services.__all__)]
    return [getattr(home, name) for home, names in homes for name in names] + [url.StoreURL]


KINDS = sorted({kind for kind in _public() if _is_data(kind)}, key=lambda kind: kind.__name__)
ERRORS = sorted({kind for kind in _public() if inspect.isclass(kind) and issubclass(kind, StoreError)}, key=repr)


def _made(kind: Any) -> Any:
    """A value of a type, with every field of a record given."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _made(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return _made(arguments[0])
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, TypeVar):
        return "x"
    if origin is tuple:
        return tuple(_made(each) for each in arguments if each is not ...)
    if origin is not None and issubclass(origin, Mapping):
        return {_made(arguments[0]): _made(arguments[1])}
    if origin in (list, set, frozenset):
        return origin([_made(arguments[0])])
    if origin is not None and _is_data(origin):
        return _made(origin)
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return next(iter(kind))
    given = _GIVEN.get(kind.__name__, {})
    return kind(**{name: _made(hint) for name, hint in _fields(kind).items() if name not in given}, **given)


def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    if issubclass(kind, Record):
        return {name: hints[name] for name, field in kind.model_fields.items() if field.is_required()}
    if issubclass(kind, tuple):
        return {name: hints[name] for name in kind._fields if name not in kind._field_defaults}
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    return {
        field.name: hints[field.name]
        for field in fields
        if field.init and field.default is missing and field.default_factory is missing
    }


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_is_the_same_afterwards(kind: Any, copied: Callable[[Any], Any]) -> None:
    value = _made(kind)
    again = copied(value)
    assert type(again) is type(value)
    assert again == value
    assert getattr(again, "__pydantic_fields_set__", None) == getattr(value, "__pydantic_fields_set__", None)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_data(kind: type[StoreError], copied: Callable[[Any], Any]) -> None:
    error = kind("what is wrong")
    error.__dict__["request"] = _made(access.ApprovalRequest)
    error.add_note("when it happened")
    again = copied(error)
    assert type(again) is kind
    assert (str(again), again.args, again.__dict__) == (str(error), error.args, error.__dict__)
    assert again.retryable == error.retryable


def test_a_url_stays_read_only() -> None:
    again = copy.deepcopy(url.resolve_url("postgresql://u:p@h/d?create=false"))
    assert again.password == "p"
    with pytest.raises(TypeError):
        again.options["create"] = "true"  # type: ignore[index]
