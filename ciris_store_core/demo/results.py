"""The results of a run, read from the store, and their checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core import ANY_OCCURRENCE, GraphEdge, GraphScope, Store, Task
from ciris_store_core.demo.checks import Evidence, KilledWorker, Proof, prove
from ciris_store_core.demo.distributions import Dependency, Installed, taken_from
from ciris_store_core.demo.host_metrics import UNITS
from ciris_store_core.demo.run_plan import CLAIMED, DEPENDS_ON, INSPECTION, MAY_DEPEND_ON, SCOPE, WON, RunPlan
from ciris_store_core.demo.worker_processes import WorkerProcess

MOST = 8
COLUMNS = 56
SHORTEST_BUCKET = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """The results of one worker."""

    occurrence: str
    pid: int
    claimed: int
    finished: int
    rescued: int
    """The number of finished inspections that another worker had claimed before."""
    won_startup: bool
    killed: bool


@dataclass(frozen=True, slots=True)
class Needed:
    """A distribution that others need."""

    name: str
    needed_by: int
    maybe_needed_by: int
    """The number of conditional dependents (of some environments, or some extra)."""
    version: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """A metric over the run: its value in each time bucket, None without a measurement."""

    name: str
    unit: str
    values: list[float | None]


@dataclass(frozen=True, slots=True)
class RunTimeline:
    """Series on one time axis."""

    start: datetime
    bucket_seconds: float
    host: ChartSeries
    inspections: dict[str, ChartSeries]
    """The number of finished inspections of each worker in each bucket."""
    killed_at: float
    """Seconds after ``start``."""


@dataclass(frozen=True, slots=True)
class Results:
    """All results of a run."""

    run: str
    store: dict[str, Any]
    seconds: float
    places: dict[str, int]
    workers: list[WorkerResult]
    most_needed: list[Needed]
    timeline: RunTimeline
    tool_preferences: dict[str, int]
    filter_config: dict[str, int]
    proofs: list[Proof]

    @property
    def ok(self) -> bool:
        """Return whether every check holds."""
        return all(proof.ok for proof in self.proofs)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data, fit for JSON."""
        proofs = [{**asdict(proof), "ok": proof.ok} for proof in self.proofs]
        plain = {**asdict(self), "proofs": proofs, "ok": self.ok}
        plain["timeline"]["start"] = self.timeline.start.isoformat()
        return plain


def gather(
    store: Store,
    plan: RunPlan,
    packages: dict[str, Installed],
    members: Sequence[WorkerProcess],
    killed: KilledWorker,
    seconds: float,
) -> Results:
    """Read the results from the store. ``packages`` are the distributions that this process found itself."""
    evidence = read_evidence(store, plan)
    return Results(
        run=plan.run,
        store=dict(store.info()),
        seconds=round(seconds, 2),
        places=taken_from(plan.places),
        workers=[_worker(evidence, member, killed) for member in members],
        most_needed=_most_needed(store, plan),
        timeline=_timeline(store, plan, members, killed),
        tool_preferences=evidence.tool_preferences,
        filter_config=evidence.filter_config,
        proofs=prove(evidence, packages, len(members), killed),
    )


def read_evidence(store: Store, plan: RunPlan) -> Evidence:
    """Read all records of the run that the checks use."""
    tasks = list(store.tasks.scan(channel_id=plan.run, occurrence_id=ANY_OCCURRENCE))
    ours = {task.task_id for task in tasks}
    return Evidence(
        startup=[task for task in tasks if task.shared_type == plan.task_type],
        inspections=[task for task in tasks if task.shared_type is None],
        thoughts=[
            thought for thought in store.thoughts.scan(occurrence_id=ANY_OCCURRENCE) if thought.source_task_id in ours
        ],
        nodes={plan.name_of(node.id): node for node in store.graph.scan(scope=SCOPE, prefix=plan.id_of(""))},
        edges=_edges(store, plan),
        races=_per_worker(store, plan, WON),
        claims=_per_worker(store, plan, CLAIMED),
        durations=store.correlations.count(metric_name=INSPECTION, tags=plan.tags),
        tool_preferences=_configuration(store, plan.preferences),
        filter_config=_configuration(store, plan.filters),
    )


def _edges(store: Store, plan: RunPlan) -> set[Dependency]:
    own = (edge for edge in _all_edges(store) if edge.source.startswith(plan.id_of("")))
    return {Dependency(plan.name_of(edge.source), plan.name_of(edge.target), edge.relationship) for edge in own}


def _all_edges(store: Store) -> Iterator[GraphEdge]:
    page = store.graph.find_edges(scope=SCOPE, limit=1000)
    yield from page
    while page.next_cursor is not None:
        page = store.graph.find_edges(scope=SCOPE, limit=1000, cursor=page.next_cursor)
        yield from page


