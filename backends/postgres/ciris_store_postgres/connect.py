"""Connector: options from a URL, connections from the driver, and errors that explain a failed login."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import extensions

from ciris_store_core.errors import AccessDenied, InvalidURL, StoreError, Unavailable
from ciris_store_core.url import OptionReader, StoreURL
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.errors import from_sqlstate
from ciris_store_postgres.probe import Answer, Refusal, probe

_DEFAULT_PORT = 5432
_PROBE_SECONDS = 1.0
# A database that every server has; used to find out whether the database of the URL exists.
_MAINTENANCE_DATABASE = "postgres"
_DATABASE_RIGHTS = "SELECT has_database_privilege(datname, 'CONNECT') FROM pg_catalog.pg_database WHERE datname = %s"

# Options that are passed to libpq unchanged. `options` is not among them, since transaction poolers refuse it, and
# neither is anything that the URL holds elsewhere (host, port, user, password, dbname).
_LIBPQ_TEXT = (
    "hostaddr",
    "passfile",
    "service",
    "require_auth",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "krbsrvname",
    "gsslib",
)
_LIBPQ_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}


# Schemas that PostgreSQL, CockroachDB and Citus reserve.
_SERVERS_OWN = ("information_schema", "crdb_internal", "citus", "citus_internal")


class _Keywords(dict[str, Any]):
    """Keyword arguments of the driver. They hold the password, so ``repr`` hides them."""

    def __repr__(self) -> str:
        return "<connection keywords>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """Options of a ``postgresql://`` URL, parsed once."""

    keywords: dict[str, Any]
    """Arguments for the driver. They hold the password; ``repr`` hides them."""
    pool_size: int = 10
    """Maximum number of connections of one store."""
    pool_timeout: float = 30.0
    """Seconds to wait for a connection of the pool."""
    idle_check: float = 30.0
    """Seconds of idleness after which a connection is checked before use."""
    max_lifetime: float = 3600.0
    """Seconds after which a connection is replaced; 0 for never."""
    operation_timeout: float = 60.0
    """Seconds after which the connection of an operation without an answer is shut down; 0 for never."""
    migration_timeout: float = 60.0
    """Seconds to wait, when the store is opened, while another process migrates the schema."""
    schema: str = "public"
    """Schema of the tables; a safe identifier."""
    migrate: bool = True
    """True if the URL allows migrations when the store is opened."""
    create: bool = True
    """True if the URL allows a new store in an empty schema."""

    @classmethod
    def from_url(cls, url: StoreURL) -> ConnectOptions:
        """Return the options of ``url``. Raise ``InvalidURL`` for an option that is unknown or malformed."""
        reader = OptionReader(url.options)
        options = cls.read(url, reader)
        reader.finish()
        return options

    @classmethod
    def read(cls, url: StoreURL, reader: OptionReader) -> ConnectOptions:
        """Return the same for a caller that reads further options from ``reader`` and then finishes it."""
        return cls(
            keywords=_keywords(url, reader),
            pool_size=reader.integer("pool_size", 10, min=1, max=10_000),
            pool_timeout=reader.number("pool_timeout", 30.0, min=0),
            idle_check=reader.number("idle_check", 30.0, min=0),
            max_lifetime=reader.number("max_lifetime", 3600.0, min=0),
            operation_timeout=reader.number("operation_timeout", 60.0, min=0),
            migration_timeout=reader.number("migration_timeout", 60.0, min=0),
            schema=_schema(reader),
            migrate=reader.boolean("migrate", True),
            create=reader.boolean("create", True),
        )


