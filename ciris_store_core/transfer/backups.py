"""Backups of a store that goes on working meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from ciris_store_core.clock import SystemClock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import NotADatabase, NotSupported
from ciris_store_core.opening import open_store
from ciris_store_core.store import Store
from ciris_store_core.store.access.session_guard import guarded
from ciris_store_core.transfer.atomic_files import new_file
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.dump import checked, export_store, import_checked, read_header
from ciris_store_core.transfer.record_kinds import KindSelection
from ciris_store_core.transfer.store_copier import OnStep, TransferReport, TransferStep, move, silent
from ciris_store_core.transfer.store_reader import StoreReader, executor_of
from ciris_store_core.url import resolve_url

_SQLITE = b"SQLite format 3\0"


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
            # A file of the database's own holds everything, whatever a policy lets its caller read.
            executor = executor_of(store)
            if executor.guard.watches:
                executor.read("_native", lambda session: guarded(session).ask_for_everything("backup"), single=False)
            store._backend.backup(part, lambda done, total: on_step(TransferStep("copy", "pages", done, total)))
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
    with opened_backup(path, str(target.info()["url"]), on_step=on_step) as restore:
        return restore(target, verify=verify)


@contextmanager
def opened_backup(
    path: str | os.PathLike[str], target_url: str | None, *, on_step: OnStep = silent
) -> Iterator[Callable[..., TransferReport]]:
    """Check a backup before anything is made for it; gives a function that writes it into an open store.

    ``target_url``: that of the store, which need not exist yet. A file of a database's own is opened by its backend.
    """
    try:
        read_header(path)
    except NotADatabase:
        with (
            _opened_copy(Path(path), target_url) as source,
            StoreReader.of(source, KindSelection(), identity=f"backup {os.fspath(path)}") as reader,
        ):
            yield partial(_move, reader, on_step=on_step)
    else:
        yield partial(import_checked, checked(Path(path), on_step)[0], on_step=on_step)


def _move(reader: StoreReader, target: Store, *, verify: bool, on_step: OnStep) -> TransferReport:
    return move(reader, target, KindSelection(), into_existing=False, verify=verify, on_step=on_step)


@contextmanager
def _opened_copy(path: Path, target_url: str | None) -> Iterator[Store]:
    """A copy of a database file, opened: opening it may bring its schema up to date, and adds files beside it."""
    with tempfile.TemporaryDirectory(prefix=".ciris-restore-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        with open_store(f"{_scheme_of(path, target_url)}:///{quote(str(copy.absolute()))}", create=False) as store:
            yield store


def _scheme_of(path: Path, target_url: str | None) -> str:
    """The scheme of the backend that opens a database file: SQLite's where the file says so, else the target's."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            return "sqlite"
    target = resolve_url(target_url)
    # Made, and not prepared: it touches nothing.
    context = BackendContext(SystemClock(), migrate=False, create=False)
    with closing(Registry().spec_for(target.scheme).factory(target, context)) as backend:
        # Without backups of its own there is none that it could have written.
        return "sqlite" if type(backend).backup is Backend.backup else target.scheme
