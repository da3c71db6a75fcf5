"""Places of secrets in a text, and texts with references in them: a secret around a reference is found all the same."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from ciris_store_core.secrets.patterns import SecretPattern
from ciris_store_core.secrets.references import REFERENCE


class Match(NamedTuple):
    """A secret in a text: ``text[start:end]``."""

    start: int
    end: int
    pattern: SecretPattern


Matches = Iterator[Match]
_FILLER = "\ue000"  # A private character: part of a value for every search, and part of no token.

Span = tuple[int, int]

_ASCII_LOWER = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def lowered(text: str) -> str:
    """Return the text in lower case, of the same length, so that places are the same."""
    low = text.lower()
    return low if len(low) == len(text) else text.translate(_ASCII_LOWER)


def is_whole_word(text: str, start: int, end: int) -> bool:
    """Return whether no letter, digit or ``_`` adjoins ``text[start:end]``."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or before == "_" or after.isalnum() or after == "_")


def reference_spans(text: str) -> list[Span]:
    """Return the spans of the references, in order."""
    return [match.span() for match in REFERENCE.finditer(text)] if "{SECRET:" in text else []


def fill(text: str, spans: list[Span]) -> str:
    """Return the text with each reference as one word of the same length."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], _FILLER * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def outside(found: list[Match], spans: list[Span], text: str) -> list[Match]:
    """Return the parts of the matches that no reference covers. Both lists are sorted: one pass over each."""
    if not spans:
        return found
    kept: list[Match] = []
    first = 0
    for match in found:
        while first < len(spans) and spans[first][1] <= match.start:
            first += 1
        at, i = match.start, first
        while i < len(spans) and spans[i][0] < match.end:
            kept.append(match._replace(start=at, end=max(at, spans[i][0])))
            at = spans[i][1]
            i += 1
        kept.append(match._replace(start=at))
    return [match for match in kept if text[match.start : match.end].strip()]


class Collapsed:
    """A text without its references, and the way back to places in the original."""

    def __init__(self, text: str, spans: list[Span]) -> None:
        """``spans``: of the references, in order."""
        bounds = [0, *(edge for span in spans for edge in span), len(text)]
        pieces = [text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
        self.text = "".join(pieces)
        self._cuts = list(accumulate(map(len, pieces[:-1])))
        """Where references were, in the collapsed text."""
        self._shifts = [0, *accumulate(end - start for start, end in spans)]

    def original(self, start: int, end: int) -> Span:
        """Return the place of a match in the original."""
        before, inside = bisect_right(self._cuts, start), bisect_left(self._cuts, end)
        return start + self._shifts[before], end + self._shifts[inside]

    def is_beside(self, start: int) -> bool:
        """Return whether a match that begins at ``start`` follows a reference, but for spaces and quotes.

        ``password={SECRET:...} user=bob`` says nothing of ``user=bob``: the reference is the value.
        """
        before = bisect_right(self._cuts, start)
        gap = self.text[self._cuts[before - 1] : start] if before else "x"
        return gap != "" and not gap.strip(" \t\"'`\\")
