"""One worker process of the demo: an occurrence of the agent.

It reads a plan from its standard input, and exchanges lines of JSON with its parent: it reports its state and waits for
a line before it continues, at the start and once in the middle of its first batch of work.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, Any

from ciris_store_core import ANY_OCCURRENCE, ClaimedTask, Store, StoreError, TaskStatus, open_store
from ciris_store_core.demo.distributions import installed
from ciris_store_core.demo.heartbeats import Heartbeats
from ciris_store_core.demo.run_plan import CLAIMED, WON, RunPlan
from ciris_store_core.demo.worker_writes import complete_startup_task, inspect, metric, take_startup_task

POLL_SECONDS = 0.05
LARGEST_BATCH = 8
UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE, TaskStatus.DEFERRED)


class ParentPipe:
    """The pipes to the parent process."""

    def __init__(self, lines: IO[str], answers: IO[str]) -> None:
        """Read from ``lines``, write to ``answers``."""
        self._lines = lines
        self._answers = answers

    def read(self) -> str:
        """Return the next line; end this process if the parent has ended."""
        line = self._lines.readline()
        if not line:
            raise SystemExit("the process that started this worker has ended")
        return line

    def pause(self, **facts: Any) -> None:
        """Report facts, and wait for the parent's line."""
        self._answers.write(json.dumps(facts) + "\n")
        self._answers.flush()
        self.read()


class DemoWorker:
    """A worker that races for the start-up task, then shares the inspections with the others."""

    def __init__(self, store: Store, plan: RunPlan, number: int, link: ParentPipe) -> None:
        """Prepare the worker of that number, on an open store."""
        self._store = store
        self._plan = plan
        self._link = link
        self._me = store.for_occurrence(plan.occurrence(number), plan.ttl_seconds)
        self._packages = installed(plan.places)

    def run(self) -> None:
        """Work until no inspection is left, then shut down."""
        self._link.pause(event="ready")
        self._me.register(metadata={"pid": os.getpid()})
        with Heartbeats(self._store, self._plan, self._me):
            self._start_up()
            self._first_batch()
            run = self._plan.run
            while self._store.tasks.count(status=UNFINISHED, channel_id=run, occurrence_id=ANY_OCCURRENCE):
                self._next_batch()
        self._me.shutdown()

    def _start_up(self) -> None:
        me = self._me.occurrence_id
        task, won = self._store.run(take_startup_task, self._plan, me)
        self._record(WON, int(won))
        if won:
            self._store.run(complete_startup_task, self._plan, me, task, self._packages)
        while not self._store.shared_tasks.is_completed(self._plan.task_type):
            time.sleep(POLL_SECONDS)

    def _first_batch(self) -> None:
        """Finish half of the batch and report the rest: at this point the process may be killed."""
        batch = self._claim()
        done = len(batch) // 2
        self._inspect(batch[:done])
        self._link.pause(event="holding", held=len(batch) - done)
        self._inspect(batch[done:])

    def _next_batch(self) -> None:
        batch = self._claim()
        self._inspect(batch)
        # Nothing to claim, and work is unfinished: other workers have it, or died with it.
        if not batch and not self._me.rescue():
            time.sleep(POLL_SECONDS)

    def _claim(self) -> list[ClaimedTask]:
        batch = self._me.claim_next(self._batch_size(), queue=self._plan.run)
        self._record(CLAIMED, len(batch))
        return batch

    def _batch_size(self) -> int:
        return max(1, min(LARGEST_BATCH, len(self._packages) // (2 * self._plan.workers)))

    def _inspect(self, batch: list[ClaimedTask]) -> None:
        for work in batch:
            package = self._packages[self._plan.name_of(work.task.task_id)]
            inspect(self._store, self._plan, work, package, self._packages)

    def _record(self, name: str, value: float) -> None:
        self._store.correlations.add(metric(self._plan, self._me.occurrence_id, name, value, ""))


def main() -> None:
    """Run the worker that the first lines of standard input describe: its number, then the plan."""
    link = ParentPipe(sys.stdin, sys.stdout)
    number, plan = int(link.read()), RunPlan.from_json(link.read())
    try:
        with open_store(plan.url) as store:
            DemoWorker(store, plan, number, link).run()
    except StoreError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
