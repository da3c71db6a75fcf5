"""Measures starts and memory by running ``start.py`` over and over."""

from __future__ import annotations

import compileall
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.databases import Place
from benchmarks.measure import Series, in_turns
from ciris_store_core import open_store

NAMES = {"raw": "raw driver", "store": "store", "orm": "SQLAlchemy ORM", "langgraph": "LangGraph store"}
STORES = 20


def cold_start_new(place: Place, rounds: int) -> Series:
    """Import, open and make the schema of a new database. The ORM has no schema of its own to make."""
    ddl = _ddl(place.name)
    turns = {NAMES[name]: _opening(name, place.new_url, ddl) for name in ("raw", "store", "langgraph")}
    return in_turns(turns, rounds, 1)


def cold_start(place: Place, rounds: int) -> Series:
    """Import and open a database whose schema is there, and read from it."""
    url, foreign = place.new_url(), place.new_url()
    open_store(url).close()
    _run("open", "langgraph", foreign)
    turns = {NAMES[name]: _opening(name, lambda: url, "") for name in ("raw", "store", "orm")}
    turns[NAMES["langgraph"]] = _opening("langgraph", lambda: foreign, "")
    return in_turns(turns, rounds, 1)


def _opening(name: str, url: Callable[[], str], ddl: str) -> Callable[[int], float]:
    return lambda calls: float(_run("open", name, url(), ddl)["seconds"])


def memory(place: Place, rounds: int) -> dict[str, float]:
    """Bytes that each further open store takes, each on a database of its own where that is a file."""
    shared = place.new_url()
    open_store(shared).close()
    urls = [shared] * (STORES + 1)
    if place.name == "sqlite":
        urls = [place.new_url() for _ in range(STORES + 1)]
        for url in urls:
            open_store(url).close()
    return {
        NAMES[name]: median(_run("memory", name, " ".join(urls))["bytes"] for _ in range(max(1, rounds // 5)))
        for name in ("raw", "store", "orm")
    }


def light_import(rounds: int) -> tuple[float, bool]:
    """Seconds of ``import ciris_store_core``, and whether it left pydantic and the drivers alone."""
    runs = [_run("import", "store", "-") for _ in range(rounds)]
    return median(run["seconds"] for run in runs), all(run["light"] for run in runs)


@cache
def _compile_ours() -> None:
    """As an installer does with every package that is not editable."""
    for package in ("ciris_store_core", "ciris_store_sqlite", "ciris_store_postgres"):
        compileall.compile_dir(str(resources.files(package)), quiet=1)


def _run(what: str, name: str, url: str, stdin: str = "") -> dict[str, Any]:
    _compile_ours()
    command = [sys.executable, str(Path(__file__).with_name("start.py")), what, name, url]
    answer = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _ddl(database: str) -> str:
    """The schema as one script, as a programmer of plain SQL keeps it."""
    folder = resources.files(f"ciris_store_{database}") / "migrations"
    schema = "public." if database == "postgres" else ""
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return "\n".join(re.sub(r"\{([a-z]\w*)\}", rf"{schema}\1", file.read_text()) for file in files)
