"""The long run: each row in a pytest of its own, several beside one another, and what came of them on disk.

A row that passed is not run again, so that a run that was interrupted goes on where it was; one that fails does not
keep the others from running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.reliability.rows import LOG_VARIABLE, ROWS, Row

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".soak"

REST = Row("everything else", "", "", 0, 0, "", (), (), cores=2, minutes=12)
"""Long tests that belong to no row."""
ALL = {**ROWS, "rest": REST}


@dataclass
class Result:
    """Outcome of one row."""

    row: str
    passed: bool
    seconds: float
    day: str
    records: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""

    def save(self) -> None:
        """Keep it for the next run."""
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{self.row}.json").write_text(json.dumps(asdict(self), indent=1))


def saved() -> dict[str, Result]:
    """Return the results of earlier runs."""
    files = [FOLDER / f"{row}.json" for row in ALL]
    return {file.stem: Result(**json.loads(file.read_text())) for file in files if file.exists()}


def forget() -> None:
    """Begin anew."""
    for row in ALL:
        (FOLDER / f"{row}.json").unlink(missing_ok=True)


def command_of(name: str) -> list[str]:
    """The pytest of a row: its long counts and its controls."""
    row = ALL[name]
    pytest = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-p", "no:cacheprovider"]
    if row is REST:
        known = [test for each in ROWS.values() for test in (*each.tests, *each.controls)]
        return [*pytest, "-m", "soak", *(f"--deselect={test}" for test in known)]
    return [*pytest, "-m", "", "-k", "not quick", *row.tests, *row.controls]


@dataclass
class Running:
    """A row that is being run."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    output: Path
    began: float = field(default_factory=time.monotonic)

    def result(self) -> Result:
        """Return the outcome."""
        records = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        passed = self.process.returncode == 0
        output = "" if passed else self.output.read_text(errors="replace")[-20_000:]
        seconds = time.monotonic() - self.began
        return Result(self.name, passed, round(seconds, 1), datetime.now(UTC).date().isoformat(), records, output)


def start(name: str, folder: Path) -> Running:
    """Begin with a row."""
    log, output = folder / f"{name}.jsonl", folder / f"{name}.txt"
    environment = {**os.environ, LOG_VARIABLE: str(log)}
    with output.open("wb") as file:
        process = subprocess.Popen(command_of(name), cwd=ROOT, env=environment, stdout=file, stderr=file)
    return Running(name, process, log, output)


def run(names: Iterable[str], cores: float, tell: Callable[[Result], None]) -> None:
    """Run rows, the longest first, as many at once as keep so many cores busy; each result is saved and told."""
    left = sorted(names, key=lambda name: -ALL[name].minutes)
    running: list[Running] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            while left or running:
                for name in _that_fit(left, running, cores):
                    left.remove(name)
                    running.append(start(name, Path(folder)))
                time.sleep(0.2)
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    result = each.result()
                    result.save()
                    tell(result)
        finally:
            for each in running:
                each.process.terminate()


def _that_fit(left: list[str], running: list[Running], cores: float) -> list[str]:
    busy = sum(ALL[each.name].cores for each in running)
    fitting: list[str] = []
    for name in left:
        if busy + ALL[name].cores <= cores or not (running or fitting):
            busy += ALL[name].cores
            fitting.append(name)
    return fitting
