"""The documents and entries that all contenders write and look for, and the tables of the store filled with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2

from benchmarks import raw_sqlite, values
from benchmarks.fill import path_of, settle
from ciris_store_core import open_store
from ciris_store_core.models.paths import path_of as path_of_namespace

LISTED = 100
"""Documents of one user, which a listing returns."""
TAIL = 50
SHORT = 100
"""Entries of the short stream."""
KILOBYTE = 900
"""Characters of the text in a value of about 1 kB."""
MEGABYTE = bytes(range(256)) * 4096

CHATS = ("chats",)
_SENTENCE = "The user asked for a table by the window on Friday evening and prefers to be called in the morning. "


@dataclass(frozen=True)
class Content:
    """Content of a filled store."""

    documents: int
    entries: int
    """Of the long stream."""
    text: int = KILOBYTE
    """Characters of each value's text."""


def user(number: int) -> tuple[str, ...]:
    """Return the namespace of a user."""
    return ("users", f"u{number:07}")


def document_key(number: int) -> tuple[tuple[str, ...], str]:
    """Return namespace and key of a document of a filled store."""
    return user(number // LISTED), f"d{number % LISTED:02}"


def value(number: int, text: int = KILOBYTE) -> dict[str, Any]:
    """Return the value of a document or entry."""
    return {"name": f"note {number}", "seen": number, "tags": ["alpha", "beta"], "text": prose(text)}


def prose(characters: int) -> str:
    """Return so many characters of words: one long token would be rare, and is what detection looks at longest."""
    return (_SENTENCE * (characters // len(_SENTENCE) + 1))[:characters]


_VALUE = """'{{"name":"note ' || i || '","seen":' || i || ',"tags":["alpha","beta"],"text":"{text}"}}'"""

_FILL = """
INSERT INTO documents (path, key, revision, created_at, updated_at, format, body)
{documents} SELECT '{users}' || 'u' || {user} || '{end}', 'd' || {key}, 1, {now}, {now}, 'json', {value}
FROM {numbers_of_documents};

INSERT INTO streams (number, path, name, first_position, last_position, created_at, updated_at)
VALUES (1, '{chats}', 'long', 1, {long}, {now}, {now}), (2, '{chats}', 'short', 1, {short}, {now}, {now}),
    (3, '{chats}', 'new', 1, 0, {now}, {now});

INSERT INTO stream_entries (stream_number, position, kind, created_at, format, body)
{entries} SELECT 1, i + 1, '', {now}, 'json', {value} FROM {numbers_of_entries};

INSERT INTO stream_entries (stream_number, position, kind, created_at, format, body)
SELECT 2, position, kind, created_at, format, body FROM stream_entries WHERE stream_number = 1 AND position <= {short};
"""

_SQLITE_NUMBERS = "WITH RECURSIVE number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < {size})"
_POSTGRES_NUMBERS = "generate_series(0, {size} - 1) i"


def fill(url: str, content: Content) -> None:
    """Make the tables of the store in an empty database, with documents and two streams."""
    open_store(url).close()
    sqlite = url.startswith("sqlite")
    sizes = {"documents": content.documents, "entries": content.entries}
    numbers = {name: _SQLITE_NUMBERS.format(size=size) if sqlite else "" for name, size in sizes.items()}
    tables = {f"numbers_of_{name}": "number" if sqlite else _POSTGRES_NUMBERS.format(size=size)
              for name, size in sizes.items()}  # fmt: skip
    script = _FILL.format(
        **numbers,
        **tables,
        user=f"printf('%07d', i / {LISTED})" if sqlite else f"lpad((i / {LISTED})::text, 7, '0')",
        key=f"printf('%02d', i % {LISTED})" if sqlite else f"lpad((i % {LISTED})::text, 2, '0')",
        users=path_of_namespace(("users",)),
        chats=path_of_namespace(CHATS),
        end=path_of_namespace(("",)),
        now=str(raw_sqlite.micros(values.END)) if sqlite else f"timestamptz '{values.END.isoformat()}'",
        value=_VALUE.format(text=prose(content.text)),
        long=content.entries,
        short=SHORT,
    )
    if sqlite:
        _fill_sqlite(path_of(url), script)
    else:
        _fill_postgres(url, script)


def _fill_sqlite(path: str, script: str) -> None:
    db = raw_sqlite.connect(path)
    db.execute("PRAGMA synchronous = OFF")  # here only: nothing of this is measured
    db.executescript(f"BEGIN;\n{script}\nCOMMIT;")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _fill_postgres(url: str, script: str) -> None:
    db = psycopg2.connect(url)
    db.autocommit = True
    with db.cursor() as cursor:
        cursor.execute(script)
        cursor.execute("SELECT setval(pg_get_serial_sequence('streams', 'number'), 3)")
    db.close()
    settle(url)
