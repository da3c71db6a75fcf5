"""The other process of ``peers``: it reads what to do from standard input and answers on standard output, in JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from ciris_store_core.conformance.scripts import SCRIPTS, open_backend
from ciris_store_core.contract import Backend
from ciris_store_core.errors import StoreError


class Worker:
    """Serves one pair of pipes."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        """Nothing is open yet."""
        self._source = source
        self._target = target
        self._backend: Backend | None = None

    def serve(self) -> None:
        """Do what is asked for, until the pipe ends."""
        for line in self._source:
            asked = json.loads(line)
            if asked["wait"]:
                self.signal("ready", wait=True)
            self._say(self._answer(asked["script"], asked["arguments"]))

    def signal(self, point: str, value: Any = None, *, wait: bool = False) -> None:
        """Say that a point was reached; with ``wait``, stay there until told to go on."""
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
        assert backend is not None, "nothing is open"
        return SCRIPTS[script](backend, self.signal, **arguments)

    def _say(self, message: dict[str, Any]) -> None:
        self._target.write(json.dumps(message) + "\n")
        self._target.flush()


def main() -> None:
    """Serve the pipes that the process was started with."""
    # What a driver prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    Worker(sys.stdin, answers).serve()


if __name__ == "__main__":
    main()
