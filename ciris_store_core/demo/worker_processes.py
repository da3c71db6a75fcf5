"""The worker processes, as the process that starts them sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, Any, Self

from ciris_store_core.demo.run_plan import RunPlan

#: The same modules as in this process, wherever it found them; nothing is looked up in the working directory.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from ciris_store_core.demo.worker import main; main()"


class WorkerFailed(RuntimeError):
    """A worker ended before its time. The message is its own."""


class WorkerProcess:
    """One worker process."""

    def __init__(self, plan: RunPlan, number: int) -> None:
        """Start it. The plan goes through a pipe, as arguments and variables can be seen by others."""
        self.occurrence = plan.occurrence(number)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self.pid = self._process.pid
        self.say(f"{number}\n{plan.to_json()}")

    def say(self, line: str) -> None:
        """Send a line; one that is gone does not hear it."""
        try:
            _open(self._process.stdin).write(line + "\n")
            _open(self._process.stdin).flush()
        except BrokenPipeError:
            pass

    def hear(self) -> dict[str, Any]:
        """What it says next; raises ``WorkerFailed`` if it ended instead."""
        line = _open(self._process.stdout).readline()
        if not line:
            raise WorkerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, without warning it."""
        self._process.kill()

    def check(self) -> None:
        """Raise ``WorkerFailed`` unless it ended well."""
        if self._process.wait() != 0:
            raise WorkerFailed(self._last_words())

    def close(self) -> None:
        """End it, if it has not, and the pipes to it."""
        self.kill()
        self._process.communicate()

    def _last_words(self) -> str:
        self._process.wait()
        words = _open(self._process.stderr).read().strip() or "without a word"
        return f"process {self.pid} ({self.occurrence}) ended with code {self._process.returncode}: {words}"


class WorkerProcesses:
    """All worker processes of a run. Leaving the ``with`` block ends those that still run."""

    def __init__(self, plan: RunPlan, seconds: float) -> None:
        """Start them all. Those still running after ``seconds`` are killed, which ``hear`` and ``check`` report."""
        self.members = [WorkerProcess(plan, number) for number in range(1, plan.workers + 1)]
        self._limit = threading.Timer(seconds, self._kill_all)
        self._limit.daemon = True

    def __enter__(self) -> Self:
        """The team, and its time begins."""
        self._limit.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what still runs."""
        self._limit.cancel()
        for member in self.members:
            member.close()

    def rendezvous(self) -> list[dict[str, Any]]:
        """What each says next, once all have said something."""
        return [member.hear() for member in self.members]

    def go_on(self) -> None:
        """Let all go on that wait."""
        for member in self.members:
            member.say("go on")

    def _kill_all(self) -> None:
        for member in self.members:
            member.kill()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ValueError("the process was started without this pipe")
    return pipe
