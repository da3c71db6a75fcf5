"""Backups of a store that is in use."""

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
from ciris_store_core.contract.backend import Backend, Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import NotADatabase, NotSupported
from ciris_store_core.secrets.crypto import SecretCrypto
from ciris_store_core.secrets.keys import SecretsConfig
from ciris_store_core.store import Store
from ciris_store_core.store.access.session_guard import guarded
from ciris_store_core.transfer.atomic_files import new_file
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.dump import checked, export_store, import_checked
from ciris_store_core.transfer.dump_reader import read_header
from ciris_store_core.transfer.record_kinds import KindSelection
from ciris_store_core.transfer.store_copier import OnStep, TransferReport, TransferStep, move, silent
from ciris_store_core.transfer.store_reader import StoreReader, executor_of
from ciris_store_core.url import resolve_url

_SQLITE = b"SQLite format 3\0"


@dataclass(slots=True)
class BackupReport:
    """The result of a backup."""

    path: str
    portable: bool
    """True for the portable format, false for a file of the database's own."""
    bytes: int
    seconds: float
    kinds: dict[str, Tally] = field(default_factory=dict)
    """The content of a portable backup."""


def backup_store(
    store: Store,
    path: str | os.PathLike[str],
    *,
    portable: bool = False,
    overwrite: bool = False,
    on_step: OnStep = silent,
) -> BackupReport:
    """Write a whole store, as it is at one moment, to one file, while other programs write to the store.

    The file is verified after it was written, only its owner can read it, and it appears complete or not at all.
    Encrypted secrets are part of it: keep their key elsewhere.

    Args:
        store: The store to back up. It is not changed.
        path: The file to write.
        portable: Write JSON Lines, which every backend can restore, compressed if the name ends with ``.gz``. A
            database without a backup format of its own is always backed up in this way.
        overwrite: Replace an existing file.
        on_step: Called with the progress.

    Raises:
        InvalidArgument: The file exists, or its folder does not.
        StorageFull, ReadOnly: The file cannot be written.
        Corrupt: The store, or the written file, is damaged.
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
            # A file of the database's own holds every record, so the policy must allow reading everything.
            executor = executor_of(store)
            if executor.guard.watches:
                executor.read(
                    "transfer.backup", lambda session: guarded(session).ask_for_everything("backup"), single=False
                )
            store._backend.backup(part, lambda done, total: on_step(TransferStep("copy", "pages", done, total)))
    except NotSupported:
        return False
    return True


def restore_store(
    path: str | os.PathLike[str], target: Store, *, verify: bool = True, on_step: OnStep = silent
) -> TransferReport:
    """Write the content of a backup into an empty store, of any backend.

    If the restore is interrupted, call it again: it continues where it stopped. The backup is not changed, even if its
    schema is older.

    Args:
        path: A file that ``backup_store`` wrote.
        target: An empty store, or the target of the same restore, unfinished.
        verify: Read the target at the end, and compare.
        on_step: Called with the progress.

    Raises:
        NotADatabase, Corrupt: The file is not a backup, or is damaged. Nothing was written.
        Conflict: The target is not empty.
    """
    with opened_backup(path, str(target.info()["url"]), on_step=on_step) as restore:
        return restore(target, verify=verify)


@contextmanager
def opened_backup(
    path: str | os.PathLike[str], target_url: str | None, *, on_step: OnStep = silent
) -> Iterator[Callable[..., TransferReport]]:
    """Check a backup before a store is created for it; yield a function that writes it into an open store.

    ``target_url`` is the URL of the store, which need not exist yet. A file of a database's own is opened by its
    backend.
    """
    try:
        read_header(path)
    except NotADatabase:
        with _opened_copy(Path(path), target_url) as session:
            reader = StoreReader(session, f"backup {os.fspath(path)}", KindSelection())
            yield partial(_move, reader, on_step=on_step)
    else:
        yield partial(import_checked, checked(Path(path), on_step)[0], on_step=on_step)


def _move(reader: StoreReader, target: Store, *, verify: bool, on_step: OnStep) -> TransferReport:
    return move(reader, target, KindSelection(), into_existing=False, verify=verify, on_step=on_step)


@contextmanager
def _opened_copy(path: Path, target_url: str | None) -> Iterator[Session]:
    """Open a snapshot of a copy of a database file, since opening may migrate its schema and adds files beside it."""
    with tempfile.TemporaryDirectory(prefix=".ciris-restore-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        url = resolve_url(f"{_scheme_of(path, target_url)}:///{quote(str(copy.absolute()))}")
        context = BackendContext(SystemClock(), migrate=True, create=False)
        with closing(Registry().spec_for(url.scheme).factory(url, context)) as backend:
            backend.prepare(migrate=True)
            with backend.snapshot() as session:
                crypto = SecretCrypto(SecretsConfig().key_ring(os.environ))
                if crypto.has_keys:
                    crypto.verify(session)  # A wrong key is told before anything is written.
                yield session


def _scheme_of(path: Path, target_url: str | None) -> str:
    """Return the scheme for a database file: ``sqlite`` if the file is one of SQLite, else the target's."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            return "sqlite"
    target = resolve_url(target_url)
    # The backend is created but not prepared, so it touches no database.
    context = BackendContext(SystemClock(), migrate=False, create=False)
    with closing(Registry().spec_for(target.scheme).factory(target, context)) as backend:
        # A backend without backups of its own cannot have written the file.
        return "sqlite" if type(backend).backup is Backend.backup else target.scheme
