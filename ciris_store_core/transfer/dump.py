"""The portable format: JSON Lines with a header first and digests last.

The first line is the header, the last one the end. Each line between holds one record::

    {"kind": "tasks", "record": {"task_id": "t1", ...}}

A name that ends with ``.gz`` is compressed.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from pydantic_core import from_json

from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
from ciris_store_core.errors import Corrupt, InvalidArgument, NotADatabase, NotSupported
from ciris_store_core.models.base import Record
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.models.ids import uuid7
from ciris_store_core.store import Store
from ciris_store_core.store.access.known_authorities import ROOT_KEY
from ciris_store_core.transfer.atomic_files import new_file, open_new
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.record_kinds import KINDS, KindSelection, RecordKind, is_stores_own
from ciris_store_core.transfer.store_copier import OnStep, TransferReport, TransferStep, move, silent
from ciris_store_core.transfer.store_reader import CHUNK_BYTES, Chunk, Reader, StoreReader
from ciris_store_core.validation.validator import Validator

FORMAT = "ciris-store"
FORMAT_VERSION = 1
RECORDS_PER_CHUNK = 1000
COMPRESSION = 4
"""The level of compression, 1 to 9. Higher levels take twice the time for a few percent."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a record that lacks one. A dump must not lack any."""

HEADER, END = "header", "end"

LONGEST_HEADER, LONGEST_LINE = 2**20, 2**28
"""The longest line in bytes. No record of a store comes near, so a longer line is rejected before it fills the
memory."""

SECRET_KINDS = ("secrets", "secret_access")


@dataclass(frozen=True, slots=True)
class DumpHeader:
    """The first line of a dump."""

    dump_id: str
    """The id of this file, whatever its name."""
    source: str
    """The URL of the store, without its password."""
    created_at: str
    backend: str
    server_version: str | None = None
    schema_version: int | None = None
    contract_version: str = CONTRACT_VERSION
    without: tuple[str, ...] = ()
    """The kinds, groups and scopes that were left out."""
    stores: tuple[str, ...] = ()
    """The ids of the stores that the audit entries are bound to."""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    kinds: tuple[str, ...] = field(default=tuple(KINDS))


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


# --- reading ----------------------------------------------------------------------------------


def read_header(path: str | os.PathLike[str]) -> DumpHeader:
    """Return the header of a dump.

    Raises:
        NotADatabase: The file is not a dump.
        NotSupported: The dump has a later format.
        InvalidArgument: The file does not exist, or cannot be read.
    """
    with _opened(Path(path)) as file:
        return _read_header(Path(path), _next_line(Path(path), 1, file))


def _read_header(path: Path, line: bytes) -> DumpHeader:
    try:
        found = json.loads(line)["header"]
        if found["format"] != FORMAT:
            raise ValueError
        if int(found["format_version"]) > FORMAT_VERSION:
            raise _later(path, found["format_version"])
        lists = {name: tuple(found[name]) for name in ("without", "kinds")}
        lists["stores"] = tuple(map(str, found.get("stores", ())))
        known = {name: found[name] for name in DumpHeader.__dataclass_fields__ if name in found}
        return DumpHeader(**{**known, **lists})
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotADatabase(f"{path} is no export of a store. Name a file that export or backup wrote.") from None


