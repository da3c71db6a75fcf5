"""Finds secrets in texts and in the keys and texts of JSON values.

Nearly all texts are harmless, so what costs is to find that out: the texts of a record are joined and looked at once,
byte by byte, by C code (``_suspicious``). Only where that finds a trace are the texts searched one by one.

No search takes more than linear time: quantifiers are bounded or possessive, and where one expression cannot be both
right and linear (private keys, names before a ``=``), plain Python code does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from ciris_store_core.errors import InvalidArgument

from .names import pattern_of
from .patterns import (
    BEARER_TOKEN,
    BUILT_IN,
    CARD_NUMBER,
    JWT,
    PASSWORD,
    PRIVATE_KEY,
    SSN,
    TOKEN,
    TOKENS,
    URL_CREDENTIALS,
    SecretPattern,
)
from .references import REFERENCE
from .values import is_card_number, is_placeholder, is_secret_value, looks_random


class Match(NamedTuple):
    """A secret in a text: ``text[start:end]``."""

    start: int
    end: int
    pattern: SecretPattern


# --- the first look ---------------------------------------------------------------------------


def _table(kept: str, become: str) -> bytes:
    """For ``bytes.translate``: the kept characters become that one (or stay, for ""); all others a space."""
    return bytes(ord(become or chr(i)) if chr(i) in kept else ord(" ") for i in range(256))


_RUNS = _table("abcdefghijklmnopqrstuvwxyz0123456789_-", "x")
_RUN = b"x" * 18
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_CARD = b"0" * 13
_SSN = b"000-00-0000"
_TRACES = (b"pass", b"pwd", b"bearer", b"-----begin", b"ssn", b"social sec")
_NAMES = (b"key", b"token", b"secret", b"credential", b"auth", b"pin", b"cvv", b"://")
_RANDOM = re.compile(r"[A-Za-z0-9_-]{18,}+", re.ASCII)


def _suspicious(texts: str) -> bool:
    """Whether there may be a secret; where there is none of any built-in kind, this says so almost always."""
    raw = texts.encode("utf-8", "replace").lower()
    if any(trace in raw for trace in _TRACES):
        return True
    if (b":" in raw or b"=" in raw) and any(name in raw for name in _NAMES):
        return True
    digits = raw.translate(_DIGITS)
    if _SSN in digits or _CARD in digits.translate(None, b" -"):
        return True
    return _RUN in raw.translate(_RUNS) and any(looks_random(run) for run in _RANDOM.findall(texts))


# --- the searches -----------------------------------------------------------------------------

# Where a long run begins; trying some forty expressions at every character instead would take too long.
_BEGINNING = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9](?=[A-Za-z0-9_.:~+/=-]{16})", re.ASCII)
_VENDORS = re.compile("|".join(f"(?P<{name}>{regex})" for name, regex in TOKENS.items()), re.ASCII)
_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.(?:eyJ[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]*+|"
    r"[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++)",
    re.ASCII,
)
_BEARER = re.compile(
    r"(?<![A-Za-z])(?:bearer|(?<=authorization: )(?:basic|token)|(?<=authorization=)basic)[ \t]{1,3}+"
    r"([A-Za-z0-9._~+/-]{12,4096}+={0,2})",
    re.ASCII | re.IGNORECASE,
)
_URL = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,24}+://([^\s\"'<>`]{3,2048}+)", re.ASCII)
_PASSWORD_BEGINS = re.compile(r"[^:\[]*+:(?!\d{0,5}\Z)", re.ASCII)
_BEGIN = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d: ", re.ASCII
)
_END = re.compile(
    r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|Private-MAC: [0-9a-f]{1,128}", re.ASCII
)
_DIGIT_GROUPS = re.compile(r"(?<![A-Za-z0-9._/+-])\d(?:[ -]?\d){12,18}+(?![ -]?\d|[A-Za-z_]|\.\d)", re.ASCII)
_SSN_PLAIN = re.compile(
    r"(?<![0-9A-Za-z_-])(?<!\d[.])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![0-9A-Za-z_-]|\.\d)", re.ASCII
)
_SSN_NAMED = re.compile(
    r"(?:\bssn\b|social security(?: number| no\.?)?)[^0-9\n]{0,20}"
    r"((?!000|666|9)\d{3}[- ]?(?!00)\d{2}[- ]?(?!0000)\d{4})(?![0-9])",
    re.ASCII | re.IGNORECASE,
)
# The word that makes a name secret, the rest of the name, and what the name is set to.
_SET = re.compile(
    r"(?:passw(?:or)?d|passphrase|passcode|pwd|pass|secrets?|tokens?|key|credentials?|creds|authorization"
    r"|connection_?string|private_?key|mnemonic|phrase|pin|cvv2?|cvc2?|jwt)(?P<rest>[A-Za-z0-9_-]{0,20}+)(?P<quote>\\?[\"'`]?\]?)"
    r"[ \t]{0,4}+(?::=|=>|->|=|:)[ \t]{0,4}+"
    r"(?:\\?[\"'`](?P<quoted>[^\"'`\n\\]{1,512}+)|(?P<bare>[^\s\"'`]{1,512}+))",
    re.ASCII | re.IGNORECASE,
)
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.-]*\Z", re.ASCII)
_TOLD = re.compile(
    r"\b(?:password|passwd|passphrase|passcode|pwd|pin(?: code)?|api key|token|secret)\b"
    r"(?:[ \t]{1,2}+(?!is\b|was\b|to\b)[A-Za-z0-9.@_-]{1,30}+){0,4}[ \t]{1,2}+(?:is|was|to)[ \t]{1,2}+"
    r"(?P<open>[\"'`])?(?P<value>[^\s\"'`]{4,256}+)",
    re.ASCII | re.IGNORECASE,
)


def _vendors(text: str) -> Iterator[Match]:
    for beginning in _BEGINNING.finditer(text):
        match = _VENDORS.match(text, beginning.start())
        # An identifier may begin like a token, and an example is often a row of the same letter.
        if match and len(set(match[0])) > 7 and (match.lastgroup != "openai_key" or looks_random(match[0])):
            yield Match(*match.span(), BUILT_IN[match.lastgroup or ""])


def _jwts(text: str) -> Iterator[Match]:
    return (Match(*match.span(), JWT) for match in _JWT.finditer(text))


def _bearers(text: str) -> Iterator[Match]:
    for match in _BEARER.finditer(text):
        if any(map(str.isdigit, match[1])) or looks_random(match[1]):
            yield Match(*match.span(1), BEARER_TOKEN)


def _urls(text: str) -> Iterator[Match]:
    """The password of a URL, which reaches up to the last ``@`` before the host."""
    for match in _URL.finditer(text):
        rest, start = match[1], match.start(1)
        before_path = re.split(r"[/?#]", rest, maxsplit=1)[0]
        # A raw "/" in a password hides the "@" behind it; but a port is no password.
        raw = "@" not in before_path and _PASSWORD_BEGINS.match(before_path)
        login, at, _ = (rest if raw else before_path).rpartition("@")
        user, colon, password = login.partition(":")
        if at and colon and password and not is_placeholder(password):
            yield Match(start + len(user) + 1, start + len(login), URL_CREDENTIALS)


def _private_keys(text: str) -> Iterator[Match]:
    """Whole keys; one whose end is missing reaches to the end of the text."""
    at = 0
    while begin := _BEGIN.search(text, at):
        end = _END.search(text, begin.end())
        at = end.end() if end else len(text)
        yield Match(begin.start(), at, PRIVATE_KEY)


def _cards(text: str) -> Iterator[Match]:
    return (Match(*m.span(), CARD_NUMBER) for m in _DIGIT_GROUPS.finditer(text) if is_card_number(m[0]))


def _ssns(text: str) -> Iterator[Match]:
    yield from (Match(*match.span(), SSN) for match in _SSN_PLAIN.finditer(text))
    yield from (Match(*match.span(1), SSN) for match in _SSN_NAMED.finditer(text))


def _settings(text: str) -> Iterator[Match]:
    """``name = value`` and the like, where the name says that the value is a secret."""
    for match in _SET.finditer(text):
        start = match.start()
        before = _NAME_BEFORE.search(text, max(0, start - 60), start)
        pattern = pattern_of((before[0] if before else "") + text[start : match.end("rest")])
        if pattern is not None:
            yield from _value(match, pattern)


def _value(match: re.Match[str], pattern: SecretPattern) -> Iterator[Match]:
    group = "quoted" if match["quoted"] is not None else "bare"
    value, (start, end) = match[group], match.span(group)
    if group == "bare":
        value = value.rstrip(".,;:!?)]}>&\\") if not value.startswith(("<", "(", "[", "{", "$")) else ""
        value = value.partition("&")[0] if pattern is TOKEN else value.partition(";")[0]
        end = start + len(value)
        if _is_prose(match.string, start, value):
            return
    if is_secret_value(value, pattern, told=group == "bare"):
        yield Match(start, end, pattern)


def _is_prose(text: str, start: int, value: str) -> bool:
    """``Password: must have ...``: a plain word, and the sentence goes on."""
    after = text[start + len(value) : start + len(value) + 2]
    return value.isalpha() and value[1:].islower() and after[:1] == " " and after[1:].isalpha()


def _told(text: str) -> Iterator[Match]:
    """``the password is ...``."""
    for match in _TOLD.finditer(text):
        value, start = match["value"].rstrip(".,;:!?)"), match.start("value")
        mixed = any(map(str.isdigit, value)) and (any(map(str.isalpha, value)) or match[0].lower().startswith("p"))
        mixed = mixed or match["open"] is not None or re.search(r"\w[^\w\s.,:;/'-]\w", value) is not None
        if mixed and len(value) > 3 and not is_placeholder(value):
            yield Match(start, start + len(value), PASSWORD)


_SEARCHES: dict[tuple[str, ...], Callable[[str], Iterator[Match]]] = {
    ("private_key",): _private_keys,
    ("url_credentials",): _urls,
    ("jwt",): _jwts,
    ("bearer_token",): _bearers,
    tuple(TOKENS): _vendors,
    ("card_number",): _cards,
    ("us_ssn",): _ssns,
    ("password",): _told,
    ("password", "api_key", "token", "secret", "pin", "recovery_phrase"): _settings,
}


class Detector:
    """Finds secrets of the built-in kinds and of one's own patterns. Safe to use from many threads."""

    def __init__(self, patterns: Iterable[SecretPattern] = (), without: Collection[str] = ()) -> None:
        """``patterns``: further ones; ``without``: names of built-in kinds to leave out."""
        self._own = tuple(patterns)
        unknown = [name for name in without if name not in BUILT_IN]
        if isinstance(without, str) or unknown:
            raise InvalidArgument(
                f"without: {ascii(unknown or without)[:80]} is not built in: choose from {', '.join(sorted(BUILT_IN))}"
            )
        self._without = frozenset(without)
        self._searches = [search for kinds, search in _SEARCHES.items() if not self._without.issuperset(kinds)]
        self._plain_keys: set[str] = set()

    def harmless(self, texts: list[str], keys: Iterable[str] = ()) -> bool:
        """Whether there is nothing to find in these texts and under these keys; False is only a suspicion."""
        return (
            (self._plain_keys.issuperset(keys) or all(self.key(name) is None for name in keys))
            and not _suspicious("\n".join(texts))
            and not any(self._find_own(text) for text in texts if self._own)
        )

    def key(self, name: str) -> SecretPattern | None:
        """What the key of a JSON object says that its value is."""
        if name in self._plain_keys:
            return None
        pattern = pattern_of(name)
        if pattern is not None and pattern.name not in self._without:
            return pattern
        if len(name) < 100 and not _suspicious(name):  # what may hold a secret itself is not kept in memory
            if len(self._plain_keys) > 10_000:
                self._plain_keys.clear()
            self._plain_keys.add(name)
        return None

    def find(self, text: str) -> list[Match]:
        """The secrets in a text, in order, without overlaps; references to secrets are left alone."""
        found = [match for search in self._searches for match in search(text)] if _suspicious(text) else []
        found += self._find_own(text)
        if not found:
            return []
        taken = [match.span() for match in REFERENCE.finditer(text)]
        found = [match for match in found if match.pattern.name not in self._without and match.start < match.end]
        return _apart(sorted(found, key=lambda match: (match.start, -match.end)), taken)

    def _find_own(self, text: str) -> list[Match]:
        return [
            Match(*match.span("secret" if "secret" in match.re.groupindex else 0), pattern)
            for pattern in self._own
            for match in re.finditer(pattern.regex, text)
        ]


def _apart(found: list[Match], taken: list[tuple[int, int]]) -> list[Match]:
    """The first and longest of those that overlap, and none that overlaps what is taken."""
    kept: list[Match] = []
    for match in found:
        if kept and match.start < kept[-1].end:
            if match.end > kept[-1].end:  # No part of a secret may be left over.
                kept[-1] = kept[-1]._replace(end=match.end)
        elif not any(match.start < end and start < match.end for start, end in taken):
            kept.append(match)
    return kept
