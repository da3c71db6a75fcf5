"""Names with values: ``name = value`` in all its forms, where the name says that the value is a secret."""

from __future__ import annotations

import re

from ciris_store_core.secrets.names import pattern_of
from ciris_store_core.secrets.patterns import SecretPattern
from ciris_store_core.secrets.spans import Match, Matches, lowered
from ciris_store_core.secrets.values import is_secret_value, may_be_nested

_SEPARATOR = re.compile(r":=|=>|->|[:=]")
_QUOTE = r"(?:\\{0,3}[\"'`]|[NEBrbf]')"
_ENTITY = r"&(?:quot|apos|#3[49]);"
VALUE = re.compile(
    r"[ \t]{0,4}+(?:![A-Za-z]{1,20} )?"
    rf"(?:{_QUOTE}(?P<quoted>[^\"'`\n\\]{{1,512}}+)|{_ENTITY}(?P<entity>[^&\n]{{1,512}}+)|(?P<bare>[^\s\"'`]{{1,512}}+))"
)
_ENTITY_BEFORE = re.compile(rf"{_ENTITY}\Z")
_OF_NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "
_LAST_WORDS = """
    pass password passwd pwd pw passphrase passcode passwort kennwort key keys token tokens secret secrets credential
    credentials creds authorization string pem rsa jwt bearer mnemonic phrase code codes pin cvv cvc number card ssn
    security cookie value auth text base contrasena senha motdepasse mot_de_passe parola wachtwoord haslo sandi
    confirmation confirm again repeat plain plaintext raw clear cleartext b64 prod production dev staging live sandbox
    old new current primary secondary backup main masterauth requirepass
"""
_LAST = tuple(_LAST_WORDS.split())
# Most names end otherwise: a look at two letters costs a tenth of what the comparison with every word does.
_LAST_LETTERS = frozenset(word[-2:] for word in _LAST)


def settings(text: str) -> Matches:
    """``name = value`` and the like, where the name says that the value is a secret."""
    looked_to = 0
    for separator in _SEPARATOR.finditer(text):
        start, end = separator.span()
        pattern = _said_by(text[max(0, start - 64) : start], separator[0])
        value = VALUE.match(text, end) if pattern else None
        if pattern and value:
            yield from value_of(value, pattern)
            if text.startswith("{", value.end() - len(value["bare"] or "")) and end >= looked_to:
                looked_to = end + _REGION
                yield from _nested(text, end, pattern)
    if "value" in lowered(text):
        yield from _pairs(text)


def _said_by(before: str, separator: str) -> SecretPattern | None:
    """Return the kind that the name before a separator says."""
    before = before.rstrip(" \t")
    if before.endswith(";"):
        before = _ENTITY_BEFORE.sub("", before)
    before = before.rstrip("\"'`]\\")
    pattern = _pattern_at_end(before)
    if pattern is None and separator == "=" and ": " in before:  # A type stands between: ``password: str = "..."``.
        return _pattern_at_end(before.rpartition(": ")[0].rstrip(" ?"))
    return pattern


def _pattern_at_end(before: str) -> SecretPattern | None:
    if before.rstrip("0123456789")[-2:].lower() not in _LAST_LETTERS:
        return None
    name = before[len(before.rstrip(_OF_NAMES)) :]
    return pattern_of(name) if name.rstrip("0123456789").lower().endswith(_LAST) else None


def value_of(match: re.Match[str], pattern: SecretPattern) -> Matches:
    """Yield the secret in a match of ``VALUE``, if it is one."""
    if match["bare"] is None:
        group = "quoted" if match["quoted"] is not None else "entity"
        # Such a beginning follows a quoted prompt, as in ('Password: ', stream).
        if not match[group].startswith((",", ")")) and is_secret_value(match[group], pattern):
            yield Match(*match.span(group), pattern)
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


_REGION = 600
_INNER = re.compile(r"[\"'][ \t]{0,3}:[ \t]{0,3}\\{0,3}[\"']([^\"'\n\\]{6,512}+)")


def _nested(text: str, start: int, pattern: SecretPattern) -> Matches:
    """Yield values in an object that a name stands before, up to its first closing brace."""
    end = text.find("}", start, start + _REGION)
    for match in _INNER.finditer(text, start, end if end >= 0 else start + _REGION):
        if may_be_nested(match[1]):
            yield Match(*match.span(1), pattern)


# ``name: DB_PASSWORD``, then ``value: ...``, in YAML, JSON and XML.
_PAIR = re.compile(
    r"\b(?:name|key)\\{0,3}[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,3}[\"']?([\w.-]{2,64}+)\\{0,3}[\"']?[\s,]{1,24}+"
    r"\\{0,3}[\"']?value\\{0,3}[\"']?[ \t]{0,3}[:=]",
    re.ASCII | re.IGNORECASE,
)


def _pairs(text: str) -> Matches:
    for match in _PAIR.finditer(text):
        pattern = pattern_of(match[1])
        value = VALUE.match(text, match.end()) if pattern else None
        if pattern and value:
            yield from value_of(value, pattern)
