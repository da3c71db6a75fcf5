"""Stand-in for another process: a thread, since an in-memory database belongs to one process.

A killed peer writes nothing more: its script ends at the next point that it reports, and its transaction is rolled
back, as a database does after the end of a process.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

from ciris_store_core.conformance.peers import Peer
from ciris_store_core.conformance.scripts import SCRIPTS
from ciris_store_core.contract import Backend
from ciris_store_core.errors import StoreError


class Killed(BaseException):
    """Raised to end a script."""


class LabPeer(Peer):
    """Thread with the interface of a peer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._busy = self._dead = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        self._dead = True
        self._orders.put(None)
        self._thread.join(60)
        self._lines.put(None)

    @property
    def idle(self) -> bool:
        # Never idle, so that the pool does not keep it for another test.
        return False

    def dispose(self) -> None:
        self.kill()
        self._backend.close()

    def _write(self, message: dict[str, Any]) -> None:
        self._orders.put(message)

    def _errors(self) -> str:
        return ""

    def _serve(self) -> None:
        try:
            while not self._dead and (order := self._orders.get()) is not None:
                self._obey(order)
        except Killed:
            pass

    def _obey(self, order: dict[str, Any]) -> None:
        if order["wait"]:
            self._signal("ready", wait=True)
        try:
            result = SCRIPTS[order["script"]](self._backend, self._signal, **order["arguments"])
        except StoreError as error:
            self._lines.put({"error": type(error).__name__, "message": str(error)})
        else:
            self._lines.put({"result": json.loads(json.dumps(result))})

    def _signal(self, point: str, value: Any = None, *, wait: bool = False) -> None:
        if not self._dead:
            self._lines.put({"at": point, "value": value})
            if wait:
                self._orders.get()
        if self._dead:
            raise Killed
