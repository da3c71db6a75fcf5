"""Archives of the records that maintenance deletes, as JSON Lines."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ciris_store_core.errors import Corrupt, ReadOnly, StorageFull, StoreError
from ciris_store_core.models.tasks import Task
from ciris_store_core.models.thoughts import Thought

Archived = Task | Thought

_KINDS: Mapping[str, type[Task] | type[Thought]] = {"task": Task, "thought": Thought}
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArchiveEntry(NamedTuple):
    """One deleted record."""

    reason: str
    """The rule that matched it, such as ``orphaned_tasks``."""
    record: Archived


class Archive:
    """One new file of JSON Lines, created when the first record is written.

    Only the owner can read the file, and the folder if the archive creates it.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        """Prepare the archive. If ``folder`` is None, records are not kept."""
        self._wanted = None if folder is None else folder / name
        self._file: int | None = None

    @property
    def path(self) -> Path | None:
        """The file, once it exists."""
        return None if self._file is None else self._wanted

    def write(self, reason: str, records: Iterable[Archived]) -> None:
        """Append records and return once all of them are on the disk; after an error, none is appended.

        Raises:
            StorageFull: The disk or quota is full.
            ReadOnly: The folder or file cannot be written.
        """
        lines = "".join(_line(reason, record) for record in records).encode()
        if self._wanted is None or not lines:
            return
        try:
            self._append(lines)
        except OSError as error:
            raise _as_store_error(error, self._wanted) from error

    def _append(self, lines: bytes) -> None:
        assert self._wanted is not None
        if self._file is None:
            self._file = _create(self._wanted)
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_all(self._file, lines)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)  # Leave no partial line.
            raise

    def close(self) -> None:
        """Close the file; ``path`` is None from then on."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        """Return the archive."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def read_archive(path: str | os.PathLike[str]) -> Iterator[ArchiveEntry]:
    """Yield the records of an archive, in the order in which they were written.

    If a deletion failed at first, its record may occur twice, or still be in the store.

    Raises:
        Corrupt: A line cannot be read; the message names it.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _entry(line)
            except (ValueError, KeyError, TypeError) as error:
                raise Corrupt(
                    f"line {number} of {os.fspath(path)} is no archived record ({error}). "
                    "Restore the file, or remove the line."
                ) from error


def _entry(line: str) -> ArchiveEntry:
    found = json.loads(line)
    return ArchiveEntry(found["reason"], _KINDS[found["kind"]].from_json(json.dumps(found["record"])))


def _line(reason: str, record: Archived) -> str:
    kind = type(record).__name__.lower()
    return f'{{"reason": {json.dumps(reason)}, "kind": "{kind}", "record": {record.to_json()}}}\n'


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    # The name of a new file is safe only once its folder is on the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return file


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _as_store_error(error: OSError, path: Path) -> StoreError:
    if error.errno in _NO_SPACE:
        return StorageFull(f"no room for the archive {path}: nothing of this batch was deleted. Make room there.")
    return ReadOnly(
        f"the archive {path} cannot be written ({error.strerror}): nothing of this batch was deleted. "
        "Fix the permissions, or name another archive_dir."
    )