def _later(path: Path, version: int) -> NotSupported:
    return NotSupported(f"{path} has format {version}, and this program reads {FORMAT_VERSION}. Upgrade it.")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InvalidArgument(f"{path} is no regular file. Write its content to one first.")
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw)) if compressed else raw
    except FileNotFoundError:
        raise InvalidArgument(f"there is no file {path}. Check the path.") from None
    except IsADirectoryError:
        raise InvalidArgument(f"{path} is a folder. Name the file in it.") from None
    except PermissionError as error:
        raise InvalidArgument(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None


def _next_line(path: Path, number: int, file: IO[bytes]) -> bytes:
    try:
        # The limit bounds the memory for any file.
        line = file.readline(LONGEST_HEADER if number == 1 else LONGEST_LINE)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Corrupt(
            f"line {number} of {path} cannot be unpacked ({error}), so the file is cut off or damaged. Export it again."
        ) from error
    if len(line) == LONGEST_LINE:
        raise Corrupt(
            f"line {number} of {path} has more than {LONGEST_LINE} bytes, and no record of a store is so large. "
            "Export it again."
        )
    return line


@dataclass(slots=True)
class DumpReader:
    """A dump, from any line on. Lines are checked while they are read; ``check_dump`` checks the whole file first."""

    path: Path
    header: DumpHeader
    digests: dict[str, Tally] = field(default_factory=dict)
    """The tally of each kind's lines, from the last line, once that was read."""
    found: dict[str, Tally] = field(default_factory=dict)
    """The tally of the lines that were read since the beginning."""
    _root: GraphNode | None = None
    _check: Validator = field(default_factory=lambda: Validator("strict"))

    @property
    def identity(self) -> str:
        """Return the name of the dump: its id and its source."""
        return f"dump {self.header.dump_id} of {self.header.source}"

    def total(self, kind: RecordKind) -> int | None:
        """Return the number of records of the kind in the file, once the file was read."""
        return self.digests[kind.name].count if kind.name in self.digests else None

    def root(self) -> GraphNode | None:
        """Return the authorities' root node, once the file was read."""
        return self._root

    def stores(self) -> tuple[str, ...]:
        """Return the store ids of the header."""
        return self.header.stores

    def chunks(self, position: str | None) -> Iterator[Chunk]:
        """Yield the records after a line; the position is the line's number."""
        start = int(position or 1)
        kind, records, size, last = "", list[Any](), 0, start
        for number, name, text in self._lines():
            if number <= start:
                continue
            if records and (name != kind or len(records) == RECORDS_PER_CHUNK or size > CHUNK_BYTES):
                yield self._chunk(kind, records, last)
                records, size = [], 0
            kind, last = name, number
            records.append(self._record(number, name, text))
            size += len(text)
        if records:
            yield self._chunk(kind, records, last)

    def _chunk(self, name: str, records: list[Any], last: int) -> Chunk:
        tally = Tally()
        tally.add(records)
        return Chunk(KINDS[name], records, tally, str(last))

    def _record(self, number: int, name: str, text: bytes) -> Record:
        try:
            kind = KINDS[name]
            record = kind.model.from_json(text)
            # A file is untrusted input: it must not bring in records that a caller may not store.
            checked = kind.check(record) if kind.check else self._check.record(record, type(record), EPOCH, None)
            if is_stores_own(checked):
                raise InvalidArgument("only a store itself writes such a record. Remove the line.")
        except InvalidArgument as error:
            raise Corrupt(f"line {number} of {self.path}: {error}") from error
        if isinstance(checked, GraphNode) and checked.key == ROOT_KEY:
            self._root = checked
        return checked

    def _lines(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield number, kind and JSON of each record; raise ``Corrupt`` if the last line is missing."""
        with _opened(self.path) as file:
            number = 1
            self.found = {HEADER: Tally.of([_next_line(self.path, number, file)])}
            while line := _next_line(self.path, number + 1, file):
                number += 1
                name, text = self._split(number, line)
                if name == END:
                    self.digests = self._digests(number, text)
                    return
                self.found.setdefault(name, Tally()).add_texts([text])
                yield number, name, text
        raise Corrupt(f"{self.path} is cut off after line {number}. Export it again.")

    def _split(self, number: int, line: bytes) -> tuple[str, bytes]:
        # Our own exports spell lines like this. Other spellings are parsed as JSON, more slowly.
        if line.startswith(b'{"kind": "') and line.endswith(b"}\n"):
            start, found, text = line[10:-2].partition(b'", "record": ')
            name = start.decode("ascii", "replace")
            if found and name in KINDS:
                return name, text
        return self._parsed(number, line)

    def _parsed(self, number: int, line: bytes) -> tuple[str, bytes]:
        try:
            found = from_json(line)
            if END in found:
                return END, json.dumps(found[END]).encode()
            if found["kind"] not in KINDS:
                raise ValueError(f"there is no kind {ascii(found['kind'])[:40]}")
            return found["kind"], json.dumps(found["record"]).encode()
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Corrupt(
                f"line {number} of {self.path} is no record of a store ({error}). Export it again."
            ) from error

    def _digests(self, number: int, text: bytes) -> dict[str, Tally]:
        try:
            return {kind: Tally.parse(each) for kind, each in json.loads(text).items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise Corrupt(f"line {number} of {self.path} holds no digests. Export it again.") from error


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
