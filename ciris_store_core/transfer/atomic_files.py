"""Files that appear complete or not at all, and are readable by their owner alone."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ciris_store_core.errors import InvalidArgument, ReadOnly, StorageFull, StoreError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A name in the same folder to write to, which becomes ``path`` when the block ends without an error.

    It is flushed to the disk before, and removed after an error. Whoever makes the file does so with mode 0600.

    Raises:
        InvalidArgument: There is such a file, and it must not be replaced; or no such folder.
        StorageFull, ReadOnly: It cannot be written.
    """
    if path.exists() and not (overwrite and path.is_file()):
        raise InvalidArgument(f"{path} exists: choose another name, or say that it may be replaced")
    if not path.parent.is_dir():
        raise InvalidArgument(f"there is no folder {path.parent}: make it first")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        _flush(part)
        _rename(part, path, overwrite)
        _flush(path.parent)
    except StoreError:
        raise  # AccessDenied is an OSError, too.
    except OSError as error:
        raise as_store_error(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def _rename(part: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
    else:
        try:
            os.link(part, path)  # fails where somebody made one meanwhile, as a rename would not
        except FileExistsError as error:
            raise InvalidArgument(f"{path} was made by somebody else just now: choose another name") from error
        except OSError:  # a file system without links
            part.replace(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_new(path: Path) -> int:
    """A new file, for its owner alone."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def as_store_error(error: OSError, path: Path) -> StoreError:
    """The store's error for one of the file system's."""
    if error.errno in _NO_SPACE:
        return StorageFull(f"no room for {path}: nothing is left of it; make room, and begin again")
    return ReadOnly(f"{path} cannot be written ({error.strerror}): fix the permissions, or choose another folder")
