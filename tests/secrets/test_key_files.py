"""Files of keys: nothing is lost when several add at the same time, and no other user can read them."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ciris_store_core import KeyRing
from ciris_store_core.errors import SecretKeyError
from ciris_store_core.secrets.key_files import add_to_key_file, read_key_file
from ciris_store_core.secrets.keys import new_key


def test_key_files(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first, second = new_key(), new_key()
    add_to_key_file(file, first)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    add_to_key_file(file, second)
    assert KeyRing.from_file(file).ids == KeyRing([second, first]).ids
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys", "keys.lock"]
    for mode in (0o640, 0o604, 0o660, 0o644):
        file.chmod(mode)
        with pytest.raises(SecretKeyError, match="others may read"):
            KeyRing.from_file(file)
        with pytest.raises(SecretKeyError, match="others may read"):
            add_to_key_file(file, first)
    with pytest.raises(SecretKeyError, match="cannot be read"):
        read_key_file(tmp_path / "none")
    with pytest.raises(SecretKeyError, match="cannot be read"):
        read_key_file(tmp_path)


def test_a_key_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    add_to_key_file(file, new_key())
    before = file.read_text()

    def fail(handle: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("ciris_store_core.secrets.key_files.os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        add_to_key_file(file, new_key())
    assert file.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys", "keys.lock"]


ADD = """
import sys
from ciris_store_core.cli.app import app
for _ in range(int(sys.argv[2])):
    app(["key", "new", "--file", sys.argv[1], "--json"], standalone_mode=False)
"""


def test_four_processes_add_keys_at_once_and_none_is_lost(tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "keys"
    link.symlink_to(file)
    command = [sys.executable, "-c", ADD, str(link), "10"]
    adding = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [found for process in adding for found in re.findall(r'"key_id": "(\w+)"', process.communicate()[0])]
    assert [process.returncode for process in adding] == [0] * 4 and len(told) == 40
    assert {*KeyRing.from_file(file).ids} == {*told}
    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_size_loses_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first, *rest = (new_key() for _ in range(2500))  # More than 64 KiB.
    file.write_text("\n".join([first, *rest]))
    file.chmod(0o600)
    newest = new_key()
    add_to_key_file(file, newest)
    assert KeyRing.from_file(file).ids == KeyRing([newest, first, *rest]).ids
    file.write_text("# too large\n" * 100_000)
    for attempt in (lambda: add_to_key_file(file, newest), lambda: KeyRing.from_file(file)):
        with pytest.raises(SecretKeyError, match="larger than 1 MiB"):
            attempt()
    assert file.stat().st_size == 1_200_000


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "keys.new").write_text("half a k")
    key = new_key()
    add_to_key_file(tmp_path / "keys", key)
    assert KeyRing.from_file(tmp_path / "keys").ids == KeyRing(key).ids
    assert not (tmp_path / "keys.new").exists()


def test_links_are_followed_to_the_file_and_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real / "keys")  # Leads nowhere yet.
    first, second = new_key(), new_key()
    add_to_key_file(link, first)
    add_to_key_file(link, second)
    assert link.is_symlink() and KeyRing.from_file(real / "keys").ids == KeyRing([second, first]).ids
