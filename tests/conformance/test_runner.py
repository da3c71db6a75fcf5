"""The suite run on a URL: where its tests take place, what is refused, what is left behind."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance import UrlHarness
from ciris_store_core.conformance.catalogue import GROUPS, Selection, catalogue, module_names
from ciris_store_core.conformance.factories import (
    T0,
    at,
    correlation,
    edge,
    node,
    occurrence,
    put,
    secret,
    task,
    thought,
)
from ciris_store_core.conformance.levels import Level
from ciris_store_core.conformance.results import Report, Status, Verdict
from ciris_store_core.conformance.runner import LAST, Options, run
from ciris_store_core.conformance.support import writing
from ciris_store_core.conformance.targets import CannotEmpty, target_for
from ciris_store_core.contract import Backend, Session
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendContext, BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidArgument, InvalidURL
from ciris_store_core.inmemory.backend import CAPABILITIES, MemoryBackend
from ciris_store_core.url import StoreURL
from ciris_store_core.url_options import OptionReader
from tests.support.pgserver import ExternalServer, execute


def select(*modules: str, levels: tuple[Level, ...] = ()) -> Options:
    return Options(Selection.of(modules, levels))


def statuses(report: Report, module: str) -> set[Status]:
    return {each.status for each in report.clauses if each.module == module}


def acme(factory: type[MemoryBackend] = MemoryBackend) -> Registry:
    """A backend of a stranger's on a server, without SQL, that has one store."""

    def make(url: StoreURL, context: BackendContext) -> Backend:
        OptionReader(url.options).finish()
        return factory(context.clock, f"acme {url.database}")

    registry = Registry()
    registry.register(BackendSpec("Acme", ("acme",), make, CAPABILITIES, CONTRACT_VERSION, "ciris-store-acme"))
    return registry


# --- what is run ------------------------------------------------------------------------------


def test_a_module_on_a_file(tmp_path: Path) -> None:
    report = run(f"sqlite:///{tmp_path}/x.db", select("traversal"))
    assert report.ok and report.summary.endswith("tests passing (100%)")
    assert statuses(report, "traversal") == {Status.PASSED}
    assert statuses(report, "tasks") == {Status.NOT_RUN}
    assert [each.reached for each in report.levels] == [False] * 5
    assert report.backend.info["server_version"].startswith("SQLite")
    assert list(tmp_path.iterdir()) == []


def test_a_level_is_reached_when_all_of_it_ran(tmp_path: Path) -> None:
    report = run(f"sqlite:///{tmp_path}/x.db", select(levels=(Level.DURABLE,)))
    verdicts = {each.level: each.verdict for each in report.levels}
    assert verdicts == {**dict.fromkeys(Level, Verdict.NOT_RUN), Level.DURABLE: Verdict.REACHED}


def test_several_processes(tmp_path: Path) -> None:
    report = run(f"sqlite:///{tmp_path}/x.db", select("processes", "payload_processes", "files"))
    [multi] = [each for each in report.levels if each.level == Level.MULTI_INSTANCE]
    assert multi.reached and multi.counts[Status.PASSED] == 14


def test_a_relative_path_leaves_nothing_untried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = run("sqlite:///x.db", select("files"))
    clauses = ("backend.file.modes", "backend.file.damaged", "backend.backup.reopened", "session.write_timeout")
    assert [each.status for each in report.clauses if each.id in clauses] == [Status.PASSED] * 4


def test_a_backend_without_the_capability_does_not_reach_the_level() -> None:
    report = run("memory://", select("processes", "crashes"))
    assert not report.ok and report.summary == "0/0 tests passing (0%)"
    assert statuses(report, "processes") == {Status.NOT_APPLICABLE}
    assert not any(each.reached for each in report.levels)


def test_progress_is_told() -> None:
    steps: list[tuple[int, int, int]] = []
    options = Options(Selection.of(["search"]), progress=lambda now: steps.append((now.done, now.total, now.failed)))
    report = run("memory://", options)
    assert steps == [(number, report.tests, 0) for number in range(1, report.tests + 1)]


def test_a_failure_is_reported_with_what_a_user_loses() -> None:
    class Forgetful(MemoryBackend):
        def is_empty(self) -> bool:
            super().is_empty()
            return True

    report = run("acme://host/forgetful{n}", select("backends", levels=(Level.CORE,)), acme(Forgetful))
    [failed] = [each for each in report.clauses if each.status == Status.FAILED]
    assert failed.id == "backend.is_empty.not" and failed.loses.startswith("Otherwise a copy")
    assert "assert True is False" in failed.why and failed.passed == 0
    assert not report.ok and report.levels[0].verdict == Verdict.FAILED


