"""Thresholds of detection: a value on each side of every one."""

from __future__ import annotations

import pytest

from ciris_store_core.secrets.patterns import CARD_NUMBER, PASSWORD, PIN, TOKEN, SecretPattern
from ciris_store_core.secrets.values import (
    is_card_number,
    is_mixed,
    is_secret_value,
    looks_like_a_token,
    looks_random,
    may_be_nested,
)


@pytest.mark.parametrize(
    ("value", "pattern", "told", "secret"),
    [
        ("12", PIN, False, False),
        ("123", PIN, False, True),
        ("1" * 12, PIN, False, True),
        ("1" * 13, PIN, False, False),
        ("12a", PIN, False, False),
        ("1" * 11, CARD_NUMBER, False, False),
        ("1" * 12, CARD_NUMBER, False, True),
        ("abc", PASSWORD, True, False),
        ("abcd", PASSWORD, True, True),
        ("ab cd", PASSWORD, True, False),
        ("a", PASSWORD, False, True),
        ("abcdef1", TOKEN, False, False),
        ("abcdefg1", TOKEN, False, True),
        ("abcdefgh", TOKEN, False, False),
        ("abcd efg1", TOKEN, False, False),
        ("a" * 23, TOKEN, False, False),
        ("a" * 24, TOKEN, False, True),
    ],
)
def test_values_of_keys_with_the_name_of_a_secret(value: str, pattern: SecretPattern, told: bool, secret: bool) -> None:
    assert is_secret_value(value, pattern, told=told) is secret


@pytest.mark.parametrize(
    ("value", "token"),
    [("abcdefg1", True), ("a" * 23, False), ("a" * 24, True), ("aBcDeFgHiJkLmN", True), ("abc", False)],
)
def test_what_is_more_than_a_word(value: str, token: bool) -> None:
    assert looks_like_a_token(value) is token


@pytest.mark.parametrize(
    ("run", "random"),
    [
        ("a1b2" + "c" * 9, False),
        ("a1b2" + "c" * 10, True),
        ("a1" + "c" * 12, False),
        ("a1c2" + "d" * 10, True),
        ("aBcDe" + "f" * 9, False),
        ("aBcDeF" + "g" * 8, True),
        ("a1b2" + "c" * 9 + "-" + "d" * 9, False),
    ],
)
def test_runs_that_are_hardly_words(run: str, random: bool) -> None:
    assert looks_random(run) is random


@pytest.mark.parametrize(
    ("digits", "card"),
    [
        ("4111111111111111", True),
        ("4111 1111 1111 1111", True),
        ("4111111111111112", False),
        ("4111 1111-1111 1111", False),
        ("0000000000000000", False),
        ("411111111111", False),
    ],
)
def test_card_numbers(digits: str, card: bool) -> None:
    assert is_card_number(digits) is card


@pytest.mark.parametrize(
    ("value", "mixed"),
    [("abc", False), ("abc1", True), ("123", False), ("ab$c", True), ("sha256", False), ("a-b", False)],
)
def test_values_that_are_no_words(value: str, mixed: bool) -> None:
    assert is_mixed(value) is mixed


@pytest.mark.parametrize(
    ("value", "nested"),
    [("abc1", False), ("abcd1", True), ("abcd 1", False), ("a" * 23, False), ("v1.2.3", False), ("2025-01-01", False)],
)
def test_values_that_an_outer_key_may_name(value: str, nested: bool) -> None:
    assert may_be_nested(value) is nested
