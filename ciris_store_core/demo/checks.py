"""The checks of a run: each compares a count of the store with the expected count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from ciris_store_core import GraphNode, Task, TaskStatus, Thought, ThoughtStatus, ThoughtType
from ciris_store_core.demo.distributions import Dependency, Installed, dependencies

#: The survey writes each node once, and its inspection writes it once.
_WRITES_OF_A_NODE = 2


@dataclass(frozen=True, slots=True)
class KilledWorker:
    """The worker that was killed, with its claimed and unfinished inspections."""

    occurrence: str
    pid: int
    at: datetime
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records of a run at its end."""

    startup: list[Task]
    inspections: list[Task]
    thoughts: list[Thought]
    nodes: dict[str, GraphNode]
    edges: set[Dependency]
    races: dict[str, float]
    """The number of times that each worker asked for the start-up task and won it."""
    claims: dict[str, float]
    durations: int
    tool_preferences: dict[str, int]
    filter_config: dict[str, int]

    @property
    def completed(self) -> list[Task]:
        """Return the completed inspections."""
        return [task for task in self.inspections if task.status == TaskStatus.COMPLETED]

    @property
    def reports(self) -> Counter[str]:
        """Return the number of reports for each inspection, by task."""
        return Counter(
            thought.source_task_id
            for thought in self.thoughts
            if thought.thought_type == ThoughtType.OBSERVATION and thought.status == ThoughtStatus.COMPLETED
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """A number from the store, and its expected value."""

    key: str
    what: str
    expected: int
    found: int
    at_least: bool = False
    """True if larger numbers are right too."""

    @property
    def ok(self) -> bool:
        """Return whether the check holds."""
        return self.found >= self.expected if self.at_least else self.found == self.expected


def prove(evidence: Evidence, packages: dict[str, Installed], workers: int, killed: KilledWorker) -> list[Proof]:
    """Check a run against the distributions that this process found itself."""
    return [*_start_up(evidence, workers), *_work(evidence, len(packages), killed), *_memory(evidence, packages)]


def _start_up(evidence: Evidence, workers: int) -> list[Proof]:
    winners = {occurrence for occurrence, times in evidence.races.items() if times == 1}
    ids = {task.task_id for task in evidence.startup}
    owners = {task.agent_occurrence_id for task in evidence.startup if task.status == TaskStatus.COMPLETED}
    owners |= {thought.agent_occurrence_id for thought in evidence.thoughts if thought.source_task_id in ids}
    return [
        Proof("racers", "processes that raced for the start-up task", workers, len(evidence.races)),
        Proof("winners", "processes that won it", 1, round(sum(evidence.races.values()))),
        Proof("winner_owns", "start-up tasks done, with their thoughts, by the winner", 1, int(owners == winners)),
    ]


def _work(evidence: Evidence, expected: int, killed: KilledWorker) -> list[Proof]:
    reports, completed = evidence.reports, {task.task_id for task in evidence.completed}
    once = [task_id for task_id, times in reports.items() if times == 1 and task_id in completed]
    by_others = {task.task_id for task in evidence.completed if task.agent_occurrence_id != killed.occurrence}
    return [
        Proof("created", "inspections created: one per distribution", expected, len(evidence.inspections)),
        Proof("completed", "inspections completed", expected, len(evidence.completed)),
        Proof("completed_once", "inspections with exactly one report", expected, len(once)),
        Proof("reports", "reports in all", expected, sum(reports.values())),
        Proof("durations", "durations measured", expected, evidence.durations),
        Proof("left", "inspections left", 0, len(evidence.inspections) - len(completed)),
        Proof("held", "inspections that the killed process held", 1, len(killed.held), at_least=True),
        Proof("rescued", "of these, finished by the others", len(killed.held), len(by_others & {*killed.held})),
    ]


def _memory(evidence: Evidence, packages: dict[str, Installed]) -> list[Proof]:
    edges = dependencies(packages)
    merged = sum(node.revision == _WRITES_OF_A_NODE for node in evidence.nodes.values())
    compiled = sum(package.compiled > 0 for package in packages.values())
    return [
        Proof("nodes", "distributions remembered (nodes)", len(packages), len(evidence.nodes.keys() & packages.keys())),
        Proof("nodes_in_all", "nodes in all", len(packages), len(evidence.nodes)),
        Proof("merged_once", "nodes that one inspection completed", len(packages), merged),
        Proof("edges", "dependencies remembered (edges)", len(edges), len(evidence.edges & edges)),
        Proof("edges_in_all", "edges in all", len(edges), len(evidence.edges)),
        Proof("counted", "counted by build tool, none lost", len(packages), sum(evidence.tool_preferences.values())),
        Proof("compiled", "compiled distributions learned", compiled, len(evidence.filter_config)),
    ]
