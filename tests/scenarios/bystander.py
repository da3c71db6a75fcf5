"""B cleans up while A works: nothing of A's is changed, and what the dead left goes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ciris_store_core import OccurrenceHandle, Store, Task, Thought, open_store
from ciris_store_core.services import DatabaseMaintenanceService
from tests.scenarios.processes import Team, arguments_of, database

LONG_AGO = timedelta(days=400)


@dataclass(frozen=True)
class Bystander:
    """Outcome of the run."""

    quiet: bool
    """A's rows, while it did nothing, were the same before and after."""
    rows: int
    removed: int
    """Of the dead, who had left the same."""
    passes: int
    """While A worked."""
    writes: int
    lost: list[str]
    """Rows of A that were not as A had left them."""

    @property
    def right(self) -> bool:
        """True if nothing of A's was changed, and something of the dead was."""
        return self.quiet and not self.lost and self.removed > 0 and self.writes > 0


def watch(url: str, passes: int, *, alive: bool = True) -> Bystander:
    """Run so many passes of maintenance beside A; ``alive=False``: A is taken for dead, to see that it is noticed."""
    with tempfile.TemporaryDirectory() as folder, open_store(url, occurrence_id="B") as store:
        service = DatabaseMaintenanceService(store, archive_dir=Path(folder) / "archive")
        store.tasks.add_many([Task(task_id=f"pool-{n}", channel_id="c", description="d", **OF_POOL) for n in range(3)])
        leave_all_kinds_of_work(store.for_occurrence("dead"), store.server_now() - LONG_AGO)
        with Team(_a, [(url,)]) as team:
            team.hear(0)
            if not alive:
                store.occurrences.remove("A")
            before = rows_of(store)
            removed = service.run().removed
            quiet = rows_of(store) == before
            team.pipes[0].send("work")
            for _ in range(passes):
                service.run()
            team.pipes[0].send("stop")
            writes, expected = team.hear(0)
            found = rows_of(store)
        lost = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        return Bystander(quiet, len(before), removed, passes, writes, sorted(lost))


OF_POOL: dict[str, Any] = {"agent_occurrence_id": "default"}


def rows_of(store: Store) -> dict[str, str]:
    """Every row of A, every field of it."""
    tasks = {f"task {row.task_id}": row.to_json() for row in store.tasks.scan(occurrence_id="A")}
    return tasks | {f"thought {row.thought_id}": row.to_json() for row in store.thoughts.scan(occurrence_id="A")}


def leave_all_kinds_of_work(me: OccurrenceHandle, old: datetime) -> None:
    """Everything that maintenance might take for its own, if it did not ask whose it is."""
    name, times = me.occurrence_id, {"created_at": old, "updated_at": old}
    common = {"channel_id": "c", "description": "d", **times}
    statuses = ("pending", "active", "completed", "failed", "deferred")
    me.tasks.add_many([Task(task_id=f"{name}-{status}", status=status, **common) for status in statuses])
    me.tasks.add_many(
        [Task(task_id=f"{name}-orphan", parent_task_id="nowhere", **common),
         Task(task_id=f"{name}-of-failed", parent_task_id=f"{name}-failed", **common)]
    )  # fmt: skip
    me.thoughts.add_many(
        [Thought(thought_id=f"{name}-{status}", source_task_id=f"{name}-active", content="x", status=status, **times)
         for status in ("pending", "processing", "completed")]
    )  # fmt: skip
    add_orphan(me, Thought(thought_id=f"{name}-lonely", source_task_id="nowhere", content="x", **times))


def add_orphan(me: OccurrenceHandle, thought: Thought) -> Thought:
    """Store a thought whose task does not exist, as an older program or a copy leaves it."""
    orphan = thought.replaced(agent_occurrence_id=me.occurrence_id)
    me.thoughts._x.write("orphan", lambda session: session.thoughts.add([orphan]))
    return orphan


def _a(pipe: Connection, url: str) -> None:
    with open_store(url) as store, store.for_occurrence("A", 3600) as me:
        leave_all_kinds_of_work(me, store.server_now() - LONG_AGO)
        me.try_claim_shared("wakeup", "c", "d")
        me.claim_next(2)
        pipe.send("ready")
        pipe.recv()
        pipe.send(_work(store, me, pipe))
        pipe.recv()  # Alive until it was looked at.


def _work(store: Store, me: OccurrenceHandle, pipe: Connection) -> tuple[int, dict[str, str]]:
    expected, writes = rows_of(store), 0
    while not pipe.poll():
        me.heartbeat()
        task_id = f"A-new-{writes:06}"
        task = me.tasks.add(Task(task_id=task_id, channel_id="c", description="d", parent_task_id="nowhere"))
        times = {"created_at": task.created_at, "updated_at": task.created_at}
        thought = add_orphan(
            me, Thought(thought_id=task_id, source_task_id="gone", content="x", status="processing", **times)
        )
        assert me.tasks.update(task_id, status="completed", updated_at=task.created_at - LONG_AGO)
        done = task.replaced(status=task.status.COMPLETED, updated_at=task.created_at - LONG_AGO)
        expected |= {f"task {task_id}": done.to_json(), f"thought {task_id}": thought.to_json()}
        writes += 3
    pipe.recv()
    return writes, expected


def main() -> None:
    """Show it."""
    options = arguments_of("maintenance on B while A works", passes=50)
    for kind in options.databases:
        with database(kind) as url:
            result = watch(url, options.passes)
        print(f"{kind:8} {result}")
        assert result.right


if __name__ == "__main__":
    main()
