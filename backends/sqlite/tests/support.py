"""Helpers of this backend's tests: stores without retries, and programs that run in processes of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ciris_store_core import RetryPolicy, Store, open_store

ONCE = RetryPolicy(attempts=1)
"""No retries, so that an error is seen as the backend raised it."""


def url_of(path: Path, **options: object) -> str:
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"sqlite:///{path}" + (f"?{query}" if query else "")


def open_once(path: Path, **options: object) -> Store:
    """Open the store of a file, without retries."""
    return open_store(url_of(path, **options), retry=ONCE)


def beside(path: Path) -> set[str]:
    """Return the endings of the files beside a database that belong to it."""
    return {file.name.removeprefix(path.name) for file in path.parent.glob(f"{path.name}?*")}


def open_files() -> int:
    """Return the number of files that this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


ROOT = Path(__file__).resolve().parents[3]


def start(program: str, *args: object) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with its input and output as pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def output_of(program: str, *args: object, timeout: float = 60) -> str:
    """Run Python code in a process of its own, which must succeed, and return its output."""
    process = start(program, *args)
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return output


def backend_of(store: Store) -> Any:
    return store._backend


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def in_threads(*works: Callable[[], object]) -> None:
    """Run works side by side. Raise the first of their errors, if any."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread is stuck"
    if errors:
        raise errors[0]
