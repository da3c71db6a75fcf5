"""Start of peers by fork: one process imports the modules of a peer once, and forks for each peer.

Importing takes a second, and a run of the suite kills some forty peers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether the operating system can fork, and pass descriptors between processes."""

MESSAGE = 1 << 20
"""Bytes of the longest message: the environment is part of it."""


class ForkServer:
    """Process that forks on request. It has one thread and opens no store."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the process. ``command`` gets the descriptor of its socket as a further argument."""
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with other:
            # The request for a peer brings the environment of the peer; this one finds the modules.
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            number = other.fileno()
            self._process = subprocess.Popen(
                [*command, str(number)], pass_fds=[number], stdin=subprocess.DEVNULL, env=environment
            )
        self._answers = self._socket.makefile(encoding="utf-8")
        self._lock = threading.Lock()

    def ask(self, request: Sequence[object], descriptors: Sequence[int] = ()) -> int:
        """Return the answer to a request: the id of a process."""
        data = json.dumps(request).encode() + b"\n"
        with self._lock:
            # The descriptors travel with the first byte: a longer message may arrive in parts.
            socket.send_fds(self._socket, [data[:1]], descriptors)
            self._socket.sendall(data[1:])
            answer: int = json.loads(self._answers.readline())
        return answer

    def close(self) -> None:
        """End the process. Its peers have ended before, or end with their pipes."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._socket.close()


class ForkedProcess:
    """Process that a fork server started, with the methods of ``Popen`` that a peer uses."""

    def __init__(self, server: ForkServer, stderr: IO[bytes]) -> None:
        """Fork, with the caller's environment, module path and folder of now."""
        self._server = server
        self._ended = False
        source, stdin = os.pipe()
        stdout, target = os.pipe()
        try:
            request = ["fork", dict(os.environ), sys.path, str(Path.cwd())]
            self._pid = server.ask(request, [source, target, stderr.fileno()])
        finally:
            os.close(source)
            os.close(target)
        self.stdin = os.fdopen(stdin, "w", buffering=1, encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8")

    def poll(self) -> int | None:
        """Return None while the process is running."""
        return self._wait(os.WNOHANG)

    def kill(self) -> None:
        """Kill the process with SIGKILL, unless it has ended."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until the process has ended."""
        return self._wait(0)

    def _wait(self, options: int) -> int | None:
        # Only its parent can wait for a process. Its descriptors, and with them its locks, are closed by then.
        if not self._ended:
            self._ended = self._server.ask(["wait", self._pid, options]) == self._pid
        return 0 if self._ended else None


def serve_forks(number: int) -> None:
    """Fork on request until the socket is closed. Return in each new process, with its pipes as standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests end the peers, and need this process for it
    with socket.socket(fileno=number) as requests:
        while received := _receive(requests):
            request, descriptors = received
            if request[0] == "wait":
                answer = os.waitpid(*request[1:])[0]
            elif answer := os.fork():
                for each in descriptors:
                    os.close(each)
            else:
                break
            requests.sendall(json.dumps(answer).encode() + b"\n")
        else:
            sys.exit()
    _become_peer(descriptors, *request[1:])


def _receive(requests: socket.socket) -> tuple[list[Any], list[int]] | None:
    data, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
    while data and not data.endswith(b"\n"):
        data += requests.recv(MESSAGE)
    return (json.loads(data), descriptors) if data else None


def _become_peer(descriptors: list[int], environment: dict[str, str], path: list[str], folder: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    os.chdir(folder)
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
