"""Options of database URLs."""

from __future__ import annotations

import pytest

from ciris_store_core.errors import InvalidURL
from ciris_store_core.url import OptionReader, resolve_url


def _reader(query: str) -> OptionReader:
    return OptionReader(resolve_url(f"sqlite:///x.db?{query}").options)


def test_options_are_read_with_their_types() -> None:
    reader = _reader("t=a%26b+c&b=Off&i=-3&n=2.5e1&c=full&s=my_schema&empty=")
    assert reader.text("t", None) == "a&b+c"
    assert reader.text("empty", None) == ""
    assert reader.boolean("b", True) is False
    assert reader.integer("i", 0, -3, 3) == -3
    assert reader.number("n", 0.0, 0, 25) == 25.0
    assert reader.choice("c", "normal", ["full", "normal"]) == "full"
    assert reader.identifier("s", "public") == "my_schema"
    reader.finish()


def test_options_that_are_not_given_have_their_default() -> None:
    reader = _reader("")
    assert reader.text("t", "x") == "x"
    assert reader.boolean("b", None) is None
    assert reader.integer("i", 5, 0, 1) == 5
    assert reader.number("n", 1.5) == 1.5
    assert reader.choice("c", None, ["a"]) is None
    assert reader.identifier("s", "public") == "public"
    reader.finish()


@pytest.mark.parametrize("word", ["true", "YES", "on", "1"])
def test_words_for_true(word: str) -> None:
    assert _reader(f"b={word}").boolean("b", False) is True


@pytest.mark.parametrize("value", ["", "maybe", "2", "t"])
def test_booleans_that_are_none(value: str) -> None:
    with pytest.raises(InvalidURL, match=f"'b' must be true or false, not '{value}'"):
        _reader(f"b={value}").boolean("b", False)


@pytest.mark.parametrize("value", ["", "1.0", "1_0", "x", "٣", "11", "-1", "9" * 19, "0x1"])
def test_integers_that_are_none_or_out_of_range(value: str) -> None:
    with pytest.raises(InvalidURL, match="'i' must be a whole number from 0 to 10, not"):
        _reader(f"i={value}").integer("i", 5, 0, 10)


@pytest.mark.parametrize("value", ["", "nan", "inf", "1e999", "1_0", "-0.1", "1,5"])
def test_numbers_that_are_none_or_out_of_range(value: str) -> None:
    with pytest.raises(InvalidURL, match="'n' must be a number of at least 0, not"):
        _reader(f"n={value}").number("n", 1.0, 0)


def test_a_choice_names_the_valid_ones() -> None:
    with pytest.raises(InvalidURL, match="'c' must be one of full, normal, not 'FULL'"):
        _reader("c=FULL").choice("c", "full", ["full", "normal"])


@pytest.mark.parametrize("value", ["", "1a", "A", "-b", "a;b", 'a"b', "a" * 64, "é", "a b"])
def test_identifiers_that_are_none(value: str) -> None:
    with pytest.raises(InvalidURL, match="'s' must be up to 63 of a-z"):
        _reader(f"s={value}").identifier("s", "public")
    assert _reader("s=" + "a" * 63).identifier("s", "") == "a" * 63


def test_an_unknown_option_names_the_valid_ones_and_the_closest() -> None:
    reader = _reader("creat=false&zz=1")
    reader.boolean("create", True)
    reader.text("busy_timeout", None)
    with pytest.raises(InvalidURL) as caught:
        reader.finish()
    assert str(caught.value) == (
        "unknown URL option: creat, zz. Did you mean 'create' instead of 'creat'? Use one of: busy_timeout, create."
    )


def test_a_bad_secret_is_not_shown() -> None:
    with pytest.raises(InvalidURL, match=r"not \*\*\*"):
        _reader("token=hunter2").integer("token", 0)
