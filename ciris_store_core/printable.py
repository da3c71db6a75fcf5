"""Text of users and of stored records, made safe for terminals, logs and error messages."""

from __future__ import annotations

import re

# Control characters (C0 but the tab, DEL, C1), line and paragraph separators, marks that turn the direction of text
# round, and halves of surrogate pairs, which no stream encodes.
_UNSAFE = "\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ANYWHERE, _WITHIN_A_LINE = re.compile(f"[{_UNSAFE}]"), re.compile(f"[\n{_UNSAFE}]")


def printable(text: str) -> str:
    """Return the text in one line, with what could move the cursor, forge a line or turn text round escaped."""
    return _WITHIN_A_LINE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return the same of a text whose line feeds are the program's own."""
    return _ANYWHERE.sub(_escaped, text)


def printable_json(text: str) -> str:
    """Return JSON that means the same, with such characters escaped as JSON does; they stand in its texts only."""
    return _ANYWHERE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
