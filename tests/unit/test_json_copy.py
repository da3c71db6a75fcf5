"""The short way to copy a JSON value gives what the long way gives, or leaves it to that."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciris_store_core.validation.json_values import MAX_DEPTH, UNUSUAL, Refused, close_copy, json_copy, usual_copy


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


class Other(Enum):
    B = "b"


NO_JSON = [b"a", Decimal("1.5"), {"a"}, datetime(2025, 1, 1, tzinfo=UTC), Path("a"), Other.B, 2**63, object()]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from([Word.A, Number.ONE, -0.0, "\0", "\ud800", "-0.0", "\\u0000", "1" * 30, *NO_JSON]),
)
KEYS = st.one_of(st.text(st.characters(), max_size=5), st.sampled_from([Word.A, 1, None, True, "a"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_the_short_way_gives_what_the_long_way_gives(value: Any) -> None:
    short = usual_copy(value)
    if short is not UNUSUAL:
        assert repr(short) == repr(close_copy(value, replace=False))


@pytest.mark.parametrize("value", [{}, [], {"a": [1, 1.5, "b", None, True, {"c": "\u00e9"}]}, "text", None])
def test_what_is_usual_takes_the_short_way(value: Any) -> None:
    assert usual_copy(value) == value


@pytest.mark.parametrize("value", [*NO_JSON, {1: 2}, (1, 2), float("nan"), float("inf"), "\0", "\ud800", -0.0])
def test_what_is_not_is_left_to_the_long_way(value: Any) -> None:
    assert usual_copy({"a": [value]}) is UNUSUAL


def test_depth_counts_however_long_the_value() -> None:
    def nested(depth: int) -> Any:
        value: Any = "x" * 300
        for _ in range(depth):
            value = [value]
        return value

    assert json_copy(nested(MAX_DEPTH), replace=False) == nested(MAX_DEPTH)
    with pytest.raises(Refused):
        json_copy(nested(MAX_DEPTH + 1), replace=False)
    wide = [[n] for n in range(MAX_DEPTH)]
    assert usual_copy(wide) == wide
