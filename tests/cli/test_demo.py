"""The demo on real databases, and that its checks notice what they are there for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    NotFound,
    Store,
    Task,
    TaskStatus,
    Thought,
    ThoughtStatus,
    ThoughtType,
    open_store,
)
from ciris_store_core.cli import main
from ciris_store_core.demo.checks import KilledWorker, prove
from ciris_store_core.demo.distributions import Dependency, dependencies, installed, normal, places, taken_from
from ciris_store_core.demo.host_metrics import UNITS, HostSampler
from ciris_store_core.demo.results import read_evidence
from ciris_store_core.demo.run import DemoOptions, run_demo
from ciris_store_core.demo.run_plan import DEPENDS_ON, MAY_DEPEND_ON, SCOPE, RunPlan
from ciris_store_core.demo.worker_processes import WorkerFailed, WorkerProcesses
from ciris_store_core.demo.worker_writes import complete_startup_task, inspect, take_startup_task
from tests.support.pgserver import ExternalServer

COUNTS_OF_DISTRIBUTIONS = ("created", "completed", "completed_once", "reports", "durations", "nodes", "merged_once")


@pytest.fixture
def postgres_url(postgres_server: ExternalServer) -> Iterator[str]:
    """An empty database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard output of the command."""
    monkeypatch.setattr("sys.argv", ["ciris-store", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, capsys.readouterr().out


def check_counts(results: dict[str, Any], workers: int) -> None:
    """All checks hold, and their numbers are those of this environment."""
    proofs = {proof["key"]: proof for proof in results["proofs"]}
    assert results["ok"] and all(proof["ok"] for proof in proofs.values())
    packages = installed(places())
    assert packages
    assert {proofs[key]["found"] for key in COUNTS_OF_DISTRIBUTIONS} == {len(packages)}
    assert proofs["edges"]["found"] == len(dependencies(packages)) > 0
    assert (proofs["racers"]["found"], proofs["winners"]["found"], proofs["left"]["found"]) == (workers, 1, 0)
    assert proofs["rescued"]["found"] == proofs["held"]["found"] >= 1


def check_workers(results: dict[str, Any]) -> None:
    """The counts of the workers add up, and others finished the work of the killed one."""
    everyone = results["workers"]
    (killed,) = [worker for worker in everyone if worker["killed"]]
    assert sum(worker["won_startup"] for worker in everyone) == 1
    assert sum(worker["finished"] for worker in everyone) == len(installed(places()))
    assert killed["claimed"] > killed["finished"]
    assert sum(worker["rescued"] for worker in everyone) >= killed["claimed"] - killed["finished"]


def test_demo_on_sqlite(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    code, out = run(["demo", "--json"], monkeypatch, capsys)
    results = json.loads(out)
    assert code == 0
    check_counts(results, workers=4)
    check_workers(results)
    assert not Path(results["store"]["path"]).parent.exists()
    assert results["seconds"] <= time.monotonic() - started


@pytest.mark.postgres
def test_demo_on_postgres(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(["demo", "--json", "--url", postgres_url], monkeypatch, capsys)
    results = json.loads(out)
    assert code == 0
    assert results["store"]["backend"] == "PostgreSQL"
    check_counts(results, workers=4)
    check_workers(results)


def test_demo_is_drawn_within_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    url = f"sqlite:///{tmp_path}/kept.db"
    code, out = run(["demo", "--workers", "2", "--url", url], monkeypatch, capsys)
    assert code == 0
    assert "nothing was lost, nothing was done twice" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (tmp_path / "kept.db").exists()


def test_demo_refuses_a_store_with_records_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url) as store:
        store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
        store.thoughts.add(Thought(thought_id="mine", source_task_id="t", content="a thought of the user's"))
    assert run(["demo", "--url", url], monkeypatch, capsys)[0] == 2
    code, out = run(["demo", "--url", url, "--force", "--workers", "2", "--json"], monkeypatch, capsys)
    assert code == 0
    check_counts(json.loads(out), workers=2)
    with open_store(url) as store:
        assert store.thoughts.get("mine") is not None


def test_demo_refuses_a_store_that_other_processes_cannot_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--url", "memory://"], monkeypatch, capsys)[0] == 2


def test_demo_tells_what_happens_in_order(tmp_path: Path) -> None:
    watcher = Listener()
    run_demo(f"sqlite:///{tmp_path}/store.db", DemoOptions(workers=2, ttl_seconds=1.0), watcher)
    assert [text.split(" ", 1)[0] for text in watcher.said] == ["2", "one", "process", "they", "the"]
    assert watcher.seen == sorted(watcher.seen)
    assert watcher.seen[-1] == (len(installed(places())),) * 2


@pytest.mark.parametrize("count", [1, 3])
def test_there_may_be_fewer_distributions_than_workers(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(count):
        distribution(tmp_path / "site", f"only-{number}", "only-0")
    monkeypatch.setattr("ciris_store_core.demo.run.places", lambda: (str(tmp_path / "site"),))
    results = run_demo(f"sqlite:///{tmp_path}/store.db", DemoOptions(ttl_seconds=1.0), Listener())
    assert results.ok
    assert [needed.needed_by for needed in results.most_needed] == ([count - 1] if count > 1 else [])


def test_it_says_that_there_is_nothing_to_inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciris_store_core.demo.run.places", lambda: ())
    with pytest.raises(NotFound, match="Install one"):
        run_demo(f"sqlite:///{tmp_path}/store.db", DemoOptions(ttl_seconds=1.0), Listener())


@dataclass
class Listener:
    """Remembers what it is told."""

    said: list[str] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)

    def begun(self, plan: RunPlan, store: Store) -> None:
        assert str(plan.workers) not in store.stats()

    def told(self, what: str) -> None:
        self.said.append(what)

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))


# --- the processes ----------------------------------------------------------------------------


def test_a_worker_that_cannot_open_the_store_is_reported_in_its_own_words(tmp_path: Path) -> None:
    plan = RunPlan("demo-x", f"sqlite:///{tmp_path}/nowhere/store.db", 2, (), 2.0)
    with WorkerProcesses(plan, 60) as team, pytest.raises(WorkerFailed, match="there is no directory"):
        team.rendezvous()


def test_workers_that_take_too_long_are_ended(tmp_path: Path) -> None:
    plan = RunPlan("demo-x", f"sqlite:///{tmp_path}/store.db", 2, (), 2.0)
    with WorkerProcesses(plan, 0.01) as team, pytest.raises(WorkerFailed, match="ended with code"):
        team.rendezvous()
        team.rendezvous()


def test_the_plan_keeps_its_url_to_itself() -> None:
    plan = RunPlan("demo-x", "postgresql://me:hidden@host/db", 2, ("/a", "/b"), 2.0)
    assert "hidden" not in repr(plan)
    assert RunPlan.from_json(plan.to_json()) == plan


def test_an_inspection_that_was_taken_over_stores_nothing(tmp_path: Path) -> None:
    distribution(tmp_path / "site", "one")
    plan = RunPlan("demo-x", "", 2, (str(tmp_path / "site"),), 2.0)
    package = installed(plan.places)["one"]
    with open_store("memory://") as store:
        task, won = store.run(take_startup_task, plan, "w1")
        store.run(complete_startup_task, plan, "w1", task, ["one"])
        assert won and not store.run(take_startup_task, plan, "w2")[1]
        (stale,) = store.tasks.claim_next("w1", queue=plan.run)
        store.for_occurrence("w2").rescue()
        (work,) = store.tasks.claim_next("w2", queue=plan.run)
        before = read_evidence(store, plan)
        assert not inspect(store, plan, stale, package, ["one"])
        assert read_evidence(store, plan) == before
        assert inspect(store, plan, work, package, ["one"])
        assert read_evidence(store, plan).reports == {plan.id_of("one"): 1}


def test_a_deleted_configuration_ends_a_worker(tmp_path: Path) -> None:
    distribution(tmp_path / "site", "one")
    plan = RunPlan("demo-x", "", 2, (str(tmp_path / "site"),), 2.0)
    package = installed(plan.places)["one"]
    with open_store("memory://") as store:
        task, _ = store.run(take_startup_task, plan, "w1")
        store.run(complete_startup_task, plan, "w1", task, ["one"])
        (work,) = store.tasks.claim_next("w1", queue=plan.run)
        store.graph.delete(plan.preferences, "local")
        with pytest.raises(Conflict, match="the run's configuration was deleted"):
            inspect(store, plan, work, package, ["one"])


# --- the checks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """URL of the store of a finished run, the run, and the worker that was killed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('finished')}/store.db"
    results = run_demo(url, DemoOptions(workers=2, ttl_seconds=1.0), Listener())
    return url, results.run, next(worker.occurrence for worker in results.workers if worker.killed)


