"""A store moves from SQLite to PostgreSQL and back; one copy is killed half way, and goes on."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ciris_store_core import Store, TaskContext, open_store
from ciris_store_core.conformance import factories as make
from ciris_store_core.contract import Session
from ciris_store_core.models import MetricData
from ciris_store_core.models.graph import NodeWrite
from ciris_store_core.transfer import digest_store
from ciris_store_core.transfer.record_kinds import MARKER_ID
from tests.scenarios.processes import database, wait_until

BATCH = 2000


@dataclass(frozen=True)
class Leg:
    """One run of ``ciris-store copy``, as a process of its own."""

    seconds: float
    cpu_seconds: float
    """Of the copying process."""
    peak_mib: float
    """Of its memory."""
    report: dict[str, Any] | None
    """None where it was killed."""

    @property
    def per_second(self) -> float:
        """Records, the reading of the target to verify it included."""
        return self.report["records"] / self.seconds if self.report else 0.0


@dataclass(frozen=True)
class Journey:
    """There and back."""

    killed: Leg
    resumed: Leg
    back: Leg
    copied_before: int
    """Records that were there when it was killed."""
    equal: bool
    """Whether the digests of all three stores are."""

    @property
    def right(self) -> bool:
        """True if nothing was lost on the way."""
        return self.equal and self.copied_before > 0 and bool(self.resumed.report and self.resumed.report["resumed"])


def journey(first: str, second: str, third: str) -> Journey:
    """Copy a store to the second and third database, killing the first copy once it has done half."""
    with open_store(first) as source, open_store(second) as target:
        wanted = digest_store(source)
        total = sum(tally.count for tally in wanted.values())
        process = _copy(first, second)
        began = time.monotonic()
        wait_until(lambda: _copied(target) > total // 2 or process.poll() is not None, 3600)
        process.send_signal(signal.SIGKILL)
        killed = _ended(process, began)
        copied = _copied(target)
    resumed = run(first, second)
    back = run(second, third)
    with open_store(second) as there, open_store(third) as here:
        equal = digest_store(there) == wanted == digest_store(here)
    return Journey(killed, resumed, back, copied, equal)


def run(source: str, target: str) -> Leg:
    """One copy, from beginning to end."""
    began = time.monotonic()
    return _ended(_copy(source, target), began)


def _copy(source: str, target: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "ciris_store_core.cli", "copy", source, target, "--json"]
    return subprocess.Popen(program, stdout=subprocess.PIPE)


def _ended(process: subprocess.Popen[bytes], began: float) -> Leg:
    assert process.stdout is not None
    with process.stdout as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    report = json.loads(output) if process.returncode == 0 else None
    return Leg(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report)


def _copied(target: Store) -> int:
    for each in target.occurrences.find(alive_only=False):
        if each.occurrence_id == MARKER_ID:
            return sum(int(tally.split(":")[0]) for tally in each.metadata["copied"].values())
    return 0


# --- what moves -------------------------------------------------------------------------------


def filled(url: str, records: int) -> str:
    """The URL of a store into which that many records were put: a tenth each of nodes, edges and tasks, a fifth of
    thoughts, half of it measurements."""
    with open_store(url) as store:
        for write in _batches(records):
            with store._backend.session(write=True) as session:
                write(session)
    return url


def _batches(records: int) -> Iterator[Any]:
    tenth = records // 10
    yield from (lambda s, r=r: _nodes(s, r) for r in _ranges(tenth))
    yield from (lambda s, r=r: s.graph.put_edges([_edge(i, tenth) for i in r]) for r in _ranges(tenth))
    yield from (lambda s, r=r: s.tasks.add([_task(i) for i in r]) for r in _ranges(tenth))
    yield from (lambda s, r=r: s.thoughts.add([_thought(i, tenth) for i in r]) for r in _ranges(2 * tenth))
    yield from (lambda s, r=r: s.correlations.add([_metric(i) for i in r]) for r in _ranges(records - 5 * tenth))


def _ranges(count: int) -> Iterator[range]:
    return (range(start, min(count, start + BATCH)) for start in range(0, count, BATCH))


def _nodes(session: Session, numbers: range) -> None:
    nodes = [
        make.node(f"node-{i}", attributes={"name": f"node {i}", "seen": i, "tags": ["a", "b"]}, updated_at=make.at(i))
        for i in numbers
    ]
    session.graph.put_nodes([NodeWrite(node, "insert") for node in nodes], make.T0)


def _edge(i: int, nodes: int) -> Any:
    return make.edge(f"node-{i}", f"node-{i * 7919 % nodes}")


def _task(i: int) -> Any:
    context = TaskContext(correlation_id=f"c-{i}", channel_id="c")
    return make.task(f"task-{i}", description="call Ada about the train", context=context, created_at=make.at(i))


def _thought(i: int, tasks: int) -> Any:
    content = "She likes trains, and it is a long way. " * 3
    return make.thought(f"thought-{i}", source_task_id=f"task-{i % tasks}", content=content, created_at=make.at(i))


def _metric(i: int) -> Any:
    metric = MetricData(metric_name="latency", metric_value=i * 0.25, metric_unit="ms")
    moment = make.T0 + timedelta(milliseconds=i)
    return make.correlation(f"metric-{i}", timestamp=moment, metric_data=metric, tags={"host": f"h{i % 9}"})


def main() -> None:
    """Show it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(database(kind)) for kind in ("sqlite", "postgres", "sqlite"))
        result = journey(filled(first, records), second, third)
    for name in ("killed", "resumed", "back"):
        leg: Leg = getattr(result, name)
        print(
            f"{name:8} {leg.seconds:7.1f} s, {leg.cpu_seconds:7.1f} s of CPU, peak memory {leg.peak_mib:.0f} MiB, "
            f"{leg.per_second:,.0f} records/s"
        )
    print(f"killed after {result.copied_before:,} of {records:,} records; digests equal: {result.equal}")
    assert result.right


if __name__ == "__main__":
    main()
