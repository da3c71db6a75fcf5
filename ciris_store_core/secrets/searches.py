"""Searches for each kind of secret, for texts that looked suspicious.

No search takes more than linear time: quantifiers are bounded or possessive, and where one expression cannot be both
right and linear (private keys, names before a ``=``), plain Python code does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ciris_store_core.secrets.names import NAMED
from ciris_store_core.secrets.patterns import (
    BEARER_TOKEN,
    BUILT_IN,
    CARD_NUMBER,
    JWT,
    PRIVATE_KEY,
    SSN,
    TOKENS,
    URL_CREDENTIALS,
)
from ciris_store_core.secrets.said import told
from ciris_store_core.secrets.settings import settings
from ciris_store_core.secrets.spans import Match, Matches, lowered
from ciris_store_core.secrets.statements import calls, commands, elements, foreign, sql
from ciris_store_core.secrets.values import is_card_number, is_placeholder, looks_random

_OF_RUNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

# --- what looks like a secret wherever it stands ------------------------------------------------

# Where a long run begins; trying some fifty expressions at every character instead would take too long.
_BEGINNING = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9](?=[A-Za-z0-9_.:~+/=-]{16})", re.ASCII)
_VENDORS = re.compile("|".join(f"(?P<{name}>{regex})" for name, regex in TOKENS.items()), re.ASCII)


def _vendors(text: str) -> Matches:
    for beginning in _BEGINNING.finditer(text):
        match = _VENDORS.match(text, beginning.start())
        # An identifier may begin like a token, and an example is often a row of the same letter.
        if match and len(set(match[0])) > 7 and (match.lastgroup != "openai_key" or looks_random(match[0])):
            yield Match(*match.span(), BUILT_IN[match.lastgroup or ""])


_JWT = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}+\.(?:eyJ[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]*+|"
    r"[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++)",
    re.ASCII,
)


def _jwts(text: str) -> Matches:
    at = text.find("eyJ")
    while at >= 0:
        # In the middle of a run it would be looked for again and again.
        match = _JWT.match(text, at) if at == 0 or text[at - 1] not in _OF_RUNS else None
        if match:
            yield Match(*match.span(), JWT)
        at = text.find("eyJ", match.end() if match else at + 3)


_BEARER = re.compile(
    r"\b(?:bearer|authorization[\"'\\]{0,3}[ \t]{0,2}[:=,][ \t]{0,2}[\"'\\]{0,3}(?:basic|token|apikey|negotiate))"
    r"[ \t]{1,3}+"
    r"([A-Za-z0-9._~+/-]{12,4096}+={0,2})",
    re.ASCII | re.IGNORECASE,
)


def _bearers(text: str) -> Matches:
    low = lowered(text)
    if "bearer" not in low and "authorization" not in low:
        return
    for match in _BEARER.finditer(text):
        if any(map(str.isdigit, match[1])) or looks_random(match[1]):
            yield Match(*match.span(1), BEARER_TOKEN)


_URL = re.compile(r"://([^\s\"'<>`]{3,2048}+)", re.ASCII)
_PASSWORD_BEGINS = re.compile(r"[^:\[]*+:(?!\d{0,5}\Z)", re.ASCII)
_PATH = re.compile(r"[/?#]")


def _urls(text: str) -> Matches:
    """Yield the password of a URL, which reaches up to the last ``@`` before the host."""
    for match in _URL.finditer(text):
        rest, start = match[1], match.start(1)
        before_path = _PATH.split(rest, maxsplit=1)[0]
        # A raw "/" in a password hides the "@" behind it; but a port is no password.
        raw = "@" not in before_path and _PASSWORD_BEGINS.match(before_path)
        login, at, _ = (rest if raw else before_path).rpartition("@")
        user, colon, password = login.partition(":")
        if at and colon and password and not is_placeholder(password):
            yield Match(start + len(user) + 1, start + len(login), URL_CREDENTIALS)


_BEGIN = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d: ", re.ASCII
)
_END = re.compile(
    r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|Private-MAC: [0-9a-f]{1,128}", re.ASCII
)


def _private_keys(text: str) -> Matches:
    """Yield whole keys; one whose end is missing reaches to the end of the text."""
    if "-----BEGIN" not in text and "PuTTY" not in text:
        return
    at = 0
    while begin := _BEGIN.search(text, at):
        end = _END.search(text, begin.end())
        at = end.end() if end else len(text)
        yield Match(begin.start(), at, PRIVATE_KEY)


# --- numbers --------------------------------------------------------------------------------------

_DIGIT_GROUPS = re.compile(r"\d(?:[ .-]?\d){12,18}+(?![ .-]?\d|[A-Za-z_])", re.ASCII)
_SSN_PLAIN = re.compile(r"\d{3}-\d\d-\d{4}(?![0-9A-Za-z_-]|\.\d)", re.ASCII)
_SSN_NAMED = re.compile(
    r"(?:\bssn\b|social security(?: number| no\.?)?)[^0-9\n]{0,20}(\d{3}[- ]?\d\d[- ]?\d{4})(?![0-9])",
    re.ASCII | re.IGNORECASE,
)
_INSIDE = _OF_RUNS | frozenset("./+")


def _stands_alone(match: re.Match[str]) -> bool:
    """Return whether a match is not the end of a longer run."""
    return match.start() == 0 or match.string[match.start() - 1] not in _INSIDE


def _cards(text: str) -> Matches:
    found = (match for match in _DIGIT_GROUPS.finditer(text) if _stands_alone(match) and is_card_number(match[0]))
    return (Match(*match.span(), CARD_NUMBER) for match in found)


def _ssns(text: str) -> Matches:
    for match in _SSN_PLAIN.finditer(text) if "-" in text else ():
        if _stands_alone(match) and _is_issued(match[0]):
            yield Match(*match.span(), SSN)
    low = lowered(text)
    if "ssn" in low or "social s" in low:
        for match in _SSN_NAMED.finditer(text):
            if _is_issued(match[1]):
                yield Match(*match.span(1), SSN)


def _is_issued(number: str) -> bool:
    area, group, serial = number[:3], number[-6:-4].strip("- ") or number[-7:-5], number[-4:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


SEARCHES: tuple[tuple[tuple[str, ...], Callable[[str], Matches]], ...] = (
    (("private_key",), _private_keys),
    (("url_credentials",), _urls),
    (("jwt",), _jwts),
    (("bearer_token",), _bearers),
    (tuple(TOKENS), _vendors),
    (("card_number",), _cards),
    (("us_ssn",), _ssns),
    (("password", "recovery_phrase"), told),
    (("password",), foreign),
    (("password",), commands),
    (("password",), sql),
    (tuple(NAMED), calls),
    (tuple(NAMED), elements),
    (tuple(NAMED), settings),
)
"""By the kinds that it finds, each search."""

BY_NAME = frozenset({_bearers, told, foreign, commands, sql, calls, elements, settings})
"""The searches that go by what stands before a secret."""
