"""An application behind a real uvicorn, with a client that speaks HTTP to it over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

WAIT = 30.0


@contextmanager
def served(app: Any) -> Iterator[httpx.Client]:
    """A client of the application while uvicorn serves it on a free port."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            assert ready.wait(WAIT)
            port = listening.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()