def _per_worker(store: Store, plan: RunPlan, name: str) -> dict[str, float]:
    """Return the sum of a metric by occurrence, over all times."""
    sums: defaultdict[str, float] = defaultdict(float)
    for point in store.correlations.aggregate(
        "sum", timedelta(days=1), group_by=["occurrence"], metric_name=name, tags=plan.tags
    ):
        sums[point.group[0] or ""] += point.value
    return dict(sums)


def _configuration(store: Store, node_id: str) -> dict[str, int]:
    node = store.graph.get(node_id, GraphScope.LOCAL)
    learned = {} if node is None else {key: value for key, value in node.attributes.items() if key != "config_type"}
    return dict(sorted(learned.items(), key=lambda pair: (-pair[1], pair[0])))


# --- what is shown ----------------------------------------------------------------------------


def _worker(evidence: Evidence, member: WorkerProcess, killed: KilledWorker) -> WorkerResult:
    own = [task for task in evidence.completed if task.agent_occurrence_id == member.occurrence]
    return WorkerResult(
        occurrence=member.occurrence,
        pid=member.pid,
        claimed=round(evidence.claims.get(member.occurrence, 0)),
        finished=len(own),
        rescued=sum(map(was_rescued, own)),
        won_startup=evidence.races.get(member.occurrence) == 1,
        killed=member.occurrence == killed.occurrence,
    )


def was_rescued(task: Task) -> bool:
    """Return whether the task was claimed, released and claimed again: each of these increases the fence."""
    return task.fence >= 3


def _most_needed(store: Store, plan: RunPlan) -> list[Needed]:
    needed, maybe = _degrees(store, plan, DEPENDS_ON), _degrees(store, plan, MAY_DEPEND_ON)
    top = list(needed)[:MOST]
    nodes = store.graph.get_many([(node_id, SCOPE) for node_id in top])
    found = {key.id: node.attributes for key, node in nodes.items()}
    return [_needed(plan.name_of(id), needed[id], maybe.get(id, 0), found.get(id, {})) for id in top]


def _needed(name: str, by: int, maybe_by: int, attributes: Mapping[str, Any]) -> Needed:
    version = attributes.get("version", "unknown")
    return Needed(name, by, maybe_by, version, attributes.get("files", 0), attributes.get("size", 0))


def _degrees(store: Store, plan: RunPlan, relationship: str) -> dict[str, int]:
    """Return the number of incoming edges of each of the run's nodes, largest first."""
    ranked = store.graph.degrees(SCOPE, "in", relationship, limit=10_000)
    return {degree.id: degree.count for degree in ranked if degree.id.startswith(plan.id_of(""))}


def _timeline(store: Store, plan: RunPlan, members: Sequence[WorkerProcess], killed: KilledWorker) -> RunTimeline:
    start = store.correlations.find(limit=1, tags=plan.tags).items[0].timestamp
    end = store.correlations.recent(1, tags=plan.tags).items[0].timestamp
    bucket = max(SHORTEST_BUCKET, SHORTEST_BUCKET * -(-(end - start) // (SHORTEST_BUCKET * COLUMNS)))
    axis = Axis(start, end, bucket)
    return RunTimeline(
        start=axis.start,
        bucket_seconds=bucket.total_seconds(),
        host=_host(store, plan, axis),
        inspections=_inspections(store, plan, axis, members),
        killed_at=max((killed.at - axis.start).total_seconds(), 0.0),
    )


class Axis:
    """The time buckets from the first to the last point."""

    def __init__(self, start: datetime, end: datetime, bucket: timedelta) -> None:
        """Align the buckets like those of the store: to the epoch."""
        epoch = datetime.fromtimestamp(0, start.tzinfo)
        self.bucket = bucket
        self.start = epoch + (start - epoch) // bucket * bucket
        self.length = (end - self.start) // bucket + 1

    def values(self, points: Sequence[tuple[datetime, float]], missing: float | None) -> list[float | None]:
        """Return the points' values in order of time, one for each bucket."""
        known = {(start - self.start) // self.bucket: round(value, 3) for start, value in points}
        return [known.get(column, missing) for column in range(self.length)]


def _host(store: Store, plan: RunPlan, axis: Axis) -> ChartSeries:
    """Return the first of the host's metrics that this platform provides."""
    for name, unit in UNITS.items():
        points = store.correlations.aggregate("avg", axis.bucket, metric_name=name, tags=plan.tags)
        if points:
            return ChartSeries(name, unit, axis.values([(point.start, point.value) for point in points], None))
    return ChartSeries("nothing was measured", "", [])


def _inspections(store: Store, plan: RunPlan, axis: Axis, members: Sequence[WorkerProcess]) -> dict[str, ChartSeries]:
    points = store.correlations.aggregate(
        "count", axis.bucket, group_by=["occurrence"], metric_name=INSPECTION, tags=plan.tags
    )
    return {
        member.occurrence: ChartSeries(
            "inspections",
            "",
            axis.values([(p.start, p.value) for p in points if p.group == (member.occurrence,)], 0),
        )
        for member in members
    }
