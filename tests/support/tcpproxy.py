"""A TCP proxy on loopback that can refuse, reset, swallow, slow down or cut at a chosen message.

It runs an event loop in a thread of its own. A switch has taken effect when its method returns. The messages are
looked for in plain bytes, so the connection through it must not use TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

_CHUNK = 65536
_CALL_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class _Trap:
    """Cut the connection of the next client message that contains ``needle``."""

    needle: bytes
    forward: bool
    remaining: int


@dataclass(eq=False)
class _Link:
    """One client and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    #: Bytes were swallowed, so nothing that follows would make sense.
    lost: bool = False
    cut_at_answer: bool = False
    #: The end of the last chunk, since a message may come in two.
    tail: bytes = b""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        """Close both sides at once, with RST."""
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


class TcpProxy:
    """Stands before the server of a URL. Use it as a context manager, and connect to ``url_for(url)``.

    Args:
        server_url: A URL with one host, or with ``?host=`` a folder of unix sockets.
    """

    def __init__(self, server_url: str) -> None:
        self._target = _target(server_url)
        self.port = 0
        #: Connections accepted, and connections cut by ``drop_answer_to`` and ``cut_before``, so far.
        self.accepted = 0
        self.cuts = 0
        self._delay = 0.0
        self._swallow = False
        self._traps: list[_Trap] = []
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def url_for(self, server_url: str) -> str:
        """The same URL, leading through this proxy."""
        parts = urlsplit(server_url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}", query=""))

    @property
    def open_connections(self) -> int:
        """Return the number of connections that it holds now."""
        return len(self._links)

    # --- faults ---------------------------------------------------------------------------------

    def heal(self) -> None:
        """Pass everything again. Connections that lost bytes stay dead."""
        self._call(self._heal())

    def refuse(self) -> None:
        """Refuse new connections; those that exist go on."""
        self._call(self._unlisten())

    def reset(self) -> None:
        """Reset the connections that exist."""
        self._call(self._reset_all())

    def black_hole(self) -> None:
        """Swallow all bytes, in both directions, of old and new connections, and keep them open."""
        self._call(self._set_swallow(True))

    def delay(self, seconds: float) -> None:
        """Hold every chunk back for so long, in each direction."""
        self._delay = seconds

    def drop_answer_to(self, needle: bytes, *, times: int = 1) -> None:
        """Let the server execute the next client message with ``needle``, and cut before its answer arrives."""
        self._traps.append(_Trap(needle, True, times))

    def cut_before(self, needle: bytes, *, times: int = 1) -> None:
        """Cut instead of forwarding the next client message with ``needle``."""
        self._traps.append(_Trap(needle, False, times))

    # --- inside the loop ------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _heal(self) -> None:
        self._swallow, self._delay = False, 0.0
        self._traps.clear()
        await self._listen()

    async def _set_swallow(self, wanted: bool) -> None:
        self._swallow = wanted

    async def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _shut(self) -> None:
        await self._unlisten()
        await self._reset_all()
        tasks = [task for link in self._links for task in link.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer)
        self._links.add(link)
        link.tasks.append(_this_task())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._run(link, reader)
        link.reset()
        self._links.discard(link)

    async def _run(self, link: _Link, reader: asyncio.StreamReader) -> None:
        if self._swallow:
            link.lost = True
            while await reader.read(_CHUNK):
                pass
            return
        answers, link.server = await self._connect()
        there = asyncio.create_task(self._to_server(link, reader))
        back = asyncio.create_task(self._to_client(link, answers))
        link.tasks += [there, back]
        # A black hole hides that the server has gone.
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        if link.lost or self._swallow:
            await there
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _to_server(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_CHUNK):
            trap = self._sprung(link, data)
            if trap is not None and not trap.forward:
                self.cuts += 1
                return
            if trap is not None:
                link.cut_at_answer = True
            await self._forward(link, link.server, data)

    async def _to_client(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_CHUNK):
            if link.cut_at_answer:
                self.cuts += 1
                return
            await self._forward(link, link.client, data)

    async def _forward(self, link: _Link, writer: asyncio.StreamWriter | None, data: bytes) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._swallow:
            link.lost = True
        if writer is not None and not link.lost:
            writer.write(data)
            await writer.drain()

    def _sprung(self, link: _Link, data: bytes) -> _Trap | None:
        seen = link.tail + data
        for trap in self._traps:
            if trap.needle in seen:
                trap.remaining -= 1
                if not trap.remaining:
                    self._traps.remove(trap)
                return trap
        longest = max((len(trap.needle) for trap in self._traps), default=1)
        link.tail = seen[len(seen) - longest + 1 :]
        return None


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not in a task")
    return task


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


def _target(server_url: str) -> tuple[str, int]:
    """The host (or the folder of unix sockets) and port that a URL leads to."""
    parts = urlsplit(server_url)
    options = parse_qs(parts.query)
    host = options["host"][0] if "host" in options else parts.hostname or "127.0.0.1"
    port = int(options["port"][0]) if "port" in options else parts.port or 5432
    return host, port
