"""Tests of values and of runs of characters: placeholders, random texts, card numbers, secrets."""

from __future__ import annotations

import re
from itertools import pairwise

from ciris_store_core.secrets.patterns import CARD_NUMBER, PASSWORD, PIN, TOKEN, SecretPattern

_WORDS = """
    none null nil undefined true false yes no on off empty unset unknown na tbd todo redacted masked hidden removed
    required optional missing invalid valid incorrect correct wrong expired changed string str text bytes int integer
    number bool boolean object any type password passwd secret token apikey api_key example placeholder env
    environment prompt prompted interactive disabled enabled default basic bearer digest
"""
_PLACEHOLDERS = frozenset(_WORDS.split())
_VARIABLE = re.compile(
    r"\$\{.*|\$\(.*\)?|\$[A-Za-z_]\w*|\{\{.*|\{[A-Za-z_][\w.]*\}|%\w+%|%\(?\w*\)?s|(?:<|&lt;|&#x3C;).*|\[[^\[\]]*\]|"
    r"(?:os\.|process\.env|env[:.]|getenv|vault:|ssm:|arn:|secretref:|self\.|config\.|settings\.|args\.|options\.|request\.)"
    r".*|[A-Za-z_][\w.]*\(.*|\*+|[.x-]+|[xX]{3,}|your[_ -].*|"
    r"(?:optional|union|list|dict|tuple|option|vec|array|map)[\[<].*|[:?][a-z_]{0,20}|"
    r"my[_ -](?:password|secret|token|key)|\W{0,3}",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_BRANDS = re.compile(
    r"4\d{12}|4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}|"
    r"(?:50[0-9]|5[6-9]\d|6\d\d)\d{9,16}",
    re.ASCII,
)
_SCHEME = re.compile(r"(?:basic|token|apikey|negotiate) {1,3}[^\s,]{8,4096}", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.-]{1,60}(?:[/\\][\w.-]{0,60})+", re.ASCII)
_DIGITS = str.maketrans("", "", " -.")


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder: empty, a word such as ``required``, stars, a variable's name."""
    text = value.strip()
    return text.lower() in _PLACEHOLDERS or _VARIABLE.fullmatch(text) is not None


def looks_random(run: str) -> bool:
    """Return whether a run is hardly a word or an identifier: digits among letters, or frequent changes of case."""
    return any(_is_random(piece) for piece in re.split(r"[^A-Za-z0-9]", run) if len(piece) >= 14)


def _is_random(piece: str) -> bool:
    changes = sum(a.isdigit() != b.isdigit() or (a.islower() and b.isupper()) for a, b in pairwise(piece))
    return changes >= 3


def is_card_number(text: str) -> bool:
    """Return whether a text is a payment card's number: length and prefix of a brand, one grouping, Luhn checksum."""
    digits = text.translate(_DIGITS)
    if not _BRANDS.fullmatch(digits) or len(set(digits)) < 2:
        return False
    grouped = re.fullmatch(r"\d{4}([ .-])\d{3,7}(?:\1\d{3,7}){1,3}", text, re.ASCII)
    if grouped is None and len(digits) != len(text):
        return False
    return _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 if each > 9 else each for each in doubled)) % 10 == 0


def is_secret_value(value: str, pattern: SecretPattern, *, told: bool = False) -> bool:
    """Return whether the value of a key with a secret's name is one, and no placeholder, count or switch.

    ``told``: it stood in a text without quotes, where more is needed to believe it.
    """
    if is_placeholder(value):
        return False
    if pattern is PIN:
        return value.isdecimal() and 3 <= len(value) <= 12
    if pattern is CARD_NUMBER:
        return sum(map(str.isdigit, value)) >= 12
    if told and _PATH.fullmatch(value):
        return False
    if pattern is TOKEN and _SCHEME.fullmatch(value):
        return True
    if pattern is TOKEN or told:
        enough = len(value) >= 4 if pattern is PASSWORD else len(value) >= 8 and looks_like_a_token(value)
        return enough and " " not in value.strip()
    return True


def looks_like_a_token(value: str) -> bool:
    """Return whether it is more than a word: it has a digit, or mixes cases, or is long."""
    return any(map(str.isdigit, value)) or len(value) >= 24 or looks_random(value)


_METHOD = re.compile(r"(?:sha|md|base|utf|aes|rsa|oauth|argon|pbkdf|v)-?\d[\w.-]{0,20}", re.ASCII | re.IGNORECASE)
_ODD = re.compile(r"\w[^\w\s.,:;/'-]\w")


def is_mixed(value: str) -> bool:
    """Return whether it is no word of a language: letters with digits, or with marks that no word has inside."""
    if value.isalpha() or _METHOD.fullmatch(value):  # Most values are words, and no expression has to look at those.
        return False
    return (any(map(str.isdigit, value)) and any(map(str.isalpha, value))) or _ODD.search(value) is not None


def may_be_nested(value: str) -> bool:
    """Return whether a value may be a secret that only an outer key names: ``{"api_key": {"prod": {"eu": ...}}}``."""
    return (
        len(value) >= 5
        and " " not in value
        and not is_placeholder(value)
        and not _PLAIN.fullmatch(value)
        and (is_mixed(value) or len(value) >= 24)
    )


_PLAIN = re.compile(
    r"\d{4}-\d\d-\d\d.*|[a-z][a-z0-9+.-]{1,20}://.*|[a-z]+(?:[:._/-][a-z]+)*|(?:hs|rs|es)\d{3}|v?\d+(?:\.\d+)*|"
    r"[^@\s]{1,64}@[\w-]{1,60}(?:\.[\w-]{1,60})+",
    re.ASCII | re.IGNORECASE,
)
