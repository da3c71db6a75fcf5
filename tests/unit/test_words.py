"""The tokenizer: limits, and that it costs no more for a hostile text."""

from __future__ import annotations

from time import perf_counter

import pytest

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.words import MAX_NODE_BYTES, MAX_TERMS, MAX_WORD, node_words, same_words, search_terms, words_of


def test_repeats_of_a_query_count_once() -> None:
    assert search_terms("a " * 4000) == ("a",)
    assert search_terms("Cat cat CAT* cat*") == ("cat", "cat*")


def test_a_query_has_so_many_words_and_no_more() -> None:
    words = [f"w{number}" for number in range(MAX_TERMS + 1)]
    assert len(search_terms(" ".join(words[:-1]))) == MAX_TERMS
    with pytest.raises(InvalidArgument, match="distinct words"):
        search_terms(" ".join(words))
    with pytest.raises(InvalidArgument, match="characters"):
        search_terms("a" * 20_001)


@pytest.mark.parametrize("text", ["a " * 10_000, "\u0301" * 20_000, "東" * 20_000, "ก\u0e34" * 10_000, "*" * 20_000])
def test_a_hostile_query_takes_milliseconds(text: str) -> None:
    search_terms(text)
    began = perf_counter()
    assert len(search_terms(text)) <= 2
    assert perf_counter() - began < 0.5


def test_a_long_word_is_cut_in_texts_and_queries_alike() -> None:
    word = "x" * 5000
    assert words_of(word) == ["x" * MAX_WORD] and search_terms(word) == ("x" * MAX_WORD,)
    zalgo = "ก" + "\u0e34" * 1000
    assert all(len(each) <= MAX_WORD for each in words_of(zalgo * 3))
    assert set(search_terms(zalgo * 2)) <= set(words_of(zalgo * 3))


def test_no_text_exceeds_the_bytes_that_a_node_may_have() -> None:
    texts = [" ".join(f"{n:06x}" for n in range(start, start + 60_000)) for start in range(0, 300_000, 60_000)]
    attributes = {f"k{number}": text for number, text in enumerate(texts)}
    words = node_words("n", attributes)
    assert MAX_NODE_BYTES - 100 < len(" ".join(words).encode()) <= MAX_NODE_BYTES
    assert words == node_words("n", dict(reversed(attributes.items())))


def test_no_word_holds_what_a_database_reads_as_syntax() -> None:
    words = words_of("".join(map(chr, [*range(0xD800), *range(0xE000, 0x30000)])))
    assert not set("".join(words)) & set(" \t\n'\"\\:*&|!()%_<>-\u3000\xa0")


def test_only_texts_and_keys_are_words() -> None:
    assert node_words("n", {"a": 1, "b": {"c": [True, None, "d", 2.5]}}) == ["n", "a", "b", "c", "d"]
    assert same_words({"a": 1, "b": "x"}, {"a": 2.5, "b": "x"})
    assert not same_words({"a": 1}, {"a": "x"}) and not same_words({"a": 1}, {"b": 1})
    assert not same_words({"a": ["x"]}, {"a": 1})
