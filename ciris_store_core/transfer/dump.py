"""The portable format: JSON Lines with a header first and digests last.

The first line is the header, the last one the end. Each line between holds one record::

    {"kind": "tasks", "record": {"task_id": "t1", ...}}

A name that ends with ``.gz`` is compressed.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, cast

from ciris_store_core.errors import Corrupt
from ciris_store_core.models.ids import uuid7
from ciris_store_core.store import Store
from ciris_store_core.transfer.atomic_files import new_file, open_new
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.dump_reader import HEADER, DumpHeader, DumpReader, read_header
from ciris_store_core.transfer.record_kinds import KINDS, KindSelection
from ciris_store_core.transfer.store_copier import OnStep, TransferReport, TransferStep, move, silent
from ciris_store_core.transfer.store_reader import Reader, StoreReader

COMPRESSION = 4
"""The level of compression, 1 to 9. Higher levels take twice the time for a few percent."""

SECRET_KINDS = ("secrets", "secret_access")


# --- writing ----------------------------------------------------------------------------------


def export_store(
    store: Store,
    path: str | os.PathLike[str],
    *,
    secrets: bool = False,
    without: Iterable[str] = (),
    overwrite: bool = False,
    verify: bool = False,
    on_step: OnStep = silent,
) -> TransferReport:
    """Write a whole store, as it is at one moment, to a new file of JSON Lines, compressed if it ends with ``.gz``.

    Only the owner of the file can read it. The file appears complete or not at all.

    Args:
        store: The store to export. It is not changed.
        path: The file to write.
        secrets: Export encrypted secrets and their access log too. They are worthless without the key, and readable
            with it.
        without: As for ``copy_store``.
        overwrite: Replace an existing file.
        verify: Read the file again before it gets its final name.
        on_step: Called with the progress.

    Raises:
        InvalidArgument: The file exists, or its folder does not.
        StorageFull, ReadOnly: The file cannot be written.
        Corrupt: A stored row cannot be read.
    """
    began = time.monotonic()
    selection = KindSelection.of([*without, *(() if secrets else SECRET_KINDS)])
    target = Path(path)
    header = _header(store, selection)
    with StoreReader.of_source(store, selection) as reader, new_file(target, overwrite=overwrite) as part:
        header = replace(header, stores=reader.stores())
        tallies = _write(part, target.suffix == ".gz", header, reader, on_step)
        if verify:
            checked(part, on_step)
    seconds = time.monotonic() - began
    return TransferReport(header.source, os.fspath(path), tallies, verified=verify, seconds=seconds)


def _header(store: Store, selection: KindSelection) -> DumpHeader:
    info = store.info()
    return DumpHeader(
        dump_id=uuid7(),
        source=str(info["url"]),
        created_at=store.server_now().isoformat(),
        backend=str(info["backend"]),
        server_version=info.get("server_version"),
        schema_version=info.get("schema_version"),
        without=selection.without,
    )


def _write(path: Path, compressed: bool, header: DumpHeader, reader: Reader, on_step: OnStep) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(os.fdopen(open_new(path), "wb"))
        if compressed:
            packer = stack.enter_context(gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0))
            file = cast(IO[bytes], packer)
        first = json.dumps({"header": asdict(header)}).encode() + b"\n"
        file.write(first)
        lines = {HEADER: Tally.of([first])}
        totals: dict[str, int | None] = {}
        for chunk in reader.chunks(None):
            name = chunk.kind.name
            texts = [record.to_json().encode() for record in chunk.records]
            file.writelines(b'{"kind": "%b", "record": %b}\n' % (name.encode(), text) for text in texts)
            lines[name] = lines.get(name, Tally()) + Tally.of(texts)
            tallies[name] = tallies.get(name, Tally()) + chunk.tally
            if name not in totals:
                totals[name] = reader.total(chunk.kind)
            on_step(TransferStep("copy", name, tallies[name].count, totals[name]))
        # Digests of the texts hold for whatever fields records have in the version that reads them.
        end = {name: str(tally) for name, tally in lines.items()}
        file.write(json.dumps({"end": end}).encode() + b"\n")
    return tallies


# --- checking and reading -----------------------------------------------------------------------


def check_dump(path: str | os.PathLike[str], *, on_step: OnStep = silent) -> TransferReport:
    """Read a whole dump and compare its records with the digests at its end. It writes nothing.

    Raises:
        Corrupt: A line is damaged (the message names it), missing, or does not match the digests.
    """
    began = time.monotonic()
    reader, tallies = checked(Path(path), on_step)
    return TransferReport(reader.identity, os.fspath(path), tallies, verified=True, seconds=time.monotonic() - began)


def checked(path: Path, on_step: OnStep) -> tuple[DumpReader, dict[str, Tally]]:
    """Return a reader of a dump that was checked as a whole, and the tallies of its records."""
    reader = DumpReader(path, read_header(path))
    found: dict[str, Tally] = {}
    entries = 0
    for chunk in reader.chunks(None):
        name = chunk.kind.name
        if name == "streams":
            entries += sum(info.length for info in chunk.records)
        found[name] = found.get(name, Tally()) + chunk.tally
        on_step(TransferStep("check", name, found[name].count))
    wrong = [name for name in (HEADER, *KINDS) if reader.found.get(name) != reader.digests.get(name)]
    if wrong:
        raise Corrupt(f"{', '.join(wrong)} in {path} do not fit the digests at its end. Export it again.")
    if entries != found.get("stream_entries", Tally()).count:
        raise Corrupt(f"{path} does not hold all entries of its streams. Export it again.")
    return reader, found


def import_store(
    path: str | os.PathLike[str],
    target: Store,
    *,
    into_existing: bool = False,
    verify: bool = True,
    on_step: OnStep = silent,
) -> TransferReport:
    """Write the records of a dump into a store, after the whole file was checked.

    If the import is interrupted, call it again: it continues where it stopped.

    Args:
        path: A file that ``export_store`` or ``backup_store`` wrote.
        target: An empty store, or the target of the same import, unfinished.
        into_existing: Add to the records of the target. A record that exists there raises ``AlreadyExists``.
        verify: Read the target at the end, and compare its digests with those of the file.
        on_step: Called with the progress.

    Raises:
        NotADatabase, Corrupt: The file is not a dump, or is damaged: the message names the line. Nothing was written.
        Conflict: The target is not empty, or holds another unfinished copy.
    """
    reader, _ = checked(Path(path), on_step)
    return import_checked(reader, target, into_existing=into_existing, verify=verify, on_step=on_step)


def import_checked(
    reader: DumpReader, target: Store, *, into_existing: bool = False, verify: bool = True, on_step: OnStep = silent
) -> TransferReport:
    """Write the records of a checked dump into a store; see ``import_store``."""
    selection = KindSelection(reader.header.without)
    return move(reader, target, selection, into_existing=into_existing, verify=verify, on_step=on_step)
