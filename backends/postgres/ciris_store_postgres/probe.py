"""Probe that finds out why a server refuses a login.

The driver gives no SQLSTATE for a connection that could not be made, only text in the server's language. So after a
failure this module sends the first message of the protocol once more and reads the server's answer. It never sends a
password: if the server asks for one, that is the answer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from enum import Enum

_PROTOCOL = 196608
_TLS_REQUEST = struct.pack("!II", 8, 80877103)
_GOODBYE = b"X\x00\x00\x00\x04"
_AUTHENTICATED = b"\x00\x00\x00\x00"
_LARGEST_MESSAGE = 65536


class Answer(Enum):
    """Answer of a server to a login, other than an error."""

    WANTS_PASSWORD = "wants password"
    ACCEPTS = "accepts"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error of the server: its SQLSTATE and its message."""

    state: str
    primary: str


def probe(host: str, port: int, *, user: str, database: str, tls: bool, timeout: float) -> Answer | Refusal | None:
    """Start a login and return the server's answer, or None if there is no answer.

    Args:
        host: A name, an address, or the folder of a unix socket.
        port: The server's port.
        user: The user to log in as.
        database: The database to log in to.
        tls: Use TLS if the server offers it. Its certificate is not checked, since nothing secret is sent.
        timeout: Seconds for each step.
    """
    tls = tls and not host.startswith("/")
    with (
        contextlib.suppress(OSError, struct.error),
        _connect(host, port, timeout) as plain,
        _encrypted(plain, host) if tls else plain as connection,
    ):
        connection.sendall(_startup(user, database))
        return _answer(connection)
    return None


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


def _encrypted(connection: socket.socket, host: str) -> socket.socket:
    connection.sendall(_TLS_REQUEST)
    if _read(connection, 1) != b"S":
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host)


def _startup(user: str, database: str) -> bytes:
    words = ("user", user, "database", database)
    body = b"".join(word.encode() + b"\x00" for word in words) + b"\x00"
    return struct.pack("!II", len(body) + 8, _PROTOCOL) + body


def _answer(connection: socket.socket) -> Answer | Refusal | None:
    while True:
        kind, body = _message(connection)
        if kind == b"E":
            return _refusal(body)
        if kind == b"R" and body != _AUTHENTICATED:
            return Answer.WANTS_PASSWORD
        if kind == b"Z":
            connection.sendall(_GOODBYE)
            return Answer.ACCEPTS


def _message(connection: socket.socket) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", _read(connection, 5))
    if not 4 <= length <= _LARGEST_MESSAGE:
        raise OSError("not a PostgreSQL server")
    return kind, _read(connection, length - 4)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise OSError("the server closed the connection")
        data += piece
    return data


def _refusal(body: bytes) -> Refusal:
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\x00") if field}
    return Refusal(fields.get(b"C", ""), fields.get(b"M", ""))
