"""Exports to files, and imports from them."""

from __future__ import annotations

import gzip
import json
import random
import stat
from pathlib import Path

import pytest

from ciris_store_core import Conflict, Corrupt, InvalidArgument, NotSupported, Store
from ciris_store_core.errors import NotADatabase
from ciris_store_core.transfer import (
    check_dump,
    digest_store,
    dump_reader,
    export_store,
    import_store,
    read_header,
    store_reader,
)
from tests.transfer.conftest import Stores, fill, stop_at
from tests.transfer.test_copy import everything

SECRETS = {"secrets", "secret_access"}


@pytest.fixture(params=["x.jsonl", "x.jsonl.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.fixture
def source(stores: Stores) -> Store:
    store = stores.new("memory")
    fill(store)
    return store


def test_what_is_exported_can_be_imported_anywhere(full: Store, stores: Stores, path: Path) -> None:
    exported = export_store(full, path, secrets=True)
    assert exported.kinds == check_dump(path).kinds == digest_store(full)
    for kind in ("memory", "sqlite", "postgres"):
        target = stores.new(kind)
        assert import_store(path, target).kinds == exported.kinds
        assert everything(target) == everything(full)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_exported_only_where_that_is_wanted(source: Store, stores: Stores, path: Path) -> None:
    assert set(digest_store(source)) - set(export_store(source, path).kinds) == SECRETS
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert b"ciphertext" not in text
    assert read_header(path).without == ("secrets", "secret_access")
    target = stores.new("memory")
    import_store(path, target)
    assert set(digest_store(source)) - set(digest_store(target)) == SECRETS


def test_the_file_is_lines_of_json(source: Store, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    export_store(source, path)
    first, *lines, last = map(json.loads, path.read_text().splitlines())
    assert first["header"]["format"] == "ciris-store" and first["header"]["backend"] == "memory"
    assert {line["kind"] for line in lines} == set(last["end"]) - {"header"}
    assert last["end"]["tasks"].startswith("21:")


def test_an_import_that_was_stopped_goes_on(
    source: Store, stores: Stores, path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_reader, "RECORDS_PER_CHUNK", 7)
    export_store(source, path)
    steps = sum(1 for _ in dump_reader.DumpReader(path, read_header(path)).chunks(None))
    target = stores.new(kind)
    for further in (3, 9, 1):
        with pytest.raises(KeyboardInterrupt):
            import_store(path, target, on_step=stop_at(steps + further))
    report = import_store(path, target)
    assert report.resumed and report.verified and report.kinds == digest_store(target)
    with pytest.raises(Conflict, match="not empty"):
        import_store(path, target)


def test_a_file_that_is_there_is_replaced_only_on_demand(source: Store, path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(InvalidArgument, match="exists"):
        export_store(source, path)
    assert path.read_text() == "precious"
    export_store(source, path, overwrite=True)
    assert check_dump(path).records > 100
    with pytest.raises(InvalidArgument, match="there is no folder"):
        export_store(source, path.parent / "no" / "x")


def test_an_export_that_fails_leaves_nothing(source: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_reader, "FIRST_PAGE", 5)
    with pytest.raises(KeyboardInterrupt):
        export_store(source, path, on_step=stop_at(4))
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == []


def test_no_flipped_bit_gets_in(source: Store, stores: Stores, path: Path) -> None:
    export_store(source, path, secrets=True)
    whole = path.read_bytes()
    wanted = digest_store(source)
    chance = random.Random(7)
    for _ in range(100):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        target = stores.new("memory")
        try:
            import_store(path, target)
        except (Corrupt, NotADatabase, NotSupported):
            assert target.is_empty()
        else:  # in what gzip does not use
            assert path.suffix == ".gz" and digest_store(target) == wanted


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(source: Store, stores: Stores, path: Path, part: float) -> None:
    export_store(source, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    target = stores.new("memory")
    with pytest.raises((Corrupt, NotADatabase)):
        import_store(path, target)
    assert target.is_empty()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"kind": "tasks", "record": {"task_id": "x"}}', "channel_id"),
        ('{"kind": "tasks", "record": {"task_id": "x", "channel_id": "c", "description": "d", "wat": 1}}', "wat"),
        ('{"kind": "tasks", "record": {"task_id": "a\\u0000b", "channel_id": "c", "description": "d"}}', "NUL"),
        ('{"kind": "tasks", "record": {"task_id": "%s", "channel_id": "c", "description": "d"}}' % ("x" * 256), "255"),
        ('{"kind": "wat", "record": {}}', "no kind 'wat'"),
        ("[]", "no record"),
        ("{", "no record"),
        ("", "no record"),
    ],
)
def test_a_bad_line_is_named(source: Store, stores: Stores, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    export_store(source, path)
    lines = path.read_text().splitlines()
    lines.insert(4, line)
    path.write_text("\n".join(lines) + "\n")
    target = stores.new("memory")
    with pytest.raises(Corrupt, match=f"line 5 of .*{message}"):
        import_store(path, target)
    assert target.is_empty()


def test_other_files_are_told_apart(stores: Stores, tmp_path: Path) -> None:
    target = stores.new("memory")
    path = tmp_path / "x"
    for text in (
        "hello\n",
        '{"header": {"format": "ciris-store", "format_version": 1}}\n',
        '{"header": {"format": "other"}}\n',
        "[]\n",
        "",
    ):
        path.write_text(text)
        with pytest.raises(NotADatabase, match="no export of a store"):
            import_store(path, target)
    path.write_text('{"header": {"format": "ciris-store", "format_version": 99}}\n')
    with pytest.raises(NotSupported, match="format 99, and this program reads 1"):
        import_store(path, target)
    with pytest.raises(InvalidArgument, match="there is no file"):
        import_store(tmp_path / "gone", target)
    with pytest.raises(InvalidArgument, match="is a folder"):
        import_store(tmp_path, target)
