"""Files that try to hang an import, or to use up its memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ciris_store_core import Corrupt, InvalidArgument, open_store
from ciris_store_core.errors import NotADatabase
from ciris_store_core.transfer import check_dump, dump_reader, export_store, import_store, restore_store


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with open_store("memory://") as store:
        export_store(store, tmp_path / "x.jsonl")
    return tmp_path / "x.jsonl"


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open_store("memory://") as store:
        for call in (import_store, restore_store):
            with pytest.raises(InvalidArgument, match="no regular file"):
                call(tmp_path / "pipe", store)
    with pytest.raises(InvalidArgument, match="no regular file"):
        check_dump(tmp_path / "pipe")


@pytest.mark.parametrize("opening", ["[", '{"header":', '{"header": {"format": '])
def test_a_header_of_200_000_brackets(tmp_path: Path, opening: str) -> None:
    (tmp_path / "x").write_text(opening * 200_000 + "\n")
    with pytest.raises(NotADatabase):
        check_dump(tmp_path / "x")


@pytest.mark.parametrize(
    "line", ["[" * 200_000, '{"kind": "tasks", "record": ' + "[" * 200_000, '{"end": ' + "[" * 200_000]
)
def test_a_line_of_200_000_brackets(exported: Path, line: str) -> None:
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(Corrupt, match="line 2"):
        check_dump(exported)


def test_a_header_of_4_gigabytes(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(4 * 2**30)  # Without blocks on the disk.
    with pytest.raises(NotADatabase):
        check_dump(tmp_path / "x")


def test_a_line_without_end(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_reader, "LONGEST_LINE", 2**20)
    header = exported.read_bytes().splitlines(keepends=True)[0]
    with exported.open("wb") as file:
        file.write(header)
        file.truncate(4 * 2**30)
    with pytest.raises(Corrupt, match=r"line 2 .* more than 1048576 bytes"):
        check_dump(exported)
