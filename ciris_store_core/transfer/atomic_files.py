"""Files that appear complete or not at all, and that only their owner can read."""

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
    """Yield a temporary path in the same folder, which becomes ``path`` when the block ends without an error.

    The file is flushed to the disk before, and removed after an error. Callers create it with mode 0600.

    Raises:
        InvalidArgument: The file exists and ``overwrite`` is false, or the folder does not exist.
        StorageFull, ReadOnly: The file cannot be written.
    """
    if path.exists() and not (overwrite and path.is_file()):
        raise InvalidArgument(f"{path} exists. Choose another name, or pass overwrite=True.")
    if not path.parent.is_dir():
        raise InvalidArgument(f"there is no folder {path.parent}. Create it.")
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
            os.link(part, path)  # unlike a rename, fails if another process has created the file meanwhile
        except FileExistsError as error:
            raise InvalidArgument(f"{path} was created by another process meanwhile. Choose another name.") from error
        except OSError:  # a file system without links
            part.replace(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_new(path: Path) -> int:
    """Open a new file that only its owner can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def as_store_error(error: OSError, path: Path) -> StoreError:
    """Return the store's error for one of the file system's."""
    if error.errno in _NO_SPACE:
        return StorageFull(f"no room for {path}: nothing is left of it. Make room, and begin again.")
    return ReadOnly(f"{path} cannot be written ({error.strerror}). Fix the permissions, or choose another folder.")
