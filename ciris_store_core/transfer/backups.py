"""Backups of a store that goes on working meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ciris_store_core.api import Store, open_store
from ciris_store_core.errors import NotADatabase, NotSupported

from .digest import Tally
from .dump import export_store, import_store, read_header
from .files import new_file
from .kinds import Selection
from .moving import OnStep, Step, TransferReport, move, silent
from .reading import StoreReader


@dataclass(slots=True)
class BackupReport:
    """A backup that was made."""

    path: str
    portable: bool
    """In the portable format; else a file of the database's own."""
    bytes: int
    seconds: float
    kinds: dict[str, Tally] = field(default_factory=dict)
    """What is in it, where it is portable."""


def backup_store(
    store: Store,
    path: str | os.PathLike[str],
    *,
    portable: bool = False,
    overwrite: bool = False,
    on_step: OnStep = silent,
) -> BackupReport:
    """Write all that a store holds, as it is at one moment, to one file; writers go on meanwhile.

    The file is checked after it was written, readable by its owner alone, and there complete or not at all. Encrypted
    secrets are in it as they are: keep their key elsewhere.

    Args:
        store: Is not changed.
        path: The file.
        portable: Write JSON Lines, compressed where the name ends with ``.gz``, which every backend can restore. That
            is also done where the database has no backup format of its own.
        overwrite: Replace a file of that name.
        on_step: Told of the progress.

    Raises:
        InvalidArgument: The file exists, or its folder does not.
        StorageFull, ReadOnly: It cannot be written.
        Corrupt: The store, or what was written, is damaged.
    """
    began = time.monotonic()
    kinds: dict[str, Tally] = {}
    if not portable:
        portable = not _native(store, Path(path), overwrite, on_step)
    if portable:
        kinds = export_store(store, path, secrets=True, overwrite=overwrite, verify=True, on_step=on_step).kinds
    return BackupReport(os.fspath(path), portable, Path(path).stat().st_size, time.monotonic() - began, kinds)


def _native(store: Store, path: Path, overwrite: bool, on_step: OnStep) -> bool:
    try:
        with new_file(path, overwrite=overwrite) as part:
            store._backend.backup(part, lambda done, total: on_step(Step("copy", "pages", done, total)))
    except NotSupported:
        return False
    return True


def restore_store(
    path: str | os.PathLike[str], target: Store, *, verify: bool = True, on_step: OnStep = silent
) -> TransferReport:
    """Write the content of a backup into an empty store, of whatever backend.

    Stopped at any point, it goes on where it was when it is called again. The backup is not changed, also one of an
    older schema.

    Args:
        path: A file that ``backup_store`` wrote.
        target: Must be empty, or the target of the same restore, unfinished.
        verify: Read the target at the end, and compare.
        on_step: Told of the progress.

    Raises:
        NotADatabase, Corrupt: The file is no backup, or damaged. Nothing was written.
        Conflict: The target is not empty.
    """
    try:
        read_header(path)
    except NotADatabase:
        with (
            _opened_copy(Path(path)) as source,
            StoreReader.of(source, Selection(), identity=f"backup {os.fspath(path)}") as reader,
        ):
            return move(reader, target, Selection(), into_existing=False, verify=verify, on_step=on_step)
    return import_store(path, target, verify=verify, on_step=on_step)


@contextmanager
def _opened_copy(path: Path) -> Iterator[Store]:
    """A copy of a database file, opened: opening it may bring its schema up to date, and adds files beside it."""
    with tempfile.TemporaryDirectory(prefix=".ciris-restore-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        with open_store(copy, create=False) as store:
            yield store
