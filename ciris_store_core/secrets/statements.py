"""Secrets in commands, statements, calls and elements, and in other languages than English."""

from __future__ import annotations

import re

from ciris_store_core.secrets.names import FOREIGN, pattern_of
from ciris_store_core.secrets.patterns import API_KEY, PASSWORD, SecretPattern
from ciris_store_core.secrets.settings import VALUE, value_of
from ciris_store_core.secrets.spans import Match, Matches, lowered
from ciris_store_core.secrets.values import is_mixed, is_placeholder, is_secret_value

_QUOTED_OR_BARE = r"(?:'(?P<single>[^'\n]{1,256}+)'|\"(?P<double>[^\"\n]{1,256}+)\"|(?P<bare>[^\s\"'|;&]{1,256}+))"


def _found(match: re.Match[str], pattern: SecretPattern = PASSWORD) -> Matches:
    """Yield the group that matched, unless it is a placeholder."""
    group = match.lastgroup or ""
    if len(match[group]) > 2 and not is_placeholder(match[group]):
        yield Match(*match.span(group), pattern)


# --- commands -------------------------------------------------------------------------------------

_COMMAND = re.compile(
    r"(curl|mysql\w{0,12}|mariadb(?:-\w{1,12})?|sshpass|(?:docker|podman|az|helm registry) login|redis-cli|"
    r"mongo\w{0,8}|ldap\w{3,8}|sqlcmd|bcp|unzip|zip|7za?|smbclient|openssl|sqlplus|htpasswd)(?= )"
    r"((?:\\\n|[^\n|;&]){1,600}+)",
    re.ASCII,
)


def _option(before: str, value: str = _QUOTED_OR_BARE) -> re.Pattern[str]:
    return re.compile(rf"(?<=\s)(?:{before}){value}", re.ASCII)


_USER = _option(
    r"-[A-Za-z]{0,5}u ?|--(?:proxy-)?user[ =]",
    r"(?:'[^'\n:]{1,99}:(?P<single>[^'\n]{1,256}+)'|\"[^\"\n:]{1,99}:(?P<double>[^\"\n]{1,256}+)\"|"
    r"[^\s\"':$]{1,99}:(?!//)(?P<bare>[^\s\"'|;&]{1,256}+))",
)
_ATTACHED, _SPACED, _LARGE = _option("-p(?![ \t])"), _option("-p |--password[ =]"), _option("-P ?")
_OPTIONS = {
    "curl": _USER,
    "mysq": _ATTACHED, "mari": _ATTACHED, "7z": _ATTACHED, "7za": _ATTACHED,
    "sshp": _option("-p ?"),
    "dock": _SPACED, "podm": _SPACED, "az l": _SPACED, "helm": _SPACED, "mong": _SPACED,
    "redi": _option("-a |--pass "), "ldap": _option("-w "),
    "sqlc": _LARGE, "bcp": _LARGE, "zip": _LARGE, "unzi": _LARGE,
    "smbc": _option(r"-U ?[\w.\\-]{1,60}%"),
    "open": _option(r"-pass(?:in|out)? pass:|-[kK] "),
    "sqlp": _option(r"[\w.]{1,60}/", r"(?P<bare>[^\s\"'@/]{1,256}+)(?=@)"),
    "htpa": _option(r"-\w{0,6}b\w{0,6} \S{1,200} \S{1,60} "),
}  # fmt: skip
_DASHED = re.compile(r"-([A-Za-z][A-Za-z0-9-]{2,40}+)[ \t]{1,3}+(?=[^\s-])", re.ASCII)
_PLACED = re.compile(
    r"(?:ENV|setx|configure set|config set)[ \t]{1,3}+([A-Za-z][\w.]{2,60}+)[ \t]{1,3}+|"
    r"^[ \t]{0,8}(requirepass|masterauth)[ \t]{1,3}+",
    re.ASCII | re.MULTILINE,
)
_PIPED = re.compile(
    r"\becho (?:-n )?(?:[\"']?[\w.-]{1,40}:(?P<login>[^\s\"':|]{3,256}+)[\"']?(?= ?\| ?(?:sudo )?chpasswd)|"
    r"[\"']?(?P<alone>[^\s\"'|]{3,256}+)[\"']?(?= ?\| ?(?:sudo -S|[^\n|]{1,200}--password-stdin)))",
    re.ASCII,
)