def test_a_capability_that_only_the_backend_declares_fails() -> None:
    class Boaster(MemoryBackend):
        capabilities = CAPABILITIES | {Capability.DURABLE}

    report = run("acme://host/boaster", select("backends"), acme(Boaster))
    assert "backend.capabilities" in [each.id for each in report.clauses if each.status == Status.FAILED]


@pytest.mark.parametrize("waiver", [{"no.such.clause": "because"}, {"tasks.count": "x", "tasks.counts": "y"}])
def test_a_waiver_of_nothing_is_refused(waiver: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match=r"^the suite has no clause (no\.such\.clause|tasks\.counts):"):
        run("memory://", Options(Selection.of(["search"]), waiver))


def test_the_names_of_modules() -> None:
    assert {entry.module for entry in catalogue().values()} <= set(module_names())
    assert {module for group in GROUPS.values() for module in group} <= set(module_names())
    assert Selection.of(["multi-occurrence"]).modules == set(GROUPS["multi_occurrence"])
    with pytest.raises(InvalidArgument, match="Use one of graph,"):
        Selection.of(["taks"])


def test_the_catalogue_knows_how_often_each_test_runs() -> None:
    assert catalogue()["backend.is_empty"].cases == 1
    assert catalogue()["backend.is_empty.not"].cases == 10


# --- what is refused --------------------------------------------------------------------------


def test_a_file_with_records_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with closing(UrlHarness(url).open(ManualClock())) as backend, writing(backend) as session:
        session.tasks.add([task()])
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(InvalidArgument, match="empty store"):
        run(url, select("search"))
    assert (tmp_path / "x.db").read_bytes() == before
    (tmp_path / "x.db").unlink()
    (tmp_path / "x.db").touch()
    assert run(url, select("search")).ok


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "x.db")
    with pytest.raises(Exception, match="database") as caught:
        run(f"sqlite:///{tmp_path}/x.db", select("search"))
    assert type(caught.value).__module__ == "ciris_store_core.errors"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidURL, match="no folder can be made beside"):
        run(f"sqlite:///{tmp_path}/missing/x.db", select("search"))


# --- where the tests take place ---------------------------------------------------------------


def fill(session: Session) -> None:
    session.graph.put_nodes([put(node("a")), put(node("b"))], T0)
    session.graph.put_edges([edge("a", "b")])
    session.correlations.add([correlation()])
    session.tasks.add([task(), task("child", parent_task_id="t")])
    session.thoughts.add([thought(), thought("orphan", "gone")])
    session.coordination.put_occurrence(occurrence())
    session.secrets.add([secret()])


def test_one_store_is_emptied_through_the_contract() -> None:
    with target_for("acme://host/emptied", acme()) as place:
        for _ in range(2):
            with closing(place.harness().open(ManualClock())) as backend, writing(backend) as session:
                fill(session)


def test_what_the_contract_cannot_delete_is_said() -> None:
    with target_for("acme://host/lease", acme()) as place:
        with closing(place.harness().open(ManualClock())) as backend, writing(backend) as session:
            session.coordination.acquire_lease("job", "me", T0, at(1))
        with pytest.raises(CannotEmpty, match=r"Put \{n\} in the URL"):
            place.harness()


def test_with_one_store_that_cannot_be_emptied_no_level_is_reached() -> None:
    report = run("acme://host/one", registry=acme())
    unusable = {each.module for each in report.clauses if "an earlier test left" in each.why}
    assert "coordination" in unusable and unusable <= LAST
    assert Status.NOT_RUN in statuses(report, "coordination") and report.counts[Status.FAILED] == 0
    assert not any(each.reached for each in report.levels)


def test_a_number_in_the_url_makes_a_store_for_each_test() -> None:
    report = run("acme://host/store{n}", registry=acme())
    assert report.ok and [each.reached for each in report.levels[:3]] == [True, False, True]


@pytest.mark.postgres
def test_on_a_server_the_store_is_emptied_and_schemas_are_dropped(postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    try:
        report = run(url, select("backends", "coordination", "audit"))
        assert statuses(report, "backends") == statuses(report, "audit") == {Status.PASSED}
        assert execute(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%conformance%'") == []
        assert execute(url, "SELECT count(*) FROM leases") == [(0,)]
        execute(url, "INSERT INTO audit_chains VALUES ('c')")
        with pytest.raises(InvalidArgument, match="empty store"):
            run(url, select("search"))
    finally:
        postgres_server.drop_database(url)
