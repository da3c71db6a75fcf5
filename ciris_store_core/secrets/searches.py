"""How each kind of secret is found in a text that looked suspicious.

No search takes more than linear time: quantifiers are bounded or possessive, and where one expression cannot be both
right and linear (private keys, names before a ``=``), plain Python code does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .names import NAMED, pattern_of
from .patterns import (
    BEARER_TOKEN,
    BUILT_IN,
    CARD_NUMBER,
    JWT,
    PASSWORD,
    PRIVATE_KEY,
    SSN,
    TOKENS,
    URL_CREDENTIALS,
    SecretPattern,
)
from .spans import Match
from .values import is_card_number, is_placeholder, is_secret_value, looks_random

Matches = Iterator[Match]

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
    r"\b(?:bearer|(?<=authorization: )(?:basic|token)|(?<=authorization=)basic)[ \t]{1,3}+"
    r"([A-Za-z0-9._~+/-]{12,4096}+={0,2})",
    re.ASCII | re.IGNORECASE,
)


def _bearers(text: str) -> Matches:
    for match in _BEARER.finditer(text):
        if any(map(str.isdigit, match[1])) or looks_random(match[1]):
            yield Match(*match.span(1), BEARER_TOKEN)


_URL = re.compile(r"://([^\s\"'<>`]{3,2048}+)", re.ASCII)
_PASSWORD_BEGINS = re.compile(r"[^:\[]*+:(?!\d{0,5}\Z)", re.ASCII)
_PATH = re.compile(r"[/?#]")


def _urls(text: str) -> Matches:
    """The password of a URL, which reaches up to the last ``@`` before the host."""
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
    """Whole keys; one whose end is missing reaches to the end of the text."""
    at = 0
    while begin := _BEGIN.search(text, at):
        end = _END.search(text, begin.end())
        at = end.end() if end else len(text)
        yield Match(begin.start(), at, PRIVATE_KEY)


# --- numbers --------------------------------------------------------------------------------------

_DIGIT_GROUPS = re.compile(r"\d(?:[ -]?\d){12,18}+(?![ -]?\d|[A-Za-z_]|\.\d)", re.ASCII)
_SSN_PLAIN = re.compile(r"\d{3}-\d\d-\d{4}(?![0-9A-Za-z_-]|\.\d)", re.ASCII)
_SSN_NAMED = re.compile(
    r"(?:\bssn\b|social security(?: number| no\.?)?)[^0-9\n]{0,20}(\d{3}[- ]?\d\d[- ]?\d{4})(?![0-9])",
    re.ASCII | re.IGNORECASE,
)
_INSIDE = _OF_RUNS | frozenset("./+")


def _stands_alone(match: re.Match[str]) -> bool:
    """Whether it is not the end of something longer."""
    return match.start() == 0 or match.string[match.start() - 1] not in _INSIDE


def _cards(text: str) -> Matches:
    found = (match for match in _DIGIT_GROUPS.finditer(text) if _stands_alone(match) and is_card_number(match[0]))
    return (Match(*match.span(), CARD_NUMBER) for match in found)


def _ssns(text: str) -> Matches:
    for match in _SSN_PLAIN.finditer(text):
        if _stands_alone(match) and _is_issued(match[0]):
            yield Match(*match.span(), SSN)
    for match in _SSN_NAMED.finditer(text):
        if _is_issued(match[1]):
            yield Match(*match.span(1), SSN)


def _is_issued(number: str) -> bool:
    area, group, serial = number[:3], number[-6:-4].strip("- ") or number[-7:-5], number[-4:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


# --- what a name says to be a secret ----------------------------------------------------------------

_SEPARATOR = re.compile(r":=|=>|->|[:=]")
_VALUE = re.compile(r"[ \t]{0,4}+(?:\\?[\"'`](?P<quoted>[^\"'`\n\\]{1,512}+)|(?P<bare>[^\s\"'`]{1,512}+))")
_OF_NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "
_LAST_WORDS = """
    pass password passwd pwd passphrase passcode passwort key keys token tokens secret secrets credential credentials
    creds authorization string pem rsa jwt bearer mnemonic phrase code codes pin cvv cvc number card ssn security
    cookie value auth text
