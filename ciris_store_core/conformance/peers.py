"""Peers: other processes that open the same store and run scripts on request; a test can kill one at any point.

A peer is ``python -m ciris_store_core.conformance.peer``. The module ``scripts`` holds the scripts.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

from ciris_store_core import errors
from ciris_store_core.conformance.forking import CAN_FORK, ForkedProcess, ForkServer
from ciris_store_core.errors import StoreError

PATIENCE = 60.0
"""Seconds without a message after which a process counts as stuck."""

COMMAND = (sys.executable, "-m", "ciris_store_core.conformance.peer")


class PeerDied(Exception):
    """Raised if the other process ends, or sends no message, while the test waits for it."""


class Peer:
    """Another process. It runs one script at a time."""

    def __init__(self, server: ForkServer | None) -> None:
        """Start the process, by the server if there is one. It opens no store yet."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = _started(self._stderr) if server is None else ForkedProcess(server, self._stderr)
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._busy = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    # --- calls --------------------------------------------------------------------------------

    def call(self, script: str, **arguments: Any) -> Any:
        """Run a script and return its result. Raise the ``StoreError`` that it raises."""
        self.start(script, **arguments)
        return self.result()

    def start(self, script: str, *, wait: bool = False, **arguments: Any) -> None:
        """Start a script. With ``wait`` it reports ready and begins at ``go``."""
        self._busy = True
        self._write({"script": script, "arguments": arguments, "wait": wait})

    def go(self) -> None:
        """Let the process continue from the point where it waits."""
        self._write({})

    def until(self, point: str) -> Any:
        """Wait until the script reaches the point, and return the value that it reports there."""
        said = self._next()
        if said.get("at") == point:
            return said.get("value")
        raise PeerDied(f"the other process was expected at {point!r} and reported {said}{self._errors()}")

    def result(self) -> Any:
        """Return the result of the script, or raise its error."""
        said = self._next()
        while "at" in said:
            said = self._next()
        self._busy = False
        if "error" in said:
            raise getattr(errors, said["error"], StoreError)(said["message"])
        return said["result"]

    def said(self, point: str) -> list[Any]:
        """Return all values that an ended process had reported for a point."""
        values = []
        while (line := self._take()) is not None:
            if line.get("at") == point:
                values.append(line.get("value"))
        return values

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PeerDied(f"the other process has ended{self._errors()}") from error

    def _next(self) -> dict[str, Any]:
        line = self._take()
        if line is None:
            raise PeerDied(f"the other process ended while the test waited for it{self._errors()}")
        return line

    def _take(self) -> dict[str, Any] | None:
        try:
            return self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise PeerDied(f"the other process sent no message for {PATIENCE:g} s{self._errors()}") from None

    def _errors(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()
        return f":\n{text[-2000:]}" if text else ""

    # --- the end ------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait until it has ended."""
        self._process.kill()
        self._process.wait(PATIENCE)

    @property
    def idle(self) -> bool:
        """Return True if the process is running and waits for a call."""
        return not self._busy and self._process.poll() is None

    def dispose(self) -> None:
        """Kill the process if it is running, and close its pipes and files."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()


def _started(stderr: IO[bytes]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True,
        encoding="utf-8", bufsize=1,
    )  # fmt: skip


PeerMaker = Callable[..., Peer]
"""Called with ``blank=True`` or without, it gives another process that opened the store."""


class PeerPool:
    """Pool of idle processes. Starting one takes longer than most tests."""

    def __init__(self) -> None:
        self._idle: list[Peer] = []
        self._server: ForkServer | None = None

    def acquire(self) -> Peer:
        """Return a process that has no store open."""
        while self._idle:
            peer = self._idle.pop()
            if peer.idle:
                return peer
            peer.dispose()
        if CAN_FORK and self._server is None:
            self._server = ForkServer(COMMAND)
        return Peer(self._server)

    def release(self, peer: Peer) -> None:
        """Close the process's store and keep the process. One that still runs a script is killed."""
        try:
            if peer.idle:
                peer.call("close")
                self._idle.append(peer)
                return
        except (PeerDied, StoreError):
            pass
        peer.dispose()

    def clear(self) -> None:
        """Kill all idle processes, and the one that starts them."""
        while self._idle:
            self._idle.pop().dispose()
        if self._server is not None:
            self._server.close()
        self._server = None


POOL = PeerPool()
atexit.register(POOL.clear)


def open_peer(url: str, *, prepare: bool = True, factory: str | None = None) -> Peer:
    """Return a process that has opened the store of a URL, and prepared it unless ``prepare`` is False.

    ``factory``, given as ``module:function``, makes a backend that is not installed. The URL is sent through a pipe,
    since every user of the host can read the arguments of a process.
    """
    peer = POOL.acquire()
    try:
        peer.call("open", url=url, prepare=prepare, factory=factory)
    except BaseException:
        peer.dispose()
        raise
    return peer


def together(peers: Sequence[Peer], script: str, arguments: Sequence[dict[str, Any]]) -> list[Any]:
    """Run a script in all processes, started at the same moment, and return their results."""
    for peer, each in zip(peers, arguments, strict=True):
        peer.start(script, wait=True, **each)
    for peer in peers:
        peer.until("ready")
    for peer in peers:
        peer.go()
    return [peer.result() for peer in peers]
