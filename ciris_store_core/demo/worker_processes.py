"""The worker processes, from the view of their parent."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, Any, Self

from ciris_store_core.demo.run_plan import RunPlan

#: The modules of this process, wherever it found them; the working directory is not searched.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from ciris_store_core.demo.worker import main; main()"


class WorkerFailed(RuntimeError):
    """Raised when a worker ended early, with the worker's own message."""


class WorkerProcess:
    """One worker process."""

    def __init__(self, plan: RunPlan, number: int) -> None:
        """Start the process. The plan goes through a pipe, because other users can see arguments and variables."""
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
        self.send(f"{number}\n{plan.to_json()}")

    def send(self, line: str) -> None:
        """Send a line; a process that has ended misses it."""
        try:
            _open(self._process.stdin).write(line + "\n")
            _open(self._process.stdin).flush()
        except BrokenPipeError:
            pass

    def read(self) -> dict[str, Any]:
        """Return the next answer; raise ``WorkerFailed`` if the process ended instead."""
        line = _open(self._process.stdout).readline()
        if not line:
            raise WorkerFailed(self._read_last_output())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def running(self) -> bool:
        """Return whether the process is running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process without a warning."""
        self._process.kill()

    def check(self) -> None:
        """Raise ``WorkerFailed`` unless the process ended successfully."""
        if self._process.wait() != 0:
            raise WorkerFailed(self._read_last_output())

    def close(self) -> None:
        """End the process, if it is running, and close its pipes."""
        self.kill()
        self._process.communicate()

    def _read_last_output(self) -> str:
        self._process.wait()
        words = _open(self._process.stderr).read().strip() or "without a word"
        return f"process {self.pid} ({self.occurrence}) ended with code {self._process.returncode}: {words}"


class WorkerProcesses:
    """All worker processes of a run. Leaving the ``with`` block ends those that still run."""

    def __init__(self, plan: RunPlan, seconds: float) -> None:
        """Start all. Processes that run for longer than ``seconds`` are killed, which ``read`` and ``check`` report."""
        self.members = [WorkerProcess(plan, number) for number in range(1, plan.workers + 1)]
        self._limit = threading.Timer(seconds, self._kill_all)
        self._limit.daemon = True

    def __enter__(self) -> Self:
        """Start the time limit."""
        self._limit.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the running processes."""
        self._limit.cancel()
        for member in self.members:
            member.close()

    def rendezvous(self) -> list[dict[str, Any]]:
        """Return the next answer of each process, once all have answered."""
        return [member.read() for member in self.members]

    def go_on(self) -> None:
        """Let all waiting processes continue."""
        for member in self.members:
            member.send("go on")

    def _kill_all(self) -> None:
        for member in self.members:
            member.kill()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ValueError("the process was started without this pipe")
    return pipe
