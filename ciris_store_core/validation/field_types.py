"""Types of the fields of records."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ciris_store_core.models.base import Record


@cache
def field_types(model: type[Record]) -> dict[str, Any]:
    """The types of the fields, found once in a process: that takes milliseconds, and every store needs them."""
    found = get_type_hints(model, include_extras=True)
    return {name: _bare(found[name]) for name in model.model_fields}


def _bare(hint: Any) -> Any:
    """The type without ``| None``."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    others = [argument for argument in get_args(hint) if argument is not NoneType]
    return others[0] if len(others) == 1 else Union[tuple(others)]  # noqa: UP007 (built from a list)


def is_record(hint: Any) -> bool:
    """Return whether a type is a class of records."""
    return isinstance(hint, type) and issubclass(hint, Record)