class Connector:
    """Opener of connections. Pass ``connector.open`` to a pool. Thread-safe."""

    def __init__(self, options: ConnectOptions) -> None:
        self._keywords = options.keywords
        # Once a login has succeeded, later failures are not blamed on the password.
        self._proven = False

    def open(self) -> PooledConnection:
        """Open one connection with autocommit, UTF-8, JSON as text, times in UTC and ``bytea`` as bytes.

        Raises:
            Unavailable: No server can be reached, or none accepts writes.
            AccessDenied: The server refuses the login.
            InvalidURL: The database does not exist.
        """
        began = time.monotonic()
        try:
            raw = _connect(self._keywords)
        except psycopg2.Error as exc:
            # The frames of the traceback hold the password as a local, and error reports show locals.
            cause = exc.with_traceback(None)
        else:
            self._proven = True
            return PooledConnection(raw)
        # A refusal comes at once. After a slow failure the server hangs, and a probe would only prolong the wait.
        hangs = time.monotonic() - began >= _PROBE_SECONDS
        raise (_unavailable(self._keywords, cause) if hangs else self._explain(cause)) from cause

    def _explain(self, cause: psycopg2.Error) -> StoreError:
        answer = _ask(self._keywords)
        if isinstance(answer, Refusal):
            if answer.state == "3D000":
                return _no_database(self._keywords)
            return from_sqlstate(answer.state, answer.primary)
        if answer is Answer.WANTS_PASSWORD and not self._proven:
            return _explain_login(self._keywords, cause)
        if answer is Answer.ACCEPTS and "target_session_attrs" in self._keywords:
            wanted = self._keywords["target_session_attrs"]
            return Unavailable(f"no server of the URL is {wanted}. Promote one, or wait for the failover.")
        return _unavailable(self._keywords, cause)


# --- the driver's arguments ---------------------------------------------------------------------


def _keywords(url: StoreURL, reader: OptionReader) -> _Keywords:
    # These calls can raise, and error reports show locals: the password enters a local of this frame only afterwards.
    options = {**_hosts(url), **_libpq_options(url, reader)}
    keywords = _Keywords(client_encoding="UTF8", user=url.username, password=url.password, dbname=url.database or None)
    keywords.update(options)
    return _Keywords({name: value for name, value in keywords.items() if value is not None})


def _schema(reader: OptionReader) -> str:
    schema = reader.identifier("schema", "public")
    if schema.startswith("pg_") or schema in _SERVERS_OWN:
        raise InvalidURL(
            f"the schema {schema!r} belongs to the server. "
            f"Choose another name, one that does not begin with pg_ and is none of {', '.join(_SERVERS_OWN)}."
        )
    return schema


def _hosts(url: StoreURL) -> dict[str, str | None]:
    names = ",".join(name for name, _ in url.hosts)
    ports = [port for _, port in url.hosts]
    return {
        "host": names or None,
        "port": ",".join("" if port is None else str(port) for port in ports) if any(ports) else None,
    }


def _libpq_options(url: StoreURL, reader: OptionReader) -> dict[str, Any]:
    texts: dict[str, Any] = {name: reader.text(name, None) for name in _LIBPQ_TEXT}
    choices = {name: reader.choice(name, None, valid) for name, valid in _LIBPQ_CHOICES.items()}
    if choices["target_session_attrs"] is None and len(url.hosts) > 1:
        choices["target_session_attrs"] = "read-write"
    return {
        **texts,
        **choices,
        "application_name": reader.text("application_name", "ciris-store"),
        "connect_timeout": reader.integer("connect_timeout", 10, min=1, max=3600),
        "keepalives": int(reader.boolean("keepalives", True)),
        "keepalives_idle": reader.integer("keepalives_idle", 30, min=0, max=86400),
        "keepalives_interval": reader.integer("keepalives_interval", 10, min=0, max=86400),
        "keepalives_count": reader.integer("keepalives_count", 3, min=0, max=127),
        "tcp_user_timeout": reader.integer("tcp_user_timeout", 30_000, min=0, max=86_400_000),
    }


def at_host(keywords: dict[str, Any], host: str, port: int) -> dict[str, Any]:
    """Return the arguments for another server, with the login and options of the first."""
    chosen = ("host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts")
    return _Keywords({name: value for name, value in keywords.items() if name not in chosen}, host=host, port=str(port))


# --- values -------------------------------------------------------------------------------------


