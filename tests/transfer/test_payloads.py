"""Documents and streams in copies, exports, imports and backups."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import Conflict, Corrupt, InvalidArgument, SecretsConfig, Store
from ciris_store_core.conformance.factories import T0
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import SecretKeyError
from ciris_store_core.models.documents import DocumentKey
from ciris_store_core.models.streams import StreamInfo
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.transfer import (
    KINDS,
    Tally,
    backup_store,
    copy_store,
    digest_store,
    export_store,
    import_store,
    restore_store,
)
from ciris_store_core.transfer.payload_kinds import DocumentRecord, EntryRecord
from ciris_store_core.validation.payloads import json_payload
from tests.transfer.conftest import Stores

KEY = new_key()
KEYS = ("mine", "yours", "new")
VALUES: list[Any] = [
    {"b": 1, "a": [1.0, "\0", "\ud800é", 10**40, -(2**70), -0.0, 5e-324, None, True], "": {}},
    "\udfff", 1, 1.0, None, [], b"", b"\x00\xff" * 1000,
]  # fmt: skip
"""Values that a store keeps to the bit, and JSON in a file does not."""


def by_copy(source: Store, target: Store, folder: Path) -> None:
    copy_store(source, target)


def by_export(source: Store, target: Store, folder: Path) -> None:
    export_store(source, folder / "export.jsonl", verify=True)
    import_store(folder / "export.jsonl", target)


def by_compressed_export(source: Store, target: Store, folder: Path) -> None:
    export_store(source, folder / "export.jsonl.gz")
    import_store(folder / "export.jsonl.gz", target)


def by_backup(source: Store, target: Store, folder: Path) -> None:
    backup_store(source, folder / "backup")
    restore_store(folder / "backup", target)


WAYS = [by_copy, by_export, by_compressed_export, by_backup]


def write(store: Store, secrets: Any) -> None:
    for number, value in enumerate(VALUES):
        store.documents.put(("d", "é" * 800), f"k{number}" * 300, value, secrets=secrets)
        store.streams.append(("s",), "run", [value], secrets=secrets)
    store.documents.put(("d",), "twice", 1, metadata={"k": 1}, ttl=1000)
    store.documents.put(("d",), "twice", 2, metadata={"k": 2}, ttl=1000)
    store.streams.append(("s",), "popped", list(range(10)))
    store.streams.truncate(("s",), "popped", before=4)
    store.streams.pop(("s",), "popped")


def read(store: Store) -> Any:
    values = [store.documents.get(("d", "é" * 800), f"k{number}" * 300) for number in range(len(VALUES))]
    entries = [*store.streams.read(("s",), "run"), *store.streams.read(("s",), "popped")]
    twice = store.documents.get(("d",), "twice")
    return values, entries, twice, store.streams.info(("s",), "popped")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("secrets", ["plain", "encrypt"])
def test_values_positions_and_revisions_are_kept(
    stores: Stores, kind: str, way: Callable[..., None], secrets: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = SecretsConfig(keys=[KEY])
    source, target = stores.open(stores.url("sqlite"), secrets=config), stores.open(stores.url(kind), secrets=config)
    write(source, secrets)
    way(source, target, tmp_path_factory.mktemp("files"))
    found = read(target)
    assert repr(found) == repr(read(source))
    assert [repr(each.value) for each in found[0]] == [repr(value) for value in VALUES]
    assert found[2].revision == 2
    assert (found[3].first_position, found[3].last_position) == (4, 9)
    assert target.streams.append(("s",), "popped", ["next"]) == [10]
    assert digest_store(source)["documents"] == digest_store(target)["documents"]
    assert digest_store(source)["streams"] != digest_store(target)["stream_entries"]


def test_encrypted_values_are_copied_without_the_key_and_read_with_it(stores: Stores) -> None:
    source = stores.open(stores.url("sqlite"), secrets=SecretsConfig(keys=[KEY]))
    write(source, "encrypt")
    url = stores.url("sqlite")
    with_no_key = stores.open(url)
    copy_store(source, with_no_key)
    with pytest.raises(SecretKeyError):
        read(with_no_key)
    with_no_key.close()
    new = new_key()
    target = stores.open(url, secrets=SecretsConfig(keys=[new, KEY]))
    assert repr(read(target)) == repr(read(source))
    # A rotation binds the values to the store that holds them; the old key is not needed any more.
    target.secrets.rotate()
    again = stores.open(url, secrets=SecretsConfig(keys=[new]))
    assert repr(read(again)) == repr(read(source))
    second = stores.open(stores.url("memory"), secrets=SecretsConfig(keys=[new]))
    copy_store(again, second)
    assert repr(read(second)) == repr(read(source))


def test_a_ciphertext_of_a_store_that_was_not_copied_is_refused(stores: Stores) -> None:
    config = SecretsConfig(keys=[KEY])
    one, other = (stores.open(stores.url("memory"), secrets=config) for _ in range(2))
    for store in (one, other):
        store.documents.put(("d",), "k", "mine", secrets="encrypt")
    with one._backend.session(write=False) as session:
        [stolen] = session.documents.get([DocumentKey(("d",), "k")], None)
    with other._backend.session(write=True) as session:
        [there] = session.documents.get([DocumentKey(("d",), "k")], None)
        assert session.documents.reencrypt(there, stolen.payload)
    with pytest.raises(Corrupt):
        other.documents.get(("d",), "k")
    assert other.secrets.check().corrupt == ["document d/k"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_copied_ciphertext_is_bound_to_its_document(
    stores: Stores, kind: str, way: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = SecretsConfig(keys=[KEY])
    first, source, target = (stores.open(stores.url(each), secrets=config) for each in ("memory", kind, "sqlite"))
    for key in ("mine", "yours"):
        first.documents.put(("d",), key, key, secrets="encrypt")
    copy_store(first, source)
    source.documents.put(("d",), "new", "new", secrets="encrypt")
    way(source, target, tmp_path_factory.mktemp("files"))
    # Readable at once: values of the source, and of the store that the source was copied from.
    assert [target.documents.get(("d",), key).value for key in ("mine", "new")] == ["mine", "new"]  # type: ignore[union-attr]
    for store in (source, target):
        with store._backend.session(write=True) as session:
            found = {each.key: each for each in session.documents.get([DocumentKey(("d",), key) for key in KEYS], None)}
            assert session.documents.reencrypt(found["yours"], found["mine"].payload)
            assert session.documents.reencrypt(found["mine"], found["new"].payload)
        for key in ("yours", "mine"):
            with pytest.raises(Corrupt):
                store.documents.get(("d",), key)
        assert sorted(store.secrets.check().corrupt) == ["document d/mine", "document d/yours"]


def test_existing_documents_and_streams_are_not_overwritten(stores: Stores, kind: str) -> None:
    source, target = stores.new("memory"), stores.new(kind)
    source.streams.append(("s",), "run", [1, 2])
    target.streams.append(("s",), "run", [3])
    with pytest.raises(Conflict):
        copy_store(source, target, into_existing=True)
    assert [each.value for each in target.streams.read(("s",), "run")] == [3]
    copy_store(source, target, into_existing=True, without=["streams"])
    source.documents.put(("d",), "k", 1)
    target.documents.put(("d",), "k", 2)
    with pytest.raises(Conflict):
        copy_store(source, target, into_existing=True, without=["stream_entries"])
    assert target.documents.get(("d",), "k").value == 2  # type: ignore[union-attr]


class Bare:
    """Session of a backend without documents and streams."""

    documents, streams = vars(Session)["documents"], vars(Session)["streams"]


def test_a_source_without_the_capabilities_has_none() -> None:
    for name in ("documents", "streams", "stream_entries"):
        [read_page] = KINDS[name].streams.values()
        assert read_page(Bare(), None, 10).items == []  # type: ignore[arg-type]


DOCUMENT = {
    "namespace": ["d"], "key": "k", "format": "json", "text": "1", "revision": 1, "created_at": T0.isoformat(),
    "updated_at": T0.isoformat(),
}  # fmt: skip
ENTRY = {"namespace": ["s"], "name": "run", "position": 1, "format": "json", "text": "1", "created_at": T0.isoformat()}
STREAM = {
    "namespace": ["s"], "name": "run", "length": 1, "first_position": 1, "last_position": 1,
    "created_at": T0.isoformat(), "updated_at": T0.isoformat(),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "plain", "change"),
    [
        ("documents", DOCUMENT, {"namespace": []}),
        ("documents", DOCUMENT, {"key": "a\0"}),
        ("documents", DOCUMENT, {"key": "k" * 3000}),
        ("documents", DOCUMENT, {"revision": 0}),
        ("documents", DOCUMENT, {"ttl": 1.0}),
        ("documents", DOCUMENT, {"text": "{"}),
        ("documents", DOCUMENT, {"text": "[" * 500 + "]" * 500}),
        ("documents", DOCUMENT, {"text": "NaN"}),
        ("documents", DOCUMENT, {"text": None}),
        ("documents", DOCUMENT, {"data": "AA=="}),
        ("documents", DOCUMENT, {"text": None, "data": "!"}),
        ("documents", DOCUMENT, {"format": "bytes"}),
        ("documents", DOCUMENT, {"format": "encrypted", "text": None, "data": "AA=="}),
        ("documents", DOCUMENT, {"format": "else"}),
        ("documents", DOCUMENT, {"media_type": "text/plain"}),
        ("documents", DOCUMENT, {"secret_refs": [""]}),
        ("stream_entries", ENTRY, {"position": 0}),
        ("stream_entries", ENTRY, {"id": ""}),
        ("stream_entries", ENTRY, {"kind": "k" * 300}),
        ("stream_entries", ENTRY, {"name": ""}),
        ("streams", STREAM, {"length": 2}),
        ("streams", STREAM, {"first_position": 0, "length": 2}),
    ],
)
def test_records_of_a_file_are_checked(kind: str, plain: dict[str, Any], change: dict[str, Any]) -> None:
    model, check = KINDS[kind].model, KINDS[kind].check
    assert check is not None
    assert check(model.from_json(json.dumps(plain))) is not None
    with pytest.raises(InvalidArgument):
        check(model.from_json(json.dumps({**plain, **change})))


def test_the_copy_that_filters_see_is_made_anew() -> None:
    """A file could otherwise let a filter find a value that is not there."""
    record = DocumentRecord.from_json(json.dumps({**DOCUMENT, "searchable": "2"}))
    assert KINDS["documents"].check(record).payload == json_payload(1)[0]  # type: ignore[misc]


@pytest.mark.parametrize("positions", [(1, 3), (3, 4)])
def test_entries_that_do_not_fit_their_stream_are_refused(stores: Stores, positions: tuple[int, ...]) -> None:
    target = stores.new("memory")
    info = {**STREAM, "length": 3, "last_position": 3}
    entries = [EntryRecord.from_json(json.dumps({**ENTRY, "position": position})) for position in positions]
    with target._backend.session(write=True) as session:
        KINDS["streams"].add(session, [StreamInfo.from_json(json.dumps(info))])
    with pytest.raises(Corrupt), target._backend.session(write=True) as session:
        KINDS["stream_entries"].add(session, entries)


def test_a_file_without_the_last_entry_is_refused(stores: Stores, tmp_path: Path) -> None:
    source = stores.new("memory")
    source.streams.append(("s",), "run", [1, 2])
    export_store(source, tmp_path / "x")
    lines = (tmp_path / "x").read_bytes().splitlines(keepends=True)
    [kept] = [line for line in lines if b'"stream_entries", "record"' in line and b'"position":1,' in line]
    digests = json.loads(lines[-1])
    digests["end"]["stream_entries"] = str(Tally.of([kept[kept.index(b'"record": ') + 10 : -2]]))
    at = lines.index(kept)
    (tmp_path / "x").write_bytes(
        b"".join([*lines[: at + 1], *lines[at + 2 : -1], json.dumps(digests).encode() + b"\n"])
    )
    with pytest.raises(Corrupt, match="does not hold all entries"):
        import_store(tmp_path / "x", stores.new("memory"))