def commands(text: str) -> Matches:
    """Yield options of command lines."""
    if "-" in text:
        for command in _COMMAND.finditer(text):
            for match in _OPTIONS[command[1][:4].rstrip()].finditer(text, command.start(2), command.end()):
                yield from _found(match)
        for dashed in _DASHED.finditer(text):
            if text[max(0, dashed.start() - 2) : dashed.start()].strip(" \t\n\"'`(") in ("", "-"):
                yield from _next(text, dashed)
    if "ENV " in text or "setx " in text or " set " in text or "requirepass" in text or "masterauth" in text:
        for placed in _PLACED.finditer(text):
            yield from _next(text, placed)
    if "echo " in text:
        for piped in _PIPED.finditer(text):
            yield from _found(piped)


def _next(text: str, name: re.Match[str]) -> Matches:
    """Yield the value after a name that says that it is a secret."""
    pattern = pattern_of(name[name.lastindex or 0])
    value = VALUE.match(text, name.end()) if pattern else None
    if pattern and value and not (value["bare"] or "").isalpha():
        yield from value_of(value, pattern)


# --- SQL ------------------------------------------------------------------------------------------

_STRING = r"(?:PASSWORD ?\( ?)?N?'(?P<single>[^'\n]{1,256}+)'"
_SQL = re.compile(
    r"\bIDENTIFIED (?:WITH [\w'\"`]{1,60} )?(?:BY|AS) (?:PASSWORD )?"
    r"(?:'(?P<s>[^'\n]{1,256}+)'|\"(?P<d>[^\"\n]{1,256}+)\"|(?P<bare>[A-Za-z0-9_$#]{3,128}+))|"
    rf"\bSET PASSWORD(?: FOR [^\s=]{{1,120}})? ?= ?{_STRING}",
    re.ASCII | re.IGNORECASE,
)
_INSERT = re.compile(r"\(([\w ,`\"\[\].]{3,400}+)\)\s{0,4}VALUES\s{0,4}\(", re.ASCII | re.IGNORECASE)
_SQL_VALUE = re.compile(
    r"\s{0,4}(?:N?'((?:[^'\n]|''){0,512}+)'|[^,()'\n]{0,200}+(?:\([^()'\n]{0,100}+\))?)\s{0,4}(,|\))"
)


def sql(text: str) -> Matches:
    """Yield passwords of users of a database, and of rows that are inserted."""
    low = lowered(text)
    if "identified" in low or "set password" in low:
        for match in _SQL.finditer(text):
            if match["bare"] is None or is_mixed(match["bare"]):  # Prose: "identified by the name".
                yield from _found(match)
    for match in _INSERT.finditer(text):
        at = match.end()
        for column in match[1].split(","):
            value = _SQL_VALUE.match(text, at)
            if value is None:
                break
            at = value.end()
            pattern = pattern_of(column)
            if pattern and value[1] and is_secret_value(value[1], pattern):
                yield Match(*value.span(1), pattern)


# --- calls ------------------------------------------------------------------------------------------

_STRINGS = r"\( ?(?P<q>[\"'])(?P<first>[^\"'\n]{1,256}+)(?P=q)(?:, ?(?P<r>[\"'])(?P<second>[^\"'\n]{3,512}+)(?P=r))?"
_CALL = re.compile(_STRINGS)
_SETTERS = ("password", "passwd", "pwd", "passphrase", "apikey", "api_key")
_LOGINS = ("basicauth", "basic_auth", "credential", "credentials", "login", "auth=", "auth =")
_CONNECTS = re.compile(
    r"(?:mysqli?_connect|mysqli|getConnection)\((?:[^,()\n]{1,160}, ?){2}[\"'](?P<third>[^\"'\n]{3,256}+)[\"']",
    re.ASCII,
)


