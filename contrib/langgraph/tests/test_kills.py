from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pgserver import shared_server

PROGRAM = Path(__file__).parent / "kills.py"


def killed(url: str, count: int) -> int:
    done = subprocess.run([sys.executable, PROGRAM, url, str(count)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[1])


def test_every_thread_resumes_on_sqlite(tmp_path: Path) -> None:
    assert killed(f"sqlite:///{tmp_path}/store.db", 20) >= 15


def test_every_thread_resumes_on_postgresql() -> None:
    server = shared_server()
    url = server.create_database()
    assert killed(url, 20) >= 15
    server.drop_database(url)


@pytest.mark.soak
def test_every_one_of_500_threads_resumes(tmp_path: Path) -> None:
    assert killed(f"sqlite:///{tmp_path}/store.db", 500) >= 400
