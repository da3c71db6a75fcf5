"""Dumps as they are read: the header, and the lines between it and the digests."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
from ciris_store_core.errors import Corrupt, InvalidArgument, NotADatabase, NotSupported
from ciris_store_core.models.base import Record
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.store.access.known_authorities import ROOT_KEY
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.record_kinds import KINDS, RecordKind, is_stores_own
from ciris_store_core.transfer.store_reader import CHUNK_BYTES, Chunk
from ciris_store_core.validation.validator import Validator

FORMAT = "ciris-store"

FORMAT_VERSION = 1

RECORDS_PER_CHUNK = 1000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a record that lacks one. A dump must not lack any."""

HEADER, END = "header", "end"

LONGEST_HEADER, LONGEST_LINE = 2**20, 2**28
"""The longest line in bytes. No record of a store comes near, so a longer line is rejected before it fills the
memory."""


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