def calls(text: str) -> Matches:
    """Yield arguments of calls."""
    for match in _CALL.finditer(text):
        called = text[max(0, match.start() - 24) : match.start()].lower()
        if called.endswith(_LOGINS):
            yield from _plain(match, "second", PASSWORD)
        elif called.endswith(_SETTERS):
            if _SETTER.search(called):
                yield from _plain(match, "first", API_KEY if called.endswith("key") else PASSWORD)
        elif match["second"]:
            pattern = pattern_of(match["first"])
            if pattern and is_mixed(match["second"]) and is_secret_value(match["second"], pattern, told=True):
                yield Match(*match.span("second"), pattern)
    if "mysql" in text or "getConnection" in text:
        for match in _CONNECTS.finditer(text):
            yield from _found(match)


_SETTER = re.compile(r"(?:\A|[^\w]|set_?|with_?)(?:password|passwd|pwd|passphrase|api_?key)\Z", re.ASCII)


def _plain(match: re.Match[str], group: str, pattern: SecretPattern) -> Matches:
    """Yield the value of that group, unless it is missing, a placeholder, or a prompt such as ``Password: ``."""
    value = match[group]
    if value and len(value) > 2 and value.rstrip()[-1:] not in (":", "?") and not is_placeholder(value):
        yield Match(*match.span(group), pattern)


# --- elements ---------------------------------------------------------------------------------------

_ELEMENT = re.compile(r"<([A-Za-z][\w:.-]{1,60}+)((?:\s[^<>\n]{1,200}+)?)>\s{0,20}([^<>\s][^<>\n]{1,512}+)</", re.ASCII)
_NAME = re.compile(r"\b(?:name|key)=[\"']([\w.:-]{2,80}+)[\"']", re.ASCII | re.IGNORECASE)
_PROPERTY = re.compile(
    r"<key>([\w .-]{2,64}+)</key>\s{0,20}<string>([^<>\s][^<>\n]{1,512}+)</", re.ASCII | re.IGNORECASE
)


def elements(text: str) -> Matches:
    """``<password>...</password>``, and elements whose attribute ``name`` says so."""
    for match in _ELEMENT.finditer(text):
        name = _NAME.search(match[2]) if match[2] else None
        pattern = pattern_of(match[1].rpartition(":")[2]) or (pattern_of(name[1]) if name else None)
        yield from _content(match, 3, pattern)
    for match in _PROPERTY.finditer(text):
        yield from _content(match, 2, pattern_of(match[1]))


def _content(match: re.Match[str], group: int, pattern: SecretPattern | None) -> Matches:
    value = match[group].rstrip()
    # The text of a label or a link has spaces; so have few secrets.
    if pattern and " " not in value and is_secret_value(value, pattern):
        yield Match(match.start(group), match.start(group) + len(value), pattern)


# --- other languages --------------------------------------------------------------------------------

_ASCII_WORDS = (
    "contrasena", "clave", "senha", "passwort", "kennwort", "wachtwoord", "parola", "password", "mot de passe",
    "kata sandi",
)  # fmt: skip
_FOREIGN = re.compile("|".join((*FOREIGN, *_ASCII_WORDS)))
_SAID = re.compile(
    r"(?:[ \t][\w-]{1,20}){0,3}?"
    r"(?:[ \t]{0,2}[:\uff1a=\uff1d][ \t]{0,2}|[ \t]{0,2}[是は는은][ \t]{0,2}|"
    r"[ \t](?:ist|lautet|es|est|é|è|adalah|هي|هو)[ \t]|[ \t])[\"'„“«「]?([!-~]{4,256}+)",
    re.IGNORECASE,
)


def foreign(text: str) -> Matches:
    """Yield passwords after a word for password in the languages that most people speak."""
    for word in _FOREIGN.finditer(lowered(text)):
        match = _SAID.match(text, word.end())
        value = match[1].rstrip(".,;:!?)\"'>") if match else ""
        if match and len(value) > 3 and is_mixed(value) and not is_placeholder(value):
            yield Match(match.start(1), match.start(1) + len(value), PASSWORD)
