"""Words of texts: one tokenizer for every backend, applied to stored nodes and to queries.

The rules:

- Case and compatibility forms are folded (NFKD and full case folding), and so are decimal digits of every script.
- Accents of Latin, Greek and Cyrillic and the optional vowel points of Hebrew and Arabic are dropped. All other marks
  stay with their base, since in Indic and South-East Asian scripts they are vowels.
- Punctuation and spaces separate words. Each emoji, currency sign and other symbol beyond ASCII is a word; of ASCII's
  symbols only ``$`` is. Variation selectors, joiners and soft hyphens are ignored.
- A run of a script that is written without spaces (Han, Kana, Hangul, Thai, Lao, Khmer, Burmese and others) becomes
  overlapping pairs of characters, so that it is found by any part of it.
- A word is cut at 64 characters.

Characters that the running Python's Unicode data does not know yet count as letters, in emoji blocks as symbols. So
Python versions agree on all but the case of letters that are newer than the older of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from operator import add
from typing import Any, Final
from unicodedata import category, decimal, normalize

from ciris_store_core.errors import InvalidArgument

MAX_WORD: Final = 64
"""Characters of a word; the rest is cut off, in texts and in queries."""

MAX_NODE_BYTES: Final = 1_000_000
"""UTF-8 bytes of a node's distinct words, one more counted for each; further words are not indexed."""

MAX_TERMS: Final = 128
"""Distinct words of a query."""

MAX_QUERY: Final = 20_000
"""Characters of a query."""

SEARCHED_WHOLE: Final = 80_000
"""Bytes of text whose words never exceed ``MAX_NODE_BYTES``: folding makes a text at most twelve times as long."""


def _class(ranges: str) -> str:
    return "".join(f"\\U{int(first, 16):08x}-\\U{int(last, 16):08x}" for first, last in _pairs(ranges))


def _pairs(ranges: str) -> list[tuple[str, str]]:
    return [(first, last or first) for first, _, last in (part.partition("-") for part in ranges.split())]


_DROPPED = re.compile(
    "["
    + _class(
        "300-36f 483-487 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 610-61a 640 64b-65f 670 6d6-6dc 6df-6e4 6e7-6e8 6ea-6ed "
        "8d3-8ff 1ab0-1aff 1dc0-1dff 20d0-20ff fe20-fe2f "  # accents, vowel points and the Arabic stretcher
        "ad 61c 180b-180f 200c-200f 202a-202e 2060-206f fe00-fe0f feff e0000-e0fff"  # ignorable in any script
    )
    + "]"
)
_EMOJI = re.compile("[" + _class("2600-27bf 1f000-1fbff") + "]")
_UNSPACED = _class(
    "e01-e3a e40-e4e e80-edf "  # Thai, Lao
    "1000-109f a9e0-a9fe aa60-aa7f 116d0-116ff 1780-17df "  # Burmese, Khmer
    "1950-19df 1a00-1aaf 1b00-1b7f 1bc0-1bff a930-a95f a980-a9df aa00-aa5f aa80-aadf 11700-1174f 11ee0-11f5f "
    "2e80-2fdf 3005-3007 3021-3029 3031-30fa 30fc-312f 3131-318e 31a0-31bf 31f0-31ff 3400-4dbf 4e00-9fff f900-faff "
    "1100-11ff a960-a97f ac00-d7ff a000-a4cf 16fe0-18dff 1aff0-1b2ff 20000-3ffff "  # with Hangul, Yi, Tangut
    "10000-100ff 12000-1467f"  # Linear B, cuneiform, hieroglyphs
)
_IN_UNSPACED = re.compile(f"[{_UNSPACED}]")
_PIECES = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_STARRED = re.compile(r"([^*]+)(\*?)")
_FRACTION_SLASH = "\u2044"
_REMEMBERED = 50_000