"""
_LAST = tuple(_LAST_WORDS.split())


def _settings(text: str) -> Matches:
    """``name = value`` and the like, where the name says that the value is a secret."""
    for separator in _SEPARATOR.finditer(text):
        before = text[max(0, separator.start() - 64) : separator.start()].rstrip(" \t").rstrip("\"'`]\\")
        name = before[len(before.rstrip(_OF_NAMES)) :]
        if name.rstrip("0123456789").lower().endswith(_LAST):
            pattern = pattern_of(name)
            value = _VALUE.match(text, separator.end()) if pattern else None
            if pattern and value:
                yield from _value(value, pattern)


def _value(match: re.Match[str], pattern: SecretPattern) -> Matches:
    if match["quoted"] is not None:
        # What begins like that stands behind a quoted prompt, such as ('Password: ', stream).
        if not match["quoted"].startswith((",", ")")) and is_secret_value(match["quoted"], pattern):
            yield Match(*match.span("quoted"), pattern)
        return
    value, start = _trimmed(match["bare"]), match.start("bare")
    if not _goes_on(match.string, start, value) and is_secret_value(value, pattern, told=True):
        yield Match(start, start + len(value), pattern)


def _trimmed(bare: str) -> str:
    """Without what belongs to the sentence, the query or the list around it."""
    if bare.startswith(("<", "(", "[", "{", "$(", "${")):
        return ""
    return bare.partition("&")[0].partition(";")[0].rstrip(".,;:!?)]}>\\")


def _goes_on(text: str, start: int, value: str) -> bool:
    """``Password: must have ...``: a plain word, and the sentence goes on."""
    after = text[start + len(value) : start + len(value) + 2]
    return value.isalpha() and value[1:].islower() and after[:1] == " " and after[1:].isalpha()


_TOLD = re.compile(
    r"\b(?:password|passwd|passphrase|passcode|pwd|pin(?: code)?|api key|token|secret)\b"
    r"(?:[ \t]{1,2}+(?!is\b|was\b|to\b)[A-Za-z0-9.@_-]{1,30}+){0,4}[ \t]{1,2}+(?:(?:is|was|to):?[ \t]{1,2}+|(?=[\"'`]))"
    r"(?:[\"'`](?P<quoted>[^\"'`\n]{4,256}+)|(?P<bare>[^\s\"'`]{4,256}+))",
    re.ASCII | re.IGNORECASE,
)
_ODD = re.compile(r"\w[^\w\s.,:;/'-]\w")


def _told(text: str) -> Matches:
    """``the password is ...``."""
    for match in _TOLD.finditer(text):
        group = "bare" if match["quoted"] is None else "quoted"
        value, start = match[group].rstrip(".,;:!?)"), match.start(group)
        mixed = any(map(str.isdigit, value)) and (any(map(str.isalpha, value)) or match[0].lower().startswith("p"))
        odd = mixed or group == "quoted" or _ODD.search(value) is not None
        if odd and len(value) > 3 and not is_placeholder(value):
            yield Match(start, start + len(value), PASSWORD)


SEARCHES: dict[tuple[str, ...], Callable[[str], Matches]] = {
    ("private_key",): _private_keys,
    ("url_credentials",): _urls,
    ("jwt",): _jwts,
    ("bearer_token",): _bearers,
    tuple(TOKENS): _vendors,
    ("card_number",): _cards,
    ("us_ssn",): _ssns,
    ("password",): _told,
    tuple(NAMED): _settings,
}
"""By the kinds that it finds, each search."""

BY_NAME = frozenset({_bearers, _told, _settings})
"""The searches that go by what stands before a secret."""
