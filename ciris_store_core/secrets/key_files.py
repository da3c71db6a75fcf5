"""Files of keys: one key a line, the active one first, readable by their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ciris_store_core.errors import SecretKeyError

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows: one process at a time, please.
    fcntl = None  # type: ignore[assignment]

KEY_VARIABLE = "CIRIS_SECRETS_KEY"
FILE_VARIABLE = "CIRIS_SECRETS_KEY_FILE"

HOW_TO_GET_A_KEY = (
    f"Make a key with 'ciris-store key new' and give it in {KEY_VARIABLE}, {FILE_VARIABLE} or "
    "open_store(secrets=SecretsConfig(keys=...))"
)

_MOST_BYTES = 1 << 20
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def read_key_file(path: Path) -> str:
    """Return the text of a key file; refuse one that others may read, or that is too large to be one."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SecretKeyError(f"the key file {path} cannot be read ({error.strerror}). {HOW_TO_GET_A_KEY}.") from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise SecretKeyError(f"others may read the key file {path}. Run chmod 600 on it, and consider a new key.")
    # A part of a file would hide keys, and a copy of a part would lose them.
    if len(raw) > _MOST_BYTES:
        raise SecretKeyError(f"the key file {path} is larger than 1 MiB. Remove what is no key from it.")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise SecretKeyError(f"the key file {path} holds something else than keys. Remove it from the file.") from None


def add_to_key_file(path: Path, key: str) -> None:
    """Put a key at the head of a key file, created if missing. All of the change is written, or nothing.

    A symbolic link stays, and the file that it leads to is changed. Processes that add at the same time take turns, by
    a lock on ``<name>.lock`` beside the file, which stays there.
    """
    path = Path(os.path.realpath(path))
    with _locked(path.with_name(f"{path.name}.lock")):
        _replace(path, key)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The key file itself cannot carry the lock: each change puts another file in its place. The lock file is never
    # removed, or two processes could hold locks on two files of that name.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # Releases the lock, too.


def _replace(path: Path, key: str) -> None:
    older = read_key_file(path) if path.exists() else ""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)  # Left by a process that was killed: the lock says that no other is writing it.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            _keep_owner(path, handle)
            file.write(f"{key}\n{older}")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _keep_owner(path: Path, handle: int) -> None:
    """Give a new file the owner of the one that it replaces, so that an administrator locks no program out."""
    if hasattr(os, "fchown"):
        with suppress(FileNotFoundError):
            owner = path.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, owner.st_uid, owner.st_gid)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
