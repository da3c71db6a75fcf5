"""Tokens of a raw SQL statement, for ``translate``: one regular expression, since the text mixes two dialects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ciris_store_core.errors import InvalidArgument

# Both databases take every character beyond ASCII as a letter, spaces included.
_WORD = r"[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_$\x80-\U0010ffff]*+"
_TAG = r"\$(?:[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_\x80-\U0010ffff]*+)?\$"
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\n\f\r]+)
  | (?P<comment>--[^\n]*+ | /\*(?s:.)*?\*/)
  | (?P<refused>[xXbBnN]' | [uU]&['"] | /\* | `)
  | (?P<string>'(?:[^']|'')*+' | [eE]'(?:[^'\\]|''|\\(?s:.))*+' | (?P<tag>{_TAG})(?s:.)*?(?P=tag))
  | (?P<name>"(?:[^"]|"")*+")
  | (?P<number>0[xX][0-9a-fA-F]+ | (?:\d++\.?+\d*+|\.\d++)(?:[eE][+-]?\d+)?)
  | (?P<param>:{_WORD}(?!\())
  | (?P<mark>\?)
  | (?P<op>::|\[\]|->>|->|\#>>|\#>|\#-|@>|<@|@@|@\?|\|\||<=|>=|<>|!=|==|<<|>>|!~~?\*?|~~?\*?|[-+*/%<>=&|~(),.;\[\]])
  | (?P<word>(?![eE]'){_WORD})
    """,
    re.VERBOSE | re.ASCII,
)

# After these an operand may begin; after any other word, an operator.
_BEFORE_OPERAND = """
ALL AND ANY ARRAY BETWEEN BY CASE DISTINCT ELSE ESCAPE EXCEPT FROM GLOB HAVING ILIKE IN INTERSECT INTERVAL INTO IS JOIN
LIKE LIMIT MATCH NOT OFFSET ON OR REGEXP RETURNING ROWS SELECT SET SOME THEN TO UNION USING VALUES WHEN WHERE WITH
""".split()  # noqa: SIM905
# Keywords that end an expression, so that none of them can be the right side of an operator.
AFTER_OPERAND = """
AND AS ASC BETWEEN COLLATE DESC DO ELSE END ESCAPE EXCEPT FROM GROUP HAVING ILIKE IN INTERSECT IS JOIN LIKE LIMIT
OFFSET ON OR ORDER RETURNING THEN UNION WHEN WHERE
""".split()  # noqa: SIM905


@dataclass(slots=True)
class Token:
    """One piece of a statement, and its translation."""

    kind: str
    text: str
    depth: int
    """The number of parentheses that are open around it."""
    out: str
    """The text that replaces it."""
    after: str = ""
    """The text to insert after it."""

    @property
    def key(self) -> str:
        """A word in upper case, an operator as it is; empty for all else, so that literals match nothing."""
        return self.text.upper() if self.kind == "word" else self.text if self.kind == "op" else ""

    @property
    def identifier(self) -> str:
        """The name that a word or quoted name stands for; empty for all else."""
        if self.text.startswith('"'):
            return self.text[1:-1].replace('""', '"').lower()
        return self.text.lower() if self.kind in ("word", "name") else ""


def tokenize(sql: str) -> Iterator[Token]:
    """Yield the tokens of a statement, whose texts join to the statement. Raise for a text that no rule matches."""
    if re.search("[\0\ud800-\udfff]", sql):
        raise refused("it holds a NUL or half of a character", "Remove it.")
    position = depth = 0
    last: Token | None = None
    while position < len(sql):
        token = _next_token(sql, position, last, depth)
        depth += (token.key == "(") - (token.key == ")")
        position += len(token.text)
        if token.kind not in ("space", "comment"):
            last = token
        yield token


def _next_token(sql: str, position: int, last: Token | None, depth: int) -> Token:
    match = _TOKEN.match(sql, position)
    kind = str(match.lastgroup) if match else "refused"
    text = match[0] if match else sql[position]
    if kind == "refused":
        raise _unrecognized(text)
    if kind == "comment":
        _check_comment(text)
    if kind == "mark":
        return _question_mark(sql, position, last, depth)
    if kind == "word" and last is not None and last.key == ".":
        kind = "name"  # no keyword, whatever it is called
    text_depth = depth - 1 if text == ")" else depth
    return Token(kind, text, text_depth, text)


def _question_mark(sql: str, position: int, last: Token | None, depth: int) -> Token:
    is_operator = last is not None and ends_operand(last)
    kind, pattern = ("op", r"\?[|&]?") if is_operator else ("param", r"\?\d{0,9}")
    match = re.compile(pattern, re.ASCII).match(sql, position)
    text = match[0] if match else "?"
    # The number is left out, as it only repeats the position: sqlite3 takes a numbered placeholder for a named one.
    return Token(kind, text, depth, "?" if kind == "param" else text)


def ends_operand(token: Token) -> bool:
    """Return True if an operand may end with the token, so that an operator may follow."""
    if token.kind == "op":
        return token.text in (")", "]", "[]")
    return token.kind != "word" or token.key not in _BEFORE_OPERAND


_ADVICE = {
    "'": "Close the string literal.",
    '"': "Close the quoted name.",
    "/*": "Close the comment.",
    "`": "Quote names with double quotes.",
    **dict.fromkeys("$@#:", "Write placeholders as ? or :name."),
}


def _unrecognized(text: str) -> InvalidArgument:
    if len(text) > 1 and text != "/*":
        return refused(f"the literal {text}...", "Bind the value, or write a plain literal.")
    return refused(f"the character {text!r} has no meaning there", _ADVICE.get(text, "Remove it."))


def _check_comment(text: str) -> None:
    # PostgreSQL nests comments and ends a line at a lone carriage return; SQLite does neither.
    if text.startswith("/*") and "/*" in text[2:]:
        raise refused("a comment inside a comment", "Remove the inner one.")
    if text.startswith("--") and "\r" in text[:-1]:
        raise refused("a carriage return inside a comment", "End lines with \\n.")


def refused(construct: str, advice: str) -> InvalidArgument:
    """Return the error for a construct that cannot be translated safely; ``advice`` is a sentence."""
    return InvalidArgument(f"the statement cannot be translated: {construct}. {advice}")
