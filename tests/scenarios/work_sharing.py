"""Workers share out a queue of tasks; some are killed, one is paused until others did its work."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import (
    ANY_OCCURRENCE,
    ClaimedTask,
    Correlation,
    OccurrenceHandle,
    StaleFence,
    Store,
    Task,
    TaskStatus,
    Transaction,
    open_store,
)
from ciris_store_core.models import ServiceRequest
from tests.scenarios import queue_of_procrastinate
from tests.scenarios.processes import SECONDS, Team, arguments_of, database, processes, wait_until

BATCH = 10
TTL_SECONDS = 3.0
Finish = Callable[[Transaction, ClaimedTask], None]
UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE)


@dataclass(frozen=True)
class Sharing:
    """Outcome of the run."""

    tasks: int
    done: int
    """Tasks that are completed."""
    times: dict[int, int]
    """How many tasks were completed so many times."""
    by_others: int
    """Tasks completed by another occurrence than their owner."""
    killed: int
    rescued: int
    """Tasks that went back to the queue from those who were killed or paused."""
    refused: int
    """Writes of the paused process, once it went on, that were refused; of ``held``."""
    held: int
    seconds: float

    @property
    def right(self) -> bool:
        """True if every task was done exactly once, by its owner, and the paused process was fenced off."""
        once = self.times == {1: self.tasks} and self.done == self.tasks and self.by_others == 0
        return once and self.refused == self.held > 0 and self.rescued >= self.held


def fill(url: str, tasks: int) -> None:
    """Put so many tasks into the queue."""
    with open_store(url) as store:
        for first in range(0, tasks, 1000):
            numbers = range(first, min(first + 1000, tasks))
            store.tasks.add_many(
                [Task(task_id=f"t{n:07}", channel_id="c", description="d", priority=n % 11) for n in numbers]
            )


def share(url: str, tasks: int, workers: int, kills: int, *, careless: bool = False) -> Sharing:
    """Let so many workers, and one more that is paused, do so many tasks; kill some workers while they are at it.

    ``careless``: the paused one goes on without its fences, to see that this would be noticed.
    """
    fill(url, tasks)
    # The one that is to be paused claims first, however fast the others are.
    done, begin = processes.RawArray("l", workers + 1), processes.Event()
    began = time.monotonic()
    arguments = [(url, number, done, begin, number == workers, careless) for number in range(workers + 1)]
    with Team(_work, arguments) as team:
        held = team.hear(workers)
        team.signal(workers, signal.SIGSTOP)
        for number in range(kills):
            wait_until(lambda goal=(number + 1) * tasks // (kills + 2): sum(done) >= goal)
            team.signal(number, signal.SIGKILL)
        rescued = sum(team.hear(number)[0] for number in range(kills, workers))
        seconds = time.monotonic() - began
        team.pipes[workers].send("go on")
        team.signal(workers, signal.SIGCONT)
        refused = team.hear(workers)[1]
    with open_store(url) as store:
        return Sharing(tasks, *_evidence(store), kills, rescued, refused, held, seconds)


def _evidence(store: Store) -> tuple[int, dict[int, int], int]:
    owners = {
        task.task_id: task.agent_occurrence_id
        for task in store.tasks.scan(occurrence_id=ANY_OCCURRENCE, status="completed")
    }
    finishers: dict[str, list[str]] = {}
    for event in store.correlations.scan(action_type="done"):
        assert event.request_data is not None and event.request_data.task_id is not None
        finishers.setdefault(event.request_data.task_id, []).append(event.handler_name)
    times = Counter(len(names) for names in finishers.values())
    by_others = sum(owners.get(task_id) not in names for task_id, names in finishers.items())
    return len(owners), dict(times), by_others


# --- a worker ---------------------------------------------------------------------------------------


def _work(pipe: Connection, url: str, number: int, done: Any, begin: Any, to_be_paused: bool, careless: bool) -> None:
    with open_store(url) as store:
        if not to_be_paused:
            begin.wait(SECONDS)
        me = store.for_occurrence(f"w{number}", TTL_SECONDS)
        me.register()
        if to_be_paused:
            batch = me.claim_next(BATCH)
            begin.set()
            pipe.send(len(batch))
            pipe.recv()
            pipe.send((0, _finish_all(store, batch, done, number, _finish_unfenced if careless else _finish)))
            return
        pipe.send(_work_until_done(store, me, done, number))
        me.shutdown()


def _work_until_done(store: Store, me: OccurrenceHandle, done: Any, number: int) -> tuple[int, int]:
    rescued = refused = 0
    beat = time.monotonic()
    while True:
        if time.monotonic() - beat > TTL_SECONDS / 6:
            me.heartbeat()
            beat = time.monotonic()
        batch = me.claim_next(BATCH)
        refused += _finish_all(store, batch, done, number)
        if batch:
            continue
        found = len(me.rescue())
        rescued += found
        if not found and not store.tasks.count(status=UNFINISHED, occurrence_id=ANY_OCCURRENCE):
            return rescued, refused
        if not found:
            time.sleep(0.02)


def _finish_all(store: Store, batch: list[ClaimedTask], done: Any, number: int, finish: Finish | None = None) -> int:
    refused = 0
    for work in batch:
        try:
            store.run(finish or _finish, work)
        except StaleFence:
            refused += 1
        else:
            done[number] += 1
    return refused


def _finish(tx: Transaction, work: ClaimedTask) -> None:
    """Complete it, and leave evidence of that in the same transaction."""
    tx.tasks.claimed(work.task).complete()
    _leave_evidence(tx, work)


def _finish_unfenced(tx: Transaction, work: ClaimedTask) -> None:
    assert tx.tasks.update(work.task.task_id, occurrence_id=ANY_OCCURRENCE, status="completed")
    _leave_evidence(tx, work)


def _leave_evidence(tx: Transaction, work: ClaimedTask) -> None:
    request = ServiceRequest(service_type="show", method_name="done", task_id=work.task.task_id)
    owner = work.task.agent_occurrence_id
    tx.correlations.add(Correlation(service_type="show", handler_name=owner, action_type="done", request_data=request))


# --- speed --------------------------------------------------------------------------------------------


def speed(url: str, tasks: int, workers: int, batch: int) -> float:
    """Tasks per second that so many processes claim and complete, with nothing but that."""
    fill(url, tasks)
    barrier = processes.Barrier(workers)
    with Team(_hurry, [(url, number, batch, barrier) for number in range(workers)]) as team:
        answers = team.hear_all()
    assert sum(answer[0] for answer in answers) == tasks
    return tasks / (max(answer[2] for answer in answers) - min(answer[1] for answer in answers))


def _hurry(pipe: Connection, url: str, number: int, batch: int, barrier: Any) -> None:
    count = 0
    with open_store(url) as store:
        me = store.for_occurrence(f"h{number}", 3600)
        me.register()
        barrier.wait()
        began = time.monotonic()
        while found := me.claim_next(batch):
            for work in found:
                work.complete()
            count += len(found)
    pipe.send((count, began, time.monotonic()))


def main() -> None:
    """Show it."""
    options = arguments_of("workers share out tasks", tasks=20_000, workers=8, kills=3)
    for kind in options.databases:
        with database(kind) as url:
            print(f"{kind:8} {share(url, options.tasks, options.workers, options.kills)}")
        for batch in (1, BATCH):
            with database(kind) as url:
                rate = speed(url, options.tasks, options.workers, batch)
                print(f"{kind:8} {rate:,.0f} tasks/s claimed by {batch} and completed one by one")
                if kind == "postgres" and batch == 1:
                    print(f"{kind:8} {queue_of_procrastinate.report(url, options.tasks, options.workers)}")


if __name__ == "__main__":
    main()