def failures(store: Store, finished: tuple[str, str, str]) -> set[str]:
    """The checks that do not hold for the store as it is now."""
    url, name, dead = finished
    plan = RunPlan(name, url, 2, places(), 2.0)
    evidence = read_evidence(store, plan)
    held = tuple(task.task_id for task in evidence.completed if task.agent_occurrence_id != dead)[:1]
    killed = KilledWorker(dead, 1, datetime.now(UTC), held)
    return {proof.key for proof in prove(evidence, installed(plan.places), 2, killed) if not proof.ok}


def any_inspection(store: Store) -> str:
    """The id of one inspection, which is also its node's."""
    tasks = store.tasks.find(status=TaskStatus.COMPLETED, occurrence_id=ANY_OCCURRENCE, limit=10)
    return next(task.task_id for task in tasks if task.shared_type is None)


def spoil_nothing(store: Store) -> None:
    """All is well."""


def report_again(store: Store) -> None:
    done = ThoughtStatus.COMPLETED
    twice = Thought(thought_id="twice", source_task_id=any_inspection(store), content="again", status=done)
    store.thoughts.add(twice.replaced(thought_type=ThoughtType.OBSERVATION))


def forget_a_node(store: Store) -> None:
    needed = store.graph.degrees(SCOPE, "in", DEPENDS_ON, limit=1)[0]
    store.graph.delete(needed.id, SCOPE)


