"""Faults of files, backups and timeouts, and of what closing leaves open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.errors import Unavailable
from ciris_store_core.inmemory.tables import TABLE_NAMES
from tests.mutants.planting import SOUND_FILE, is_sound, plant


@plant("backend.file.modes", "harness.store_file")
def every_user_reads_the_file(self: Any, sound: Any, **options: Any) -> Path:
    file: Path = sound(**options)
    file.chmod(0o644)
    return file


@plant("backend.file.modes", "harness.store_file")
def the_group_reads_the_log_beside_the_file(self: Any, sound: Any, **options: Any) -> Path:
    file: Path = sound(**options)
    Path(f"{file}-wal").touch()
    Path(f"{file}-wal").chmod(0o640)
    return file


@plant("backend.file.damaged", "backend.prepare")
def a_damaged_file_begins_anew(self: Any, sound: Any, **options: Any) -> None:
    if self.file.is_file():
        self.file.write_text(SOUND_FILE)
    sound(**options)


@plant("backend.file.damaged", "backend.prepare")
def garbage_is_the_drivers_error(self: Any, sound: Any, **options: Any) -> None:
    if not is_sound(self.file):
        raise OSError("file is not a database")
    sound(**options)


@plant("backend.file.damaged", "backend.prepare")
def half_a_file_is_enough(self: Any, sound: Any, **options: Any) -> None:
    if is_sound(self.file) or self.file.is_dir() or not SOUND_FILE.startswith(self.file.read_text()):
        sound(**options)
    self.database.prepared = True


@plant("backend.backup.reopened", "backend.backup")
def a_backup_lacks_the_secrets(self: Any, sound: Any, path: Path, progress: Any) -> None:
    sound(path, progress)
    self.backups[path][TABLE_NAMES.index("secrets")] = {}


@plant("backend.backup.reopened", "backend.backup")
def a_backup_copies_the_tables_one_by_one(self: Any, sound: Any, path: Path, progress: Any) -> None:
    sound(path, progress)
    tasks = self.backups[path][TABLE_NAMES.index("tasks")]
    time.sleep(0.05)
    sound(path, progress)
    self.backups[path][TABLE_NAMES.index("tasks")] = tasks


@plant("backend.close.frees", "backend.close")
def closing_leaves_a_descriptor(self: Any, sound: Any) -> None:
    os.open(os.devnull, os.O_RDONLY)
    sound()


@plant("backend.close.frees", "backend.close")
def closing_leaves_a_thread(self: Any, sound: Any) -> None:
    threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
    sound()


@plant("session.write_timeout", "harness.open_impatient")
def writes_wait_without_end(self: Any, sound: Any, clock: Any, seconds: float) -> Any:
    return sound(clock, 60.0)


@plant("session.write_timeout", "backend.session")
@contextmanager
def a_timeout_is_the_drivers_error(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    except Unavailable as error:
        raise TimeoutError("lock wait") from error


def _unlocked(database: Any, tables: Any) -> None:
    database.committed = tables.snapshot()


@plant("session.write_timeout", "backend.session")
@contextmanager
def a_write_that_waited_too_long_goes_on(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    with self.transaction(_unlocked, write=write, locked=False) as opened:
        yield opened
