"""The whole demo, in the process that starts the workers and kills one."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Protocol

from ciris_store_core import (
    ANY_OCCURRENCE,
    Capability,
    InvalidArgument,
    NotFound,
    NotSupported,
    Store,
    TaskStatus,
    open_store,
)
from ciris_store_core.demo.checks import KilledWorker
from ciris_store_core.demo.distributions import Installed, installed, places
from ciris_store_core.demo.results import Results, gather
from ciris_store_core.demo.run_plan import RunPlan
from ciris_store_core.demo.worker_processes import WorkerProcess, WorkerProcesses

TTL_SECONDS = 2.0
LIMIT_SECONDS = 120.0
POLL_SECONDS = 0.05


class Watcher(Protocol):
    """A receiver of the demo's events."""

    def begun(self, plan: RunPlan, store: Store) -> None:
        """Receive the start: the store is open, and the processes are being started."""

    def told(self, what: str) -> None:
        """Receive one event."""

    def progress(self, done: int, total: int) -> None:
        """Receive the number of finished inspections."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the caller."""

    workers: int = 4
    force: bool = False
    """True to run in a store that holds records."""
    ttl_seconds: float = TTL_SECONDS


def run_demo(url: str, options: DemoOptions, watcher: Watcher) -> Results:
    """Run the demo on the store of ``url`` and return its results as the store remembers them.

    Raises:
        NotSupported: The store cannot be opened by several processes.
        NotFound: No distribution is installed.
        InvalidArgument: There are records in the store, and ``force`` was not given.
        WorkerFailed: A worker ended with an error.
    """
    with open_store(url) as store:
        _check(store, options.force)
        plan = RunPlan(f"demo-{secrets.token_hex(3)}", url, options.workers, places(), options.ttl_seconds)
        packages = _packages(plan)
        watcher.begun(plan, store)
        started = time.monotonic()
        with WorkerProcesses(plan, LIMIT_SECONDS) as team:
            killed = _direct(team, store, plan, watcher)
            _watch(team, store, plan, killed, watcher, packages)
            watcher.told("the others have finished everything, its work too, and shut down")
        return gather(store, plan, packages, team.members, killed, time.monotonic() - started)


def _check(store: Store, force: bool) -> None:
    if Capability.MULTI_PROCESS not in store.capabilities:
        raise NotSupported("no other process can open this store, and the demo runs several. Name a file or a server.")
    if not force and not store.is_empty():
        raise InvalidArgument(
            "the store holds records, and the demo needs an empty one. Name an empty database, or add --force to "
            "run beside them (the demo's records stay, under names that begin with 'demo-')."
        )


def _packages(plan: RunPlan) -> dict[str, Installed]:
    found = installed(plan.places)
    if not found:
        raise NotFound(
            "the demo inspects installed Python distributions, and there are none",
            kind="distribution",
            hint="Install one with pip.",
        )
    return found


def _direct(team: WorkerProcesses, store: Store, plan: RunPlan, watcher: Watcher) -> KilledWorker:
    """Start all processes at once, and kill one that has claimed unfinished work."""
    team.rendezvous()
    watcher.told(f"{plan.workers} processes have the store open; all start at once")
    team.go_on()
    held = [answer["held"] for answer in team.rendezvous()]
    watcher.told("one won the start-up task and wrote the inspections; all have claimed some")
    killed = _kill(max(zip(held, team.members, strict=True), key=lambda pair: pair[0])[1], store)
    team.go_on()
    watcher.told(f"process {killed.pid} was killed without warning; it held {len(killed.held)} claimed inspections")
    watcher.told(f"they are free for the others {plan.ttl_seconds:g} s after its last heartbeat")
    return killed


def _kill(member: WorkerProcess, store: Store) -> KilledWorker:
    page = store.tasks.find(status=TaskStatus.ACTIVE, occurrence_id=member.occurrence)
    member.kill()
    return KilledWorker(member.occurrence, member.pid, store.clock.now(), tuple(task.task_id for task in page))


def _watch(
    team: WorkerProcesses,
    store: Store,
    plan: RunPlan,
    killed: KilledWorker,
    watcher: Watcher,
    packages: dict[str, Installed],
) -> None:
    others = [member for member in team.members if member.pid != killed.pid]
    while any(member.running() for member in others):
        watcher.progress(_done(store, plan), len(packages))
        time.sleep(POLL_SECONDS)
    for member in others:
        member.check()
    watcher.progress(_done(store, plan), len(packages))


def _done(store: Store, plan: RunPlan) -> int:
    return store.tasks.count(status=TaskStatus.COMPLETED, channel_id=plan.run, occurrence_id=ANY_OCCURRENCE) - 1