def _utc(value: Any, _: extensions.cursor) -> datetime | None:
    # Twice as fast as the driver's own conversion, and correct in every time zone that a session may be set to.
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return _utc_at_the_edge(value)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _utc_at_the_edge(value: str) -> datetime:
    """Return a time whose year is 1 BC or 10000 in the session's time zone, although its year in UTC is valid."""
    year, _, rest = value.removesuffix(" BC").partition("-")
    # The calendar repeats every 400 years, so the year 2000 stands in for the years 0 and 10000.
    shift = {"0001": -2000, "10000": 8000}.get(year)
    if shift is None:
        raise psycopg2.DataError("a time outside of the years 1 to 9999")
    moment = datetime.fromisoformat(f"2000-{rest}").astimezone(UTC)
    return moment.replace(year=moment.year + shift)


def _bytes(value: Any, cursor: extensions.cursor) -> bytes | None:
    if value is None:
        return None
    if value.startswith("\\x"):
        return bytes.fromhex(value[2:])
    return bytes(psycopg2.BINARY(value, cursor))  # the server, database or role sets bytea_output=escape


_TYPES = (
    extensions.new_type((114, 3802), "JSON_TEXT", extensions.UNICODE),
    extensions.new_type((1184,), "TIMESTAMPTZ_UTC", _utc),
    extensions.new_type((17,), "BYTES", _bytes),
)


def _connect(keywords: dict[str, Any]) -> extensions.connection:
    raw: extensions.connection = psycopg2.connect(**keywords)
    raw.autocommit = True
    for kind in _TYPES:
        extensions.register_type(kind, raw)
    return raw


# --- explanation of failures --------------------------------------------------------------------


def _ask(keywords: dict[str, Any]) -> Answer | Refusal | None:
    """Return what the first server that answers replies to the login."""
    sslmode = keywords.get("sslmode", "prefer")
    # The probe checks no certificate, so it sends nothing where the URL demands that check. A login needs a user name.
    if sslmode.startswith("verify-") or "user" not in keywords:
        return None
    tls = sslmode not in ("disable", "allow")
    login = {"user": keywords["user"], "database": keywords.get("dbname", keywords["user"])}
    for host, port in _addresses(keywords):
        answer = probe(host, port, tls=tls, timeout=_PROBE_SECONDS, **login)
        if answer is not None:
            return answer
    return None


def _addresses(keywords: dict[str, Any]) -> list[tuple[str, int]]:
    hosts = keywords.get("hostaddr", keywords.get("host", "")).split(",")
    ports = keywords.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [(host, int(port or _DEFAULT_PORT)) for host, port in zip(hosts, ports, strict=False) if host]


def _explain_login(keywords: dict[str, Any], cause: psycopg2.Error) -> StoreError:
    """Explain a failure after the server asked for a password: a wrong password, or a database that refuses."""
    may_connect = _database_rights(keywords)
    if may_connect is None:
        if "password" not in keywords:
            return AccessDenied("the server asks for a password. Put one into the URL, or name a passfile in it.")
        return from_sqlstate("28P01")
    if not may_connect:
        return _no_database(keywords)
    if not may_connect[0][0]:
        return AccessDenied(f"the database user may not connect to {keywords.get('dbname')!r}. GRANT CONNECT to it.")
    return _unavailable(keywords, cause)


def _database_rights(keywords: dict[str, Any]) -> list[tuple[bool]] | None:
    """Return a row with the user's right to connect, no row if the database does not exist, None if the login fails."""
    try:
        raw = _connect(_Keywords(keywords, dbname=_MAINTENANCE_DATABASE))
    except psycopg2.Error:
        return None
    try:
        with raw.cursor() as cursor:
            cursor.execute(_DATABASE_RIGHTS, (keywords.get("dbname", keywords.get("user")),))
            return cursor.fetchall()
    except psycopg2.Error:
        return None
    finally:
        raw.close()


def _no_database(keywords: dict[str, Any]) -> InvalidURL:
    name = keywords.get("dbname", keywords.get("user"))
    return InvalidURL(f"the database {name!r} does not exist on the server. Create it: createdb {name}")


def _unavailable(keywords: dict[str, Any], cause: psycopg2.Error) -> Unavailable:
    """Return the error with libpq's message. That names hosts, ports and users; a password in it is masked."""
    said = " ".join(str(cause).split())
    password = keywords.get("password")
    shown = said.replace(password, "***") if password else said
    return Unavailable(f"cannot connect to the database ({shown}). Check the URL, and that the server runs.")
