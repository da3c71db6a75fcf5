"""Sentences in every script that Python's Unicode data can name."""

from __future__ import annotations

from functools import cache
from unicodedata import category, name

LAST = 0x1FFFF
"""Last code point used. Further planes hold only Han."""
_LETTERS = 24
_LETTERS_IN_WORD = 4


@cache
def sentences() -> dict[str, str]:
    """Return a text of a few words for each script; marks of the script follow every second letter.

    A script is identified by the first word of its letters' names. Its letters are chosen evenly from all of it.
    """
    letters: dict[str, list[str]] = {}
    marks: dict[str, list[str]] = {}
    for char in map(chr, range(LAST)):
        kind = category(char)[0]
        if kind in "LM":
            (letters if kind == "L" else marks).setdefault(_script(char), []).append(char)
    return {script: _sentence(found, marks.get(script, [])) for script, found in letters.items()}


def _script(char: str) -> str:
    words = name(char, "").replace("-", " ").split()
    return " ".join(words[:2] if words[:1] in (["OLD"], ["TAI"], ["NEW"]) else words[:1])


def _sentence(letters: list[str], marks: list[str]) -> str:
    chosen = letters[:: max(1, len(letters) // _LETTERS)][:_LETTERS]
    marked = [
        letter + (marks[number % len(marks)] if marks and number % 2 else "") for number, letter in enumerate(chosen)
    ]
    starts = range(0, len(marked), _LETTERS_IN_WORD)
    return " ".join("".join(marked[start : start + _LETTERS_IN_WORD]) for start in starts)
