"""Faults of the word index."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unicodedata import category, normalize

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.graph import SearchHit
from ciris_store_core.words import matches, node_words, rank, words_of
from tests.mutants.planting import add

SEARCH = "graph.search"
WORDS = f"{SEARCH}.words"


def _text(node: Any) -> str:
    return f"{node.id} {node.attributes}"


def _over(words: Callable[[Any], Any], asked: Callable[[str], str] = str) -> Any:
    """Replace the words of the nodes, and the words of the query."""

    def search(self: Any, sound: Any, query: Any) -> Any:
        terms = tuple(map(asked, query.words))
        found = [(node, set(words(node))) for node in self._nodes.rows.values()]
        hits = [SearchHit(node, rank(terms, max(1, len(those)))) for node, those in found if matches(terms, those)]
        return sorted(hits, key=lambda hit: (-hit.rank, hit.node.id))[: query.limit]

    return (SEARCH, search)


def _sound(node: Any) -> list[str]:
    return node_words(node.id, node.attributes)


def _without_marks(text: str) -> str:
    return "".join(char for char in normalize("NFD", text) if category(char)[0] != "M")


def _of_before(self: Any, sound: Any, query: Any) -> Any:
    """Keep every word that a node ever had."""
    known = vars(self.lab).setdefault("words", {})
    for key, node in [*self.before[0].items(), *self._nodes.rows.items()]:
        known.setdefault(key, set()).update(_sound(node))
    return [SearchHit(node, 1.0) for key, node in sorted(self._nodes.rows.items()) if matches(query.words, known[key])][: query.limit]


def _refused(self: Any, sound: Any, query: Any) -> Any:
    if len(query.words) >= 100:
        raise InvalidArgument("too many words")
    return sound(query)


add("words_are_ascii", f"{WORDS}.every_script {WORDS}.inside_a_run {WORDS}.signs", _over(lambda node: [word for word in _sound(node) if word.isascii()]))
add("words_are_split_at_marks", f"{WORDS}.every_script {WORDS}.inside_a_run {WORDS}.vowels", _over(lambda node: re.findall(r"[^\W_]+", normalize("NFD", _text(node).casefold()))))
add("runs_are_one_word", f"{WORDS}.inside_a_run", _over(lambda node: re.findall(r"\w+", _text(node).casefold())))
add("accents_are_kept", f"{WORDS}.folding", _over(lambda node: re.findall(r"\w+", _text(node).casefold())))
add("vowels_are_dropped", f"{WORDS}.vowels", _over(lambda node: [word for word in map(_without_marks, _sound(node)) if word], _without_marks))
add("signs_are_no_words", f"{WORDS}.signs", _over(lambda node: [word for word in _sound(node) if category(word[0])[0] != "S"]))
add("a_prefix_is_a_whole_word", f"{WORDS}.prefix", _over(_sound, lambda term: term.rstrip("*")))
add("a_prefix_is_found_inside_words", f"{WORDS}.prefix", _over(lambda node: [word[start:] for word in _sound(node) for start in range(len(word))]))
add("a_long_text_is_cut", f"{WORDS}.long_texts", _over(lambda node: words_of(_text(node)[:500_000])))
add("long_words_are_left_out", f"{WORDS}.long_texts", _over(lambda node: [word for word in _sound(node) if len(word) < 64]))
add("a_node_has_any_number_of_words", f"{WORDS}.most", _over(lambda node: words_of(_text(node))))
add("words_that_went_are_still_found", f"{WORDS}.changes", (SEARCH, _of_before))
add("the_newest_of_many_are_missed", f"{WORDS}.many_writes", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) if len(self._nodes.rows) < 50 or hit.node.key != list(self._nodes.rows)[-1]]))
add("nodes_that_wait_are_found_twice", f"{WORDS}.many_writes {WORDS}.prefix", (SEARCH, lambda self, sound, query: [hit for hit in sound(query) for _ in "12"][: query.limit]))
add("many_words_are_refused", f"{WORDS}.repeats {WORDS}.most_asked", (SEARCH, _refused))
add("the_last_words_asked_for_do_not_count", f"{WORDS}.most_asked", (SEARCH, lambda self, sound, query: [*sound(query), *_over(_sound)[1](self, sound, type(query)(query.words[:99]))][: query.limit] if len(query.words) > 99 else sound(query)))
add("the_longest_text_is_first", f"{SEARCH}.rank.order", (SEARCH, lambda self, sound, query: sorted(sound(query), key=lambda hit: (hit.rank, hit.node.id))))
add("ranks_are_of_the_database", f"{SEARCH}.rank.order", (SEARCH, lambda self, sound, query: [SearchHit(hit.node, 1.0) for hit in sound(query)]))
