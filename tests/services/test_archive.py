from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import Corrupt, Task, Thought
from ciris_store_core.errors import ReadOnly, StorageFull
from ciris_store_core.services import ArchiveEntry, read_archive
from ciris_store_core.services.archive import Archive

TASK = Task(task_id="t", channel_id="c", description="a\nb \u2028 é", metadata={"n": [1, 1.0, True, None]})
THOUGHT = Thought(thought_id="h", source_task_id="t", content="x", context=None)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    with Archive(tmp_path / "new" / "folder", "a.jsonl") as archive:
        assert archive.path is None
        archive.write("old", [TASK])
        archive.write("old", [])
        archive.write("gone", [THOUGHT, TASK])
        path = archive.path
    assert path is not None and archive.path is None and len(path.read_bytes().splitlines()) == 3
    assert list(read_archive(path)) == [
        ArchiveEntry("old", TASK), ArchiveEntry("gone", THOUGHT), ArchiveEntry("gone", TASK),
    ]  # fmt: skip


def test_only_the_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Archive(tmp_path / "new", "a.jsonl") as archive:
            archive.write("old", [TASK])
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "a.jsonl").stat().st_mode & 0o777 == 0o600


def test_nothing_is_kept_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Archive(None, "a.jsonl") as archive:
        archive.write("old", [TASK])
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    with Archive(tmp_path, "a.jsonl") as archive, pytest.raises(ReadOnly, match=r"a\.jsonl.*File exists"):
        archive.write("old", [TASK])
    assert (tmp_path / "a.jsonl").read_text() == "mine"


def test_it_is_on_the_disk_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with Archive(tmp_path, "a.jsonl") as archive:
        archive.write("old", [TASK])
        assert len(synced) == 2  # The folder, for the name; then the file.
        archive.write("old", [TASK])
        assert len(synced) == 3


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, ReadOnly)]
)
def test_half_a_line_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    write = os.write

    def half(file: int, content: Any) -> int:
        if len(content) < 100:
            raise OSError(code, os.strerror(code))
        return write(file, content[: len(content) // 2])

    with Archive(tmp_path, "a.jsonl") as archive:
        archive.write("old", [TASK])
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", half)
            with pytest.raises(kind, match="nothing of this batch was deleted"):
                archive.write("old", [THOUGHT])
        archive.write("old", [THOUGHT])
    assert [entry.record for entry in read_archive(tmp_path / "a.jsonl")] == [TASK, THOUGHT]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"reason": "x", "kind": "node", "record": {}}', '{"kind": "task"}', '"x"']
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with Archive(tmp_path, "a.jsonl") as archive:
        archive.write("old", [TASK])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(Corrupt, match="line 2 of"):
        list(read_archive(tmp_path / "a.jsonl"))
