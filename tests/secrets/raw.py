"""Everything that a database holds, as text, to look for what must not be in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ciris_store_core import Store
from tests.support.pgserver import execute


def everything_in(store: Store, url: str) -> str:
    """All rows of all tables; of an SQLite file all bytes, its log included."""
    if url.startswith("sqlite:"):
        file = Path(url.removeprefix("sqlite:///").partition("?")[0])
        return "".join(each.read_bytes().decode("latin-1") for each in file.parent.glob(f"{file.name}*"))
    if url.startswith("memory:"):
        backend: Any = store._backend
        return repr(backend._opened().committed)
    tables = [row[0] for row in execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return "".join(row[0] for table in tables for row in execute(url, f"SELECT t::text FROM {table} t"))