class _Fold(dict[int, str]):
    """Table for ``str.translate``, which folds each character when it first occurs."""

    def __missing__(self, code: int) -> str:
        folded = self._folded(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = folded
        return folded

    def _folded(self, char: str) -> str:
        if _DROPPED.match(char):
            return ""
        kind = category(char)
        parts = normalize("NFKD", normalize("NFKD", char).casefold())
        alone = kind in ("So", "Sc", "Sm") or _FRACTION_SLASH in parts or _EMOJI.match(char) is not None
        folded = parts.translate(self) if parts != char else self._simple(char, kind, alone)
        return f" {folded} " if alone else folded

    def _simple(self, char: str, kind: str, alone: bool) -> str:
        if kind == "Nd":
            return str(decimal(char))
        if kind[0] in "LNM" or kind in ("Cn", "Co"):
            return char
        return char if alone and char != _FRACTION_SLASH and (char > "\x7f" or char == "$") else " "


_TEXT: Final = _Fold()
_QUERY: Final = _Fold({ord("*"): "*"})


# --- texts ------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order, with repeats."""
    folded = text.translate(_TEXT)
    if folded.isascii():
        return _cut(folded.split())
    folded = normalize("NFC", folded)
    if _IN_UNSPACED.search(folded) is None:
        return _cut(folded.split())
    return _cut([word for piece in _PIECES.findall(folded) for word in _piece_words(piece)])


def _cut(words: list[str]) -> list[str]:
    if words and max(map(len, words)) > MAX_WORD:
        return [word[:MAX_WORD] for word in words]
    return words


def _piece_words(piece: str) -> Iterable[str]:
    if _IN_UNSPACED.match(piece) is None:
        return piece.split()
    units = _units(piece)
    # The last one is a word by itself, so that a single character is found as the beginning of some word.
    return [*map(add, units, units[1:]), units[-1]]


def _units(run: str) -> Sequence[str]:
    """Characters with the marks that belong to them."""
    if run.isalpha():
        return run
    units: list[str] = []
    for char in run:
        if units and category(char)[0] == "M":
            units[-1] += char
        else:
            units.append(char)
    return units


def node_words(node_id: str, attributes: Mapping[str, Any]) -> list[str]:
    """Return the distinct words of a node: of its id, and of the keys and texts of its attributes at every level."""
    text = " ".join([node_id, *_texts(attributes, [])])
    words = dict.fromkeys(words_of(text))
    if len(text) * 4 <= SEARCHED_WHOLE or _bytes(words) <= MAX_NODE_BYTES:
        return list(words)
    # Backends keep keys in different orders, and all must leave out the same words.
    in_order = " ".join([node_id, *_texts(_sorted(attributes), [])])
    return list(_first(dict.fromkeys(words_of(in_order))))


def _texts(value: Any, found: list[str]) -> list[str]:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            found.append(key)
            _texts(item, found)
    elif isinstance(value, list):
        for item in value:
            _texts(item, found)
    return found


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _bytes(words: Iterable[str]) -> int:
    return len(" ".join(words).encode()) + 1


def _first(words: Iterable[str]) -> Iterator[str]:
    room = MAX_NODE_BYTES
    for word in words:
        room -= len(word.encode()) + 1
        if room < 0:
            return
        yield word


def same_words(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two sets of attributes surely have the same words: only numbers, booleans or nulls differ."""
    return old.keys() == new.keys() and all(
        old[key] is value or not (_has_words(old[key]) or _has_words(value)) or old[key] == value
        for key, value in new.items()
    )


def _has_words(value: Any) -> bool:
    return isinstance(value, str | Mapping | list)


# --- queries ----------------------------------------------------------------------------------


def search_terms(text: str) -> tuple[str, ...]:
    """Return the distinct words that a query asks for; one that ends with ``*`` stands for all that begin with it.

    Raises:
        InvalidArgument: The text is longer than 20,000 characters, or has more than 128 distinct words.
    """
    if len(text) > MAX_QUERY:
        raise InvalidArgument(
            f"text: it has {len(text)} characters, and {MAX_QUERY} is the most. Search for fewer words."
        )
    terms: dict[str, None] = {}
    for term in _terms(normalize("NFC", text.translate(_QUERY))):
        terms[term] = None
        if len(terms) > MAX_TERMS:
            raise InvalidArgument(f"text: it has more than {MAX_TERMS} distinct words. Search for fewer words.")
    return tuple(terms)


def _terms(folded: str) -> Iterator[str]:
    for chunk in folded.split():
        for part, star in _STARRED.findall(chunk):
            pieces = _PIECES.findall(part)
            for piece in pieces[:-1]:
                yield from _piece_terms(piece, "")
            yield from _piece_terms(pieces[-1], star)


def _piece_terms(piece: str, star: str) -> Iterable[str]:
    if _IN_UNSPACED.match(piece) is None:
        return [piece[:MAX_WORD] + star]
    units = _units(piece)
    return [f"{units[0][:MAX_WORD]}*"] if len(units) == 1 else [pair[:MAX_WORD] for pair in map(add, units, units[1:])]


def matches(terms: Iterable[str], words: Set[str]) -> bool:
    """Return whether words fulfil all terms."""
    return all(
        any(word.startswith(term[:-1]) for word in words) if term.endswith("*") else term in words for term in terms
    )


def rank(terms: tuple[str, ...], distinct_words: int) -> float:
    """Return the rank of a hit: the share of the words asked for among the distinct words of the node."""
    return min(1.0, len(terms) / distinct_words)
