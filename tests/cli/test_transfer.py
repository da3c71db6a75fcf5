"""copy, export, import, backup and restore from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ciris_store_core import open_store
from ciris_store_core.cli import Exit
from ciris_store_core.transfer import digest_store
from tests.cli.conftest import Command
from tests.transfer.conftest import Stores, fill

PASSWORD = "correct-horse-7"


@pytest.fixture
def source(stores: Stores, kind: str) -> str:
    """The URL of a full store, which stays open."""
    url = stores.url(kind)
    fill(stores.open(url))
    return url


def test_copy_there_and_back(command: Command, stores: Stores, source: str) -> None:
    there, back = stores.url("postgres"), stores.url("sqlite")
    first = command.json("copy", source, there)
    second = command.json("copy", there, back)
    assert first["verified"] and first["records"] > 100
    assert first["kinds"] == second["kinds"]
    with open_store(source) as one, open_store(back) as other:
        assert digest_store(one) == digest_store(other)
    assert command("copy", source, there) == Exit.FAILED
    assert "not empty" in command.err and command.err.count("\n") == 1


def test_export_and_import(command: Command, stores: Stores, source: str) -> None:
    target = stores.url("sqlite")
    assert command("export", "x.gz", source) == Exit.OK
    assert "tasks" in command.out and "secrets" not in command.out
    assert command("export", "x.gz", source) == Exit.USAGE
    assert "exists" in command.err
    assert command.json("export", "x.gz", source, "--secrets", "--overwrite")["kinds"]["secrets"]["count"] == 2
    assert command.json("import", "x.gz", target)["verified"]
    assert command("import", "x.gz", target) == Exit.FAILED


def test_backup_and_restore(command: Command, stores: Stores, source: str, kind: str) -> None:
    made = command.json("backup", "b", source)
    assert made["format"] == ("database" if kind == "sqlite" else "portable")
    assert command("backup", "b", source) == Exit.USAGE
    target = stores.url("sqlite")
    assert command("restore", "b", target) == Exit.OK
    assert "verified" in command.out
    assert command("restore", "b", target) == Exit.FAILED
    assert command("restore", "gone", target) == Exit.USAGE


def test_a_damaged_file_has_the_code_of_one(command: Command, stores: Stores, source: str, tmp_path: Path) -> None:
    command("export", "x.jsonl", source)
    lines = (tmp_path / "x.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "x.jsonl").write_text("".join([*lines[:7], "{\n", *lines[7:]]))
    assert command("import", "x.jsonl", stores.url("sqlite")) == Exit.BAD_DATABASE
    assert command.err.startswith("error: line 8 of x.jsonl is no record")
    (tmp_path / "text").write_text("hello\n" * 200)
    for name in ("import", "restore"):
        assert command(name, "text", stores.url("sqlite")) == Exit.BAD_DATABASE


@pytest.mark.parametrize("name", ["import", "restore"])
def test_a_bad_file_makes_no_store(command: Command, source: str, name: str, tmp_path: Path) -> None:
    command("export", "x.jsonl", source)
    whole = (tmp_path / "x.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(whole[:-1]))
    (tmp_path / "text").write_text("hello\n" * 200)
    (tmp_path / "sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    for bad in ("cut", "text", "sqlite"):
        assert command(name, bad, "sqlite:///new/store.db") == Exit.BAD_DATABASE, bad
        assert not (tmp_path / "new").exists(), bad


def test_what_cannot_be_left_out_is_refused(command: Command, stores: Stores, source: str) -> None:
    assert command("copy", source, stores.url("sqlite"), "--without", "wat") == Exit.USAGE
    assert "there is nothing called 'wat' to leave out. Use one of audit," in command.err


def test_no_password_is_shown(command: Command, stores: Stores) -> None:
    url = stores.url("sqlite")
    fill(stores.open(url))
    secret = f"postgresql://u:{PASSWORD}@127.0.0.1:1/d"
    for arguments in (("copy", url, secret), ("copy", secret, url), ("backup", "b", secret), ("doctor", secret)):
        assert command(*arguments) == Exit.UNAVAILABLE
        assert command.err.startswith("error: ") and PASSWORD not in command.out + command.err


def test_ctrl_c_ends_a_copy_that_then_goes_on(command: Command, stores: Stores, tmp_path: Path) -> None:
    source, target = stores.url("sqlite"), stores.url("sqlite")
    fill(stores.open(source), 3000)
    program = [sys.executable, "-m", "ciris_store_core.cli", "copy", source, target]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    with open_store(target) as watched:
        while watched.graph.count() == 0 and process.poll() is None:
            pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    report = command.json("copy", source, target)
    assert report["resumed"] and report["verified"]
