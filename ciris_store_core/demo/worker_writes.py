"""The writes of a worker: each function is one transaction, or part of one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from ciris_store_core import (
    SHARED_OCCURRENCE,
    ClaimedTask,
    ConfigNodeType,
    Conflict,
    Correlation,
    CorrelationType,
    FinalAction,
    GraphEdge,
    GraphNode,
    GraphScope,
    NodeType,
    RevisionMismatch,
    StaleFence,
    Store,
    Task,
    TaskOutcome,
    TaskStatus,
    Thought,
    ThoughtStatus,
    ThoughtType,
    Transaction,
)
from ciris_store_core.demo.distributions import Inspected, Installed, relationship_of
from ciris_store_core.demo.run_plan import INSPECTION, SCOPE, RunPlan
from ciris_store_core.models import CorrelationStatus, EdgeAttributes, MetricData, uuid7

_MIB = 2**20


# --- the start-up task ------------------------------------------------------------------------


def take_startup_task(tx: Transaction, plan: RunPlan, me: str) -> tuple[Task, bool]:
    """Claim the shared task, and take ownership of it if this call created it; return the task, and whether it did."""
    description = "survey the installed distributions"
    task, won = tx.shared_tasks.try_claim(plan.task_type, plan.run, description, 10, occurrence_id=me)
    if won:
        tx.thoughts.add(_question(task))
        tx.tasks.transfer(task.task_id, from_occurrence=SHARED_OCCURRENCE, to_occurrence=me)
        tx.thoughts.transfer(task_id=task.task_id, from_occurrence=SHARED_OCCURRENCE, to_occurrence=me)
    return task, won


def _question(task: Task) -> Thought:
    return Thought(
        thought_id=f"{task.task_id}/question",
        source_task_id=task.task_id,
        content="What is installed here, and what needs what?",
        agent_occurrence_id=SHARED_OCCURRENCE,
    )


def complete_startup_task(tx: Transaction, plan: RunPlan, me: str, task: Task, names: Iterable[str]) -> None:
    """Write a bare node and an inspection task for every distribution, and complete the task, in one transaction."""
    listed = list(names)
    tx.graph.put_many(
        GraphNode(id=plan.id_of(name), type=NodeType.CONCEPT, scope=SCOPE, attributes={"name": name}) for name in listed
    )
    tx.graph.put_many([_preferences(plan, {}), _filters(plan, {})])
    tx.tasks.add_many([_inspection(plan, task, name) for name in listed])
    answer = FinalAction(action_type="task_complete", reasoning=f"{len(listed)} distributions are to be inspected")
    question = _question(task).thought_id
    tx.thoughts.update(question, occurrence_id=me, status=ThoughtStatus.COMPLETED, final_action=answer)
    outcome = TaskOutcome(status="success", summary=answer.reasoning)
    tx.tasks.update(task.task_id, occurrence_id=me, status=TaskStatus.COMPLETED, outcome=outcome)


def _inspection(plan: RunPlan, survey: Task, name: str) -> Task:
    return Task(
        task_id=plan.id_of(name),
        channel_id=plan.run,
        description=f"inspect {name}",
        agent_occurrence_id=plan.run,
        parent_task_id=survey.task_id,
    )


# --- an inspection ----------------------------------------------------------------------------


def inspect(store: Store, plan: RunPlan, work: ClaimedTask, package: Installed, known: Iterable[str]) -> bool:
    """Inspect a distribution and store the result; return False if another worker owns the task now."""
    started = time.perf_counter()
    seen = package.inspect()
    milliseconds = (time.perf_counter() - started) * 1000
    edges = _edges(plan, package, set(known))
    while True:
        try:
            store.run(_record, plan, work.task, seen, edges, milliseconds)
            return True
        except StaleFence:
            return False
        except RevisionMismatch:
            # Another worker updated the counter in between: count on from its value.
            continue


def _record(
    tx: Transaction, plan: RunPlan, task: Task, seen: Inspected, edges: list[GraphEdge], milliseconds: float
) -> None:
    work, me = tx.tasks.claimed(task), task.agent_occurrence_id
    work.add_thought(_observation(task, seen, len(edges)))
    tx.graph.put(_seen_node(plan, seen, me))
    tx.graph.put_edge_many(edges)
    tx.correlations.add(metric(plan, me, INSPECTION, milliseconds, "ms"))
    work.complete(TaskOutcome(status="success", summary=f"{seen.files} files", memories_created=[task.task_id]))
    _learn(tx, plan, seen)


def _observation(task: Task, seen: Inspected, dependencies: int) -> Thought:
    return Thought(
        thought_id=uuid7(),
        source_task_id=task.task_id,
        thought_type=ThoughtType.OBSERVATION,
        status=ThoughtStatus.COMPLETED,
        content=f"{seen.name} {seen.version}: {seen.files} files, {seen.size / _MIB:.1f} MiB",
        final_action=FinalAction(action_type="memorize", reasoning=f"it needs {dependencies} other distributions"),
    )


def _seen_node(plan: RunPlan, seen: Inspected, me: str) -> GraphNode:
    attributes = {"version": seen.version, "files": seen.files, "size": seen.size, "builder": seen.builder}
    return GraphNode(id=plan.id_of(seen.name), type=NodeType.CONCEPT, scope=SCOPE, attributes=attributes, updated_by=me)


def _edges(plan: RunPlan, package: Installed, known: set[str]) -> list[GraphEdge]:
    wanted = {name: text for name, text in sorted(package.requirements.items()) if name in known}
    return [
        GraphEdge(
            source=plan.id_of(package.name),
            target=plan.id_of(name),
            relationship=relationship_of(text),
            scope=SCOPE,
            attributes=EdgeAttributes(context=text),
        )
        for name, text in wanted.items()
    ]


# --- what is learned --------------------------------------------------------------------------


def _learn(tx: Transaction, plan: RunPlan, seen: Inspected) -> None:
    """Count the build tool, and remember compiled code.

    The counter is shared by all workers, so it is written only at the expected revision, else ``RevisionMismatch``. A
    key that only one worker writes needs no such check: merges lose no key.
    """
    stored = tx.graph.get(plan.preferences, GraphScope.LOCAL)
    if stored is None:
        raise Conflict("the run's configuration was deleted", kind="node", hint="Start the demo again.")
    count = stored.attributes.get(seen.builder, 0) + 1
    tx.graph.put(_preferences(plan, {seen.builder: count}), expected_revision=stored.revision)
    if seen.compiled:
        tx.graph.put(_filters(plan, {seen.name: seen.compiled}))


def _preferences(plan: RunPlan, counts: dict[str, int]) -> GraphNode:
    return _configuration(plan.preferences, ConfigNodeType.TOOL_PREFERENCES, counts)


def _filters(plan: RunPlan, compiled: dict[str, int]) -> GraphNode:
    return _configuration(plan.filters, ConfigNodeType.FILTER_CONFIG, compiled)


def _configuration(node_id: str, kind: ConfigNodeType, values: dict[str, int]) -> GraphNode:
    attributes = {**values, "config_type": kind.value}
    return GraphNode(id=node_id, type=NodeType.CONFIG, scope=GraphScope.LOCAL, attributes=attributes)


# --- metrics ----------------------------------------------------------------------------------


def metric(plan: RunPlan, me: str, name: str, value: float, unit: str) -> Correlation:
    """Return a measurement of a worker, taken now."""
    return Correlation(
        # Set here, because records stored later in a batch would get the time of storing.
        timestamp=datetime.now(UTC),
        correlation_type=CorrelationType.METRIC_DATAPOINT,
        service_type="demo",
        handler_name="worker",
        action_type="measure",
        status=CorrelationStatus.COMPLETED,
        agent_occurrence_id=me,
        metric_data=MetricData(metric_name=name, metric_value=value, metric_unit=unit),
        tags={**plan.tags, "occurrence": me},
    )
