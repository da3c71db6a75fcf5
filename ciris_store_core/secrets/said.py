"""Secrets in sentences: ``the password is ...``."""

from __future__ import annotations

import re

from ciris_store_core.secrets.patterns import PASSWORD, RECOVERY_PHRASE
from ciris_store_core.secrets.spans import Match, Matches, is_whole_word, lowered
from ciris_store_core.secrets.values import is_mixed, is_placeholder

# Searched for in lower case, and without a condition before them: so the engine skips by the first letter.
_KEYWORD = re.compile(r"pass(?:word|wd|phrase|code)|pwd?|pin(?: code)?|api key|token|secret", re.ASCII)
_TOLD = re.compile(
    r"(?:[ \t]{1,2}+(?!is\b|was\b|to\b)[A-Za-z0-9.@_-]{1,30}+){0,4}"
    r"(?:[ \t]{1,2}+(?:(?:is|was|to):?|-)[ \t]{1,2}+|:[ \t]{0,2}+|[ \t]{1,2}+(?=[\"'`]))"
    r"(?:[\"'`](?P<quoted>[^\"'`\n]{4,256}+)|(?P<bare>[^\s\"'`]{4,256}+))",
    re.ASCII | re.IGNORECASE,
)
_GIVEN = re.compile(r"[ \t]{1,2}+(?P<bare>[^\s\"'`]{4,256}+)", re.ASCII)
_AS = re.compile(r"(?<!\S)(?P<bare>[^\s\"'`]{4,64}+) as (?:your|the|my|his|her|their) (?:new )?\Z", re.ASCII)
_PLAIN = re.compile(r"( is| was)? ([a-z]{5,40}+)(?=[.!,;]?(?:\Z|[\s)]))(?! [a-z])", re.ASCII)
_OF_SOMEBODY = re.compile(r"\b(?:the|my|our|your|his|her|their)(?: [a-z-]{1,20}){0,3} \Z", re.ASCII)
_USED = re.compile(r"\b(?:with|use|using|enter|try|type)(?: the| this| my)? \Z", re.ASCII)
_BEFORE = 90
_LOGIN = re.compile(
    r"(?:login|log in|creds|credentials|user(?:name)?/(?:password|pass|pw))s?(?:[ \t](?:is|are|with|as))?:?[ \t]{1,2}+"
    r"[a-z][\w.@+-]{1,60}+[ \t]?[:/][ \t]?(?P<bare>[^\s\"'`/][^\s\"'`]{3,256}+)",
    re.ASCII,
)
_NO_PASSWORD_WORDS = """
    wrong right correct incorrect invalid valid short weak strong long secure insecure safe unsafe empty blank missing
    absent unknown secret hidden visible required optional mandatory needed ready here there below above mine yours ours
    theirs hers compromised public private simple complex easy hard good great fine random unique different identical
    equal similar unchanged temporary permanent default manager managers reset page field form prompt policy hash box
    button generator rules vault file files hint store option flag parameter dialog again twice first once instead below
    authentication protection login protected recovery change changes dictionary checker strength broken stale outdated
    obvious obsolete alphanumeric lowercase uppercase numeric ascii plaintext everything nothing something anything
"""
_NO_PASSWORD = frozenset(_NO_PASSWORD_WORDS.split())
_NO_PASSWORD_ENDS = ("ed", "ing", "ly", "able", "ible", "ive", "ory", "ful", "less", "ous")


def _is_no_password(word: str) -> bool:
    return word in _NO_PASSWORD or word.endswith(_NO_PASSWORD_ENDS)


_PHRASE = re.compile(
    r"(?:seed|recovery|mnemonic|backup)(?: phrase| words| seed)?(?: is| are)?:?[ \t]{1,2}+\"?"
    r"((?:[a-z]{3,8} ){11,23}[a-z]{3,8})\b",
    re.ASCII,
)


def told(text: str) -> Matches:
    """Yield the values that a sentence calls a password or another secret."""
    low = lowered(text)
    for word in _KEYWORD.finditer(low):
        if is_whole_word(low, *word.span()):
            yield from _is_told(text, word)
            if word[0][:2] in ("pa", "pw"):
                yield from _is_given(text, low, word)
    if "log" in low or "cred" in low or "user" in low:
        for match in _LOGIN.finditer(low):
            yield from _if_mixed(text, match, 0)
    if "seed" in low or "recovery" in low or "mnemonic" in low or "backup" in low:
        for match in _PHRASE.finditer(low):
            yield Match(*match.span(1), RECOVERY_PHRASE)


def _is_told(text: str, word: re.Match[str]) -> Matches:
    """``password ... is ...``, and the like."""
    match = _TOLD.match(text, word.end())
    if match is None:
        return
    group = "bare" if match["quoted"] is None else "quoted"
    value, start = _bare(match[group]), match.start(group)
    digits = word[0].startswith("p") and any(map(str.isdigit, value))
    if (digits or group == "quoted" or is_mixed(value)) and len(value) > 3 and not is_placeholder(value):
        yield Match(start, start + len(value), PASSWORD)


def _is_given(text: str, low: str, word: re.Match[str]) -> Matches:
    """``use the password ...``, ``... as your password``, and plain words where no other word can stand."""
    given = _GIVEN.match(text, word.end())
    if given:
        yield from _if_mixed(text, given, 0)
    first = max(0, word.start() - _BEFORE)
    before = low[first : word.start()]
    as_password = _AS.search(before) if " as " in before else None
    if as_password:
        yield from _if_mixed(text, as_password, first)
    plain = _PLAIN.match(low, word.end())
    if plain and (_OF_SOMEBODY if plain[1] else _USED).search(before) and not _is_no_password(plain[2]):
        yield Match(*plain.span(2), PASSWORD)


def _bare(value: str) -> str:
    """Without an element's end, and the marks of the sentence."""
    return value.partition("</")[0].rstrip(".,;:!?)]}>\\")


def _if_mixed(text: str, match: re.Match[str], first: int) -> Matches:
    """Yield the group ``bare``, if it is no word. ``first``: where in the text that begins which was searched."""
    start = first + match.start("bare")
    value = _bare(text[start : first + match.end("bare")])
    if len(value) > 3 and is_mixed(value) and not is_placeholder(value):
        yield Match(start, start + len(value), PASSWORD)
