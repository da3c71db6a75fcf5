"""Other processes that open the same store, and are told what to do line by line; one can be killed at any point.

The process is ``python -m ciris_store_core.conformance.peer``; what it can do stands in ``scripts``.
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
from typing import Any

from ciris_store_core import errors
from ciris_store_core.errors import StoreError

PATIENCE = 60.0
"""Seconds after which a process that says nothing counts as stuck."""

COMMAND = (sys.executable, "-m", "ciris_store_core.conformance.peer")


class PeerDied(Exception):
    """The other process ended, or fell silent, while it was waited for."""


class Peer:
    """Another process. Calls are made one at a time."""

    def __init__(self) -> None:
        """Start the process; it has opened nothing yet."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=environment, text=True,
            encoding="utf-8", bufsize=1,
        )  # fmt: skip
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
        """Run a script to its end and return what it returns; raises the ``StoreError`` that it raised."""
        self.start(script, **arguments)
        return self.result()

    def start(self, script: str, *, wait: bool = False, **arguments: Any) -> None:
        """Start a script; with ``wait`` it gets ready and begins at ``go``."""
        self._busy = True
        self._write({"script": script, "arguments": arguments, "wait": wait})

    def go(self) -> None:
        """Let the process go on from the point where it waits."""
        self._write({})

    def until(self, point: str) -> Any:
        """Wait until the script is at the point, and return what it says there."""
        said = self._next()
        if said.get("at") == point:
            return said.get("value")
        raise PeerDied(f"the other process was to come to {point!r}, and said {said}{self._errors()}")

    def result(self) -> Any:
        """What the script returned; raises what it raised."""
        said = self._next()
        while "at" in said:
            said = self._next()
        self._busy = False
        if "error" in said:
            raise getattr(errors, said["error"], StoreError)(said["message"])
        return said["result"]

    def said(self, point: str) -> list[Any]:
        """Everything that a process which has ended had still said about a point."""
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
            raise PeerDied(f"the other process ended while it was waited for{self._errors()}")
        return line

    def _take(self) -> dict[str, Any] | None:
        try:
            return self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise PeerDied(f"the other process said nothing for {PATIENCE:g} s{self._errors()}") from None

    def _errors(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()
        return f":\n{text[-2000:]}" if text else ""

    # --- the end ------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process at once, wherever it is (SIGKILL), and wait until it is gone."""
        self._process.kill()
        self._process.wait(PATIENCE)

    @property
    def idle(self) -> bool:
        """Whether it lives and is waiting for the next call."""
        return not self._busy and self._process.poll() is None

    def dispose(self) -> None:
        """Kill it, if it still lives, and let go of its files."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()


PeerMaker = Callable[..., Peer]
"""Called with ``blank=True`` or without, it gives another process that opened the store."""


class PeerPool:
    """Processes that wait to be used again: starting one takes longer than most tests."""

    def __init__(self) -> None:
        """Without any."""
        self._idle: list[Peer] = []

    def take(self) -> Peer:
        """A process that has opened nothing."""
        while self._idle:
            peer = self._idle.pop()
            if peer.idle:
                return peer
            peer.dispose()
        return Peer()

    def release(self, peer: Peer) -> None:
        """Close what it opened and keep it; one that is in the middle of something is killed."""
        try:
            if peer.idle:
                peer.call("close")
                self._idle.append(peer)
                return
        except (PeerDied, StoreError):
            pass
        peer.dispose()

    def clear(self) -> None:
        """End all processes."""
        while self._idle:
            self._idle.pop().dispose()


POOL = PeerPool()
atexit.register(POOL.clear)


def open_peer(url: str, *, prepare: bool = True, factory: str | None = None) -> Peer:
    """A process that opens the store of a URL, and prepares it unless that is left to a script.

    ``factory``, ``module:function``, makes the backend where it is not an installed one. The URL goes through a pipe:
    arguments of a process can be seen by every user of the host.
    """
    peer = POOL.take()
    try:
        peer.call("open", url=url, prepare=prepare, factory=factory)
    except BaseException:
        peer.dispose()
        raise
    return peer


def together(peers: Sequence[Peer], script: str, arguments: Sequence[dict[str, Any]]) -> list[Any]:
    """Run a script in all processes, beginning at the same moment; returns what each returned."""
    for peer, each in zip(peers, arguments, strict=True):
        peer.start(script, wait=True, **each)
    for peer in peers:
        peer.until("ready")
    for peer in peers:
        peer.go()
    return [peer.result() for peer in peers]
