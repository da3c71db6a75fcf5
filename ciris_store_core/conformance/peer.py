"""Process that a peer runs: reads requests from standard input and answers on standard output, in JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from ciris_store_core.conformance.forking import serve_forks
from ciris_store_core.conformance.scripts import SCRIPTS, open_backend
from ciris_store_core.contract import Backend
from ciris_store_core.errors import StoreError


class PeerServer:
    """Server of requests on one pair of pipes."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._source = source
        self._target = target
        self._backend: Backend | None = None

    def serve(self) -> None:
        """Answer requests until the pipe is closed."""
        for line in self._source:
            asked = json.loads(line)
            if asked["wait"]:
                self.signal("ready", wait=True)
            self._say(self._answer(asked["script"], asked["arguments"]))

    def signal(self, point: str, value: Any = None, *, wait: bool = False) -> None:
        """Report that a point was reached. With ``wait``, stay there until told to continue."""
        self._say({"at": point, "value": value})
        if wait and not self._source.readline():
            sys.exit(1)

    def _answer(self, script: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._run(script, arguments)}
        except StoreError as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _run(self, script: str, arguments: dict[str, Any]) -> Any:
        if script == "open":
            self._backend = open_backend(**arguments)
            return None
        backend = self._backend
        if script == "close":
            if backend is not None:
                backend.close()
            self._backend = None
            return None
        assert backend is not None, "no store is open"
        return SCRIPTS[script](backend, self.signal, **arguments)

    def _say(self, message: dict[str, Any]) -> None:
        self._target.write(json.dumps(message) + "\n")
        self._target.flush()


def main() -> None:
    """Serve standard input and output; with the descriptor of a socket as argument, in each process forked from it."""
    for number in sys.argv[1:]:
        serve_forks(int(number))
    # Output of a driver must not mix with the answers, so descriptor 1 becomes standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    PeerServer(sys.stdin, answers).serve()


if __name__ == "__main__":
    main()
