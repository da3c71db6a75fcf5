"""Database URLs: which store to open, read once and never shown with a password.

An argument wins over the environment variable ``CIRIS_DB_URL``, which wins over ``sqlite:///data/ciris.db``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ciris_store_core.errors import InvalidURL
from ciris_store_core.url_options import OptionReader as OptionReader
from ciris_store_core.url_options import is_secret_option

ENVIRONMENT_VARIABLE = "CIRIS_DB_URL"
DEFAULT_URL = "sqlite:///data/ciris.db"
POSTGRES_SCHEMES = ("postgresql", "postgres")
SCHEME_PATTERN = r"[a-z][a-z0-9+.-]*"

_URL = re.compile(rf"({SCHEME_PATTERN})://(.*)", re.IGNORECASE | re.DOTALL | re.ASCII)
# A colon before any slash or after '//', or a user's ':' and '@': a URL with a slip in it, if it is no Windows drive.
_LIKE_A_URL = re.compile(r"[^/\\:]{2,}:|.*://|[^/\\:]:[^/\\].*@|.*//.*:|postgres.*:", re.DOTALL)
# What libpq, ODBC and ADO.NET take in place of a URL.
_KEYWORDS = re.compile(
    r"(?:.*[\s;])?(?:host|hostaddr|port|dbname|database|user|username|user ?id|uid|password|pwd|passfile|service"
    r"|sslmode|server|data source|driver)\s*=",
    re.IGNORECASE | re.DOTALL,
)
_USER_IN_PATH = re.compile(r"[^/\\:]*:(?![/\\]).*@", re.DOTALL)
_OPTION_IN_PATH = re.compile(r"[?&][A-Za-z_][A-Za-z0-9_.-]*=")
_UNSAFE_TEXT = re.compile("[\x00\r\n\u0085\u2028\u2029\ud800-\udfff]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_HOST_NAME = re.compile(r"[\w.-]+")
_PORT = re.compile(r"[0-9]{1,5}")
_MASK = "***"

Host = tuple[str, int | None]


@dataclass(frozen=True, slots=True, repr=False)
class StoreURL:
    """A database URL taken apart. ``str()`` and ``repr()`` show ``***`` for whatever is secret.

    Every part is percent-decoded. Drivers get these parts as keyword arguments, never a URL.
    """

    scheme: str
    """Lower case."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    hosts: tuple[Host, ...] = ()
    """Names with ports (None: the default one), in the order of the URL. IPv6 stands without brackets; a name
    that starts with ``/`` is the directory of a Unix socket; empty text is the driver's default host."""
    database: str = ""
    """The database's name, or the path of its file (``:memory:`` for none), or the name of a ``memory://`` store."""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The options after the ``?``, read-only. Read them with an ``OptionReader``."""
    is_default: bool = False
    """True for ``sqlite:///data/ciris.db``, whose directory is created; other paths need theirs to exist."""

    def __post_init__(self) -> None:
        """Keep the options from being changed."""
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling and copying, which a read-only mapping refuses. The password is in the pickle in full."""
        parts = (self.scheme, self.username, self.password, self.hosts, self.database)
        return StoreURL, (*parts, dict(self.options), self.is_default)

    def __str__(self) -> str:
        """The URL, fit to be shown and logged."""
        shown = {name: _MASK if is_secret_option(name, value) else value for name, value in self.options.items()}
        return build_url(
            self.scheme,
            username=self.username,
            password=None if self.password is None else _MASK,
            hosts=self.hosts,
            database=self.database,
            options=shown,
        )

    def __repr__(self) -> str:
        """The same, marked as an object."""
        return f"StoreURL({str(self)!r})"


def resolve_url(url: str | os.PathLike[str] | None = None) -> StoreURL:
    """Read ``url``, else the variable ``CIRIS_DB_URL``, else ``sqlite:///data/ciris.db``.

    Raises:
        InvalidURL: It cannot be understood. Neither the message nor the traceback holds any of its secrets.
    """
    try:
        return _parse(_text_of(url))
    except InvalidURL as error:
        message = str(error)
    # Raised anew, from a frame that no longer knows the URL, for tracebacks that print local variables.
    del url
    raise InvalidURL(message)


def build_url(
    scheme: str,
    *,
    username: str | None = None,
    password: str | None = None,
    hosts: Iterable[Host] = (),
    database: str = "",
    options: Mapping[str, str] | None = None,
) -> str:
    """Put a URL together, percent-encoding what needs it; ``resolve_url`` gives the same parts back.

    The password is in the result in full: never log it.
    """
    user = "" if username is None else quote(username, safe="")
    user += "" if password is None else ":" + quote(password, safe="*")
    user += "@" if user else ""
    place = ",".join(_encode_host(host) for host in hosts)
    path = quote(database, safe="" if scheme in POSTGRES_SCHEMES else "/:")
    slash = "/" if path and scheme != "memory" else ""
    query = "&".join(f"{quote(name)}={quote(value, safe='/*')}" for name, value in (options or {}).items())
    return f"{scheme}://{user}{place}{slash}{path}" + (f"?{query}" if query else "")


def _encode_host(host: Host) -> str:
    name, port = host
    text = f"[{quote(name, safe=':')}]" if ":" in name and not _is_socket(name) else quote(name, safe="")
    return text if port is None else f"{text}:{port}"


# --- taking apart -----------------------------------------------------------------------------
# Messages below never quote the URL: where it has a slip in it, any part may be the password.


def _text_of(url: str | os.PathLike[str] | None) -> str:
    if url is None:
        return _from_environment()
    if not isinstance(url, (str, os.PathLike)):
        raise InvalidURL(f"a database URL is text or a path, not {type(url).__name__}")
    text = os.fsdecode(url)
    if not text.strip():
        raise InvalidURL(f"the database URL is empty. Give one, or None for {ENVIRONMENT_VARIABLE} or {DEFAULT_URL}.")
    return text


def _from_environment() -> str:
    text = os.environ.get(ENVIRONMENT_VARIABLE, DEFAULT_URL)
    if not text.strip():
        # Falling back to SQLite here would hide that a deployment lost its setting.
        raise InvalidURL(f"{ENVIRONMENT_VARIABLE} is set but empty. Give it a URL, or unset it for {DEFAULT_URL}.")
    return text


def _parse(text: str) -> StoreURL:
    _refuse_unsafe(text)
    match = _URL.fullmatch(text)
    if match is None:
        return _bare_path(text)
    scheme, rest = match[1].lower(), match[2]
    plain, plus, _ = scheme.partition("+")
    if plus:
        raise InvalidURL(f"the backend chooses its own driver. Write {plain}:// instead of {scheme}://.")
    if "#" in rest:
        raise InvalidURL("a raw '#' in the database URL. Write it as %23, in a password too.")
    if rest != rest.rstrip():
        raise InvalidURL("the database URL ends with white space. Remove it, or write it as %20.")
    place, _, query = rest.partition("?")
    if scheme == "sqlite":
        return _sqlite(place, _options(query), is_default=text == DEFAULT_URL)
    if scheme == "memory":
        return StoreURL(scheme, database=_file(place, "name"), options=_options(query))
    return _network(scheme, place, query)


def _refuse_unsafe(text: str) -> None:
    if _UNSAFE_TEXT.search(text):
        raise InvalidURL(
            "the database URL holds a NUL, a line break or a lone surrogate. Remove it "
            "(a URL read from a file often keeps the file's last line break)."
        )


def _bare_path(text: str) -> StoreURL:
    if _LIKE_A_URL.match(text):
        raise InvalidURL(
            "this looks like a database URL but has no scheme followed by '://' at its beginning. "
            "Write for instance postgresql://user@host/name, "
            "or for a file with ':' in its name sqlite:///name with the ':' as %3A."
        )
    if _KEYWORDS.match(text):
        raise InvalidURL(
            "these are connection keywords (host=... dbname=...), not a database URL. "
            "Write postgresql://user:password@host:5432/dbname, or for a file with '=' in its name sqlite:///name."
        )
    if _OPTION_IN_PATH.search(text) or is_secret_option("", text):
        raise InvalidURL(
            "a bare path takes no options. Write sqlite:///path?name=value, "
            "or for a file with '?', '&' or '=' in its name sqlite:///name with them as %3F, %26 and %3D."
        )
    return StoreURL("sqlite", database=text)


def _sqlite(place: str, options: dict[str, str], *, is_default: bool) -> StoreURL:
    if place == "/":
        raise InvalidURL("sqlite:/// names no file. Write sqlite:///path/to/file.db, or sqlite:// for one in memory.")
    if place and not place.startswith("/"):
        raise InvalidURL(
            "an SQLite URL has no host. Write three slashes before a relative path (sqlite:///data/x.db), "
            "four before an absolute one (sqlite:////srv/x.db), and sqlite:///:memory: for one in memory."
        )
    path = _file(place[1:], "path") or ":memory:"
    return StoreURL("sqlite", database=path, options=options, is_default=is_default)


def _network(scheme: str, place: str, query: str) -> StoreURL:
    if "@" in query:
        # Else 'user:p@ss?word@host' would send half of the password to the host 'ss'.
        raise InvalidURL("an '@' after a '?'. Write a '?' in the password as %3F, and an '@' in an option as %40.")
    user, _, place = place.rpartition("@")
    username, password = _user(user)
    authority, _, path = place.partition("/")
    hosts, options = _hosts(authority), _options(query)
    if scheme in POSTGRES_SCHEMES:
        hosts = _with_host_options(hosts, options)
        if "/" in path:
            raise InvalidURL("a second '/' after the host: a database name has none. Write one that does with %2F.")
    return StoreURL(scheme, username, password, hosts, _path(path, "database name"), options)


def _user(text: str) -> tuple[str | None, str | None]:
    name, colon, password = text.partition(":")
    if "/" in name:
        raise InvalidURL("a raw '/' in the user name, or '@' in the database name. Write them as %2F and %40.")
    # People paste passwords as they are: a '%' that encodes nothing means that nothing is encoded.
    if not _STRAY_PERCENT.search(password):
        password = _decode(password, "password")
    return _decode(name, "user name") or None, password if colon else None


def _file(text: str, part: str) -> str:
    if _USER_IN_PATH.match(text):
        raise InvalidURL(
            "an SQLite or memory URL has no user and no password. "
            "Write postgresql://user:password@host/dbname for a server, or ':' and '@' in a name as %3A and %40."
        )
    return _path(text, part)


def _path(text: str, part: str) -> str:
    if _OPTION_IN_PATH.search(text) or is_secret_option("", text):
        # Else an option, which may be a password, would become part of a name that errors show.
        raise InvalidURL(
            f"an option in the {part}. Begin the options with '?', or write '&', ':' and '=' as %26, %3A and %3D."
        )
    return _decode(text, part)


def _decode(text: str, part: str) -> str:
    if _STRAY_PERCENT.search(text):
        raise InvalidURL(f"a '%' in the {part} is not followed by two hexadecimal digits. Write a plain '%' as %25.")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidURL(f"the {part} is not UTF-8 once percent-decoded. Write a plain '%' as %25.") from None
    _refuse_unsafe(decoded)
    return decoded


# --- hosts ------------------------------------------------------------------------------------


def _hosts(authority: str) -> tuple[Host, ...]:
    if not authority:
        return ()
    texts = authority.split(",")
    hosts = tuple(_host(text) for text in texts)
    if len(hosts) > 1 and any(not name for name, _ in hosts):
        raise InvalidURL("an empty host in the list of hosts. Remove the extra ','.")
    return hosts


def _host(text: str) -> Host:
    if text.startswith("["):
        name, closed, tail = text[1:].partition("]")
        if not closed or (tail and not tail.startswith(":")):
            raise InvalidURL("a '[' begins an IPv6 address that has no ']'. Write it as in [::1]:5432.")
        return _ipv6(_decode(name, "host")), _port(tail[1:]) if tail else None
    name, colon, port = text.partition(":")
    if ":" in port:
        raise InvalidURL("several ':' in a host. Write an IPv6 address in brackets, as in [::1]:5432.")
    return _host_name(_decode(name, "host")), _port(port) if colon else None


def _host_name(name: str) -> str:
    # A ',' that hides behind %2C would become a second host in the driver.
    if "," in name or (name and not _is_socket(name) and not _HOST_NAME.fullmatch(name)):
        raise InvalidURL("the host is neither a name, an address nor a path. Check what stands after the last '@'.")
    return name


def _is_socket(name: str) -> bool:
    # libpq: a directory, or an abstract socket that begins with '@'.
    return name.startswith(("/", "@"))


def _ipv6(text: str) -> str:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        raise InvalidURL("the text in the host's brackets is not an IPv6 address. Write one, as in [::1].") from None
    return text


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise InvalidURL(
            "the port is not a number from 1 to 65535. Fix it, or add the '@' and the host that follow a password."
        )
    return int(text)


def _with_host_options(hosts: tuple[Host, ...], options: dict[str, str]) -> tuple[Host, ...]:
    """Take ``host=`` and ``port=``, which libpq knows as options, into the hosts."""
    named, port = options.pop("host", None), options.pop("port", None)
    if named is not None:
        if hosts:
            raise InvalidURL("the host stands before the '?' and in host= as well. Keep one of them.")
        hosts = tuple(
            (_ipv6(name) if ":" in name and not _is_socket(name) else _host_name(name), None)
            for name in named.split(",")
        )
    return hosts if port is None else _with_ports(hosts or (("", None),), port.split(","))


def _with_ports(hosts: tuple[Host, ...], ports: list[str]) -> tuple[Host, ...]:
    if any(port is not None for _, port in hosts):
        raise InvalidURL("the port stands before the '?' and in port= as well. Keep one of them.")
    if len(ports) not in (1, len(hosts)):
        raise InvalidURL(f"{len(hosts)} hosts but {len(ports)} ports. Give one port, or one for each host.")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return tuple((name, _port(port)) for (name, _), port in zip(hosts, ports, strict=True))


# --- options ----------------------------------------------------------------------------------


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for piece in query.split("&") if query else ():
        name, equals, value = piece.partition("=")
        if not equals or not _OPTION_NAME.fullmatch(name):
            raise InvalidURL("the text after the '?' is not of the form name=value&name=value. Encode '&' as %26.")
        if name in options:
            raise InvalidURL(f"the option {name!r} is given twice. Keep one of them.")
        options[name] = _decode(value, f"option {name!r}")
    return options