def write_a_node_again(store: Store) -> None:
    node = store.graph.get(any_inspection(store), SCOPE)
    assert node is not None
    store.graph.put(node)


def leave_a_task(store: Store) -> None:
    store.tasks.update(any_inspection(store), occurrence_id=ANY_OCCURRENCE, status=TaskStatus.ACTIVE)


def lose_a_count(store: Store) -> None:
    (node,) = store.graph.find(type="config", attributes={"config_type": "tool_preferences"})
    tool, count = next((key, value) for key, value in node.attributes.items() if isinstance(value, int))
    store.graph.put(node.replaced(attributes={tool: count - 1}))


@pytest.mark.parametrize(
    ("spoil", "noticed_by"),
    [
        (spoil_nothing, set()),
        (report_again, {"completed_once", "reports"}),
        (forget_a_node, {"nodes", "nodes_in_all", "merged_once", "edges", "edges_in_all"}),
        (write_a_node_again, {"merged_once"}),
        (leave_a_task, {"completed", "completed_once", "left"}),
        (lose_a_count, {"counted"}),
    ],
)
def test_checks_notice_what_is_wrong(finished: tuple[str, str, str], spoil: Any, noticed_by: set[str]) -> None:
    with open_store(finished[0]) as store, pytest.raises(Undo), store.transaction() as tx:
        spoil(tx)
        assert failures(tx, finished) == noticed_by  # type: ignore[arg-type]
        raise Undo


class Undo(Exception):
    """Leaves a transaction without committing it."""


# --- what is read from the machine ------------------------------------------------------------


def distribution(folder: Path, name: str, *requirements: str, files: tuple[str, ...] = ()) -> None:
    """Install a distribution, as an installer leaves it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {r}" for r in requirements)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: bdist_wheel (0.40)\n")
    for file in files:
        (folder / file).write_text("12345")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_dependencies_hold_between_installed_distributions_only(tmp_path: Path) -> None:
    distribution(
        tmp_path, "A_one", "b.two>=1", "missing", "A-one[extra]", 'C ; extra == "x"', "C>2 ; python_version > '3'"
    )
    distribution(tmp_path, "B.Two", "c", 'C[x]>1 ; extra == "more"')
    distribution(tmp_path, "c")
    assert dependencies(installed([str(tmp_path)])) == {
        Dependency("a-one", "b-two", DEPENDS_ON),
        Dependency("a-one", "c", MAY_DEPEND_ON),
        Dependency("b-two", "c", DEPENDS_ON),
    }


def test_inspection_counts_files_bytes_and_compiled_code(tmp_path: Path) -> None:
    distribution(tmp_path, "one", files=("one.py", "fast.so"))
    seen = installed([str(tmp_path)])["one"].inspect()
    assert (seen.version, seen.files, seen.size, seen.compiled, seen.builder) == ("1.0", 2, 10, 1, "setuptools")


def test_the_first_folder_wins_and_half_removed_distributions_are_left_out(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    distribution(first, "one", "two")
    distribution(second, "One")
    distribution(second, "two")
    (second / "half-2.0.dist-info").mkdir()
    folders = [str(first), str(second)]
    found = installed(folders)
    assert list(found) == ["one", "two"]
    assert found["one"].requirements == {"two": "two"}
    assert taken_from(folders) == {str(first): 1, str(second): 1}


def test_names_are_compared_as_indexes_do() -> None:
    assert normal("Ruamel_Yaml.-clib") == "ruamel-yaml-clib"


def test_host_metrics_are_plausible() -> None:
    sampler = HostSampler()
    sum(range(200_000))
    values = sampler.sample()
    assert values.keys() <= UNITS.keys()
    assert 0 <= values["process.cpu"] <= 6400
    assert values["process.memory"] > 5
    assert 0 <= values.get("host.cpu", 0) <= 100
