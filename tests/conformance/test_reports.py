"""Levels, waivers and reports: what did not run is not passed, and is shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner, Result

from ciris_store_core.capabilities import Capability
from ciris_store_core.cli.conformance import BackendsCommand, conformance, matrix, spread
from ciris_store_core.conformance.junit import to_junit
from ciris_store_core.conformance.levels import Level
from ciris_store_core.conformance.matrix import to_html
from ciris_store_core.conformance.results import (
    SCHEMA,
    BackendInfo,
    ClauseResult,
    Report,
    Status,
    Verdict,
    from_json,
    read_reports,
    to_json,
)
from ciris_store_core.errors import InvalidArgument, StoreError

HARNESS = """
import pytest
from ciris_store_core.conformance import UrlHarness, clause
from ciris_store_core.conformance.suite import *

pytest_plugins = ["ciris_store_core.conformance.plugin"]

@pytest.fixture
def harness(request):
    return UrlHarness(f"memory://{request.node.name}")
"""
FEW = HARNESS.replace("import *", "import TestAudit, TestBackend, TestFindTasks, TestFindThoughts")
PLUGIN = ("-p", "ciris_store_core.conformance.report_plugin", "--conformance-json", "report.json")

app = typer.Typer()
app.command(cls=BackendsCommand)(conformance)
app.command()(matrix)


def author_runs(pytester: pytest.Pytester, *arguments: str, module: str = FEW) -> Report:
    """The report of a run of an author's own module of tests."""
    pytester.makepyfile(module)
    pytester.runpytest_inprocess(*PLUGIN, *arguments)
    [report] = read_reports([pytester.path / "report.json"])
    return report


def clause_of(report: Report, id: str) -> ClauseResult:
    [found] = [each for each in report.clauses if each.id == id]
    return found


def verdict(report: Report, level: Level) -> Verdict:
    [found] = [each.verdict for each in report.levels if each.level == level]
    return found


# --- an author's own module -------------------------------------------------------------------


def test_a_level_whose_tests_all_ran_is_reached(pytester: pytest.Pytester) -> None:
    report = author_runs(pytester, "-m", "concurrent", module=with_blank(HARNESS))
    assert verdict(report, Level.CONCURRENT) == Verdict.REACHED
    assert verdict(report, Level.CORE) == Verdict.NOT_RUN
    assert report.backend.name == "memory" and Capability.SAVEPOINTS in report.capabilities


def with_blank(module: str) -> str:
    return module.replace(
        'request.node.name}")', 'request.node.name}", blank_url=f"memory://blank {request.node.name}")'
    )


def test_a_deselected_test_voids_the_level(pytester: pytest.Pytester) -> None:
    report = author_runs(
        pytester, "-m", "concurrent", "-k", "not test_many_writers_make_one_chain", module=with_blank(HARNESS)
    )
    assert clause_of(report, "audit.head.race").status == Status.NOT_RUN
    assert verdict(report, Level.CONCURRENT) == Verdict.INCOMPLETE


def test_a_deselected_parameter_voids_the_level(pytester: pytest.Pytester) -> None:
    report = author_runs(pytester, "-k", "test_many_writers_make_one_chain and 1")
    found = clause_of(report, "audit.head.race")
    assert (found.status, found.why, found.passed) == (Status.NOT_RUN, "1 of 2 tests ran", 1)


def test_an_overridden_test_voids_the_level(pytester: pytest.Pytester) -> None:
    override = """
from ciris_store_core.conformance import suite
class TestAudit(suite.TestAudit):
    @clause("audit.chains")
    def test_chains(self):
        pass
    def test_head(self):
        pass
"""
    report = author_runs(pytester, "-k", "TestAudit", module=FEW + override)
    assert "overridden by" in clause_of(report, "audit.chains").why
    assert clause_of(report, "audit.chains").status == Status.NOT_RUN
    assert clause_of(report, "audit.head").status == Status.NOT_RUN
    assert clause_of(report, "audit.prune").status == Status.PASSED


def test_a_test_that_is_marked_to_be_skipped_voids_the_level(pytester: pytest.Pytester) -> None:
    marked = "\nTestAudit = pytest.mark.skip(reason='slow')(type('TestAudit', (TestAudit,), {}))\n"
    report = author_runs(pytester, "-k", "test_chains", module=FEW + marked)
    assert clause_of(report, "audit.chains").why == "skipped: slow"
    assert clause_of(report, "audit.chains").status == Status.NOT_RUN


FAULT = """
from ciris_store_core.inmemory.audit import MemoryAudit

@pytest.fixture(autouse=True)
def fault(monkeypatch):
    monkeypatch.setattr(MemoryAudit, "chains", lambda self: [])
"""


@pytest.mark.parametrize(
    "mark", ["", "\nTestAudit = pytest.mark.xfail(reason='known')(type('TestAudit', (TestAudit,), {}))\n"]
)
def test_a_failure_cannot_be_waived_or_expected(pytester: pytest.Pytester, mark: str) -> None:
    report = author_runs(pytester, "-k", "TestAudit", "--waive", "audit.chains=nobody asks", module=FEW + FAULT + mark)
    assert clause_of(report, "audit.chains").status == Status.FAILED
    assert not report.ok and verdict(report, Level.CORE) == Verdict.FAILED


def test_what_the_harness_cannot_do_is_not_passed(pytester: pytest.Pytester) -> None:
    report = author_runs(pytester, "-k", "test_a_damaged_row", "--waive", "tasks.find.corrupt=rows are objects")
    assert clause_of(report, "thoughts.find.corrupt").why == "skipped: this harness cannot damage a row"
    waived = clause_of(report, "tasks.find.corrupt")
    assert waived.status == Status.WAIVED and "rows are objects" in waived.why
    assert report.waivers == {"tasks.find.corrupt": "rows are objects"}
    assert not report.ok, "nothing ran"


def test_a_clause_that_does_not_apply_needs_no_waiver(pytester: pytest.Pytester) -> None:
    report = author_runs(pytester, "-k", "test_work_goes_on_after_reopening or test_server_now")
    assert clause_of(report, "backend.reopen").status == Status.NOT_APPLICABLE
    assert verdict(report, Level.CORE) == Verdict.INCOMPLETE


def test_nothing_ran(pytester: pytest.Pytester) -> None:
    report = author_runs(pytester, "-k", "no_such_test")
    assert (report.ok, report.summary) == (False, "0/0 tests passing (0%)")
    assert not any(each.reached for each in report.levels)


# --- documents --------------------------------------------------------------------------------


def made(status: Status = Status.PASSED, **fields: object) -> Report:
    """A report with one clause of each level."""
    ran = int(status in (Status.PASSED, Status.FAILED))
    passed = int(status == Status.PASSED)
    clauses = tuple(
        ClauseResult(f"{level}.<b>", level, "m", "Otherwise & so", status, "why \x00 <i>", (), ran, passed, 0.5)
        for level in Level
    )
    report = Report(
        BackendInfo("Acme <x>", "acme", "ciris-store-acme", "1.0", "acme://h/d", {"server_version": "Acme <x> 7"}),
        (Capability.SAVEPOINTS,), clauses, "1.0", "0.1.0", waivers={"core.<b>": "no <need>"},
    )  # fmt: skip
    return replace(report, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", Status)
def test_json_keeps_everything(status: Status) -> None:
    assert from_json(to_json([made(status), made()])) == [made(status), made()]


def test_the_form_of_the_json() -> None:
    document = json.loads(to_json([made()]))
    assert document["schema"] == SCHEMA == "ciris-store-conformance/1"
    [report] = document["reports"]
    assert {"backend", "capabilities", "clauses", "levels", "contract_version", "suite_version", "summary"} <= set(
        report
    )
    assert {"level": "core", "verdict": "reached", "reached": True, "required": 1}.items() <= report["levels"][
        0
    ].items()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other/1", "reports": []}', '{"schema": 1}'])
def test_other_documents_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        from_json(text)


def test_a_damaged_report_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="damaged"):
        from_json(json.dumps({"schema": SCHEMA, "reports": [{"backend": {}}]}))


@pytest.mark.parametrize("status", Status)
def test_levels_of_one_clause_each(status: Status) -> None:
    wanted = {
        Status.PASSED: Verdict.REACHED, Status.FAILED: Verdict.FAILED, Status.NOT_RUN: Verdict.NOT_RUN,
        Status.WAIVED: Verdict.NOT_RUN, Status.NOT_APPLICABLE: Verdict.NOT_APPLICABLE,
    }  # fmt: skip
    assert {each.verdict for each in made(status).levels} == {wanted[status]}
    assert made(status).ok == (status == Status.PASSED)


def test_junit() -> None:
    root = ElementTree.fromstring(to_junit([made(), made(Status.FAILED), made(Status.WAIVED)]))
    assert [suite.get("failures") for suite in root] == ["0", "5", "0"]
    assert [suite.get("skipped") for suite in root] == ["0", "0", "5"]
    failure = root[1].find("testcase/failure")
    assert failure is not None and failure.get("message") == "Otherwise & so" and "\ufffd" in (failure.text or "")


def test_html_shows_every_clause_of_every_backend_and_escapes_all() -> None:
    page = to_html([made(), made(Status.FAILED), made(Status.WAIVED)])
    assert page.count('scope="col" class="backend"') == 3
    assert all(f"<code>{level}.&lt;b&gt;</code>" in page for level in Level)
    assert page.count('<td class="failed"><details>') == 5
    assert "<b>.<b>" not in page and "<x>" not in page and "<i>" not in page.replace('<i style="', "")
    assert "http" not in page.replace("acme://", ""), "the page needs nothing else"


# --- the commands -----------------------------------------------------------------------------


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"CIRIS_DB_URL": None, **environment})


def test_the_command_on_two_backends(tmp_path: Path) -> None:
    files = {name: str(tmp_path / f"out.{name}") for name in ("json", "junit", "html")}
    options = [part for name, file in files.items() for part in (f"--{name}", file)]
    result = invoke("conformance", "search", "--database-backends", "sqlite", "memory", *options)
    assert result.exit_code == 0, result.output
    assert result.output.count("tests passing (100%)") == 2
    assert re.search(r"\b(\d+)/\1 tests passing \(100%\)$", result.output.rstrip())
    assert [each.backend.name for each in read_reports([Path(files["json"])])] == ["SQLite", "memory"]
    assert len(ElementTree.parse(files["junit"]).getroot()) == 2
    merged = invoke("matrix", files["json"], files["json"], "--html", str(tmp_path / "merged.html"))
    assert merged.exit_code == 0
    assert (tmp_path / "merged.html").read_text().count('class="card"') == 4


def test_the_command_says_when_nothing_ran() -> None:
    result = invoke("conformance", "processes", "memory://")
    assert result.exit_code == 1 and result.output.rstrip().endswith("0/0 tests passing (0%)")


def test_one_argument_is_a_url_or_a_module(tmp_path: Path) -> None:
    assert invoke("conformance", "memory://", "--module", "search").exit_code == 0
    assert invoke("conformance", "search", CIRIS_DB_URL=f"sqlite:///{tmp_path}/x.db").exit_code == 0
    assert isinstance(invoke("conformance", "serch").exception, InvalidArgument)


def test_json_on_standard_output_stands_alone() -> None:
    [report] = from_json(invoke("conformance", "search", "memory://", "--json", "-").output)
    assert report.ok and report.selection == "search"


@pytest.mark.parametrize(
    "arguments",
    [
        ("memory://", "--database-backends", "sqlite"),
        ("--database-backends", "postgres"),
        ("memory://", "--waive", "tasks.count"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...]) -> None:
    assert isinstance(invoke("conformance", *arguments, CIRIS_TEST_POSTGRES_URL="").exception, StoreError)


def test_several_names_after_one_option() -> None:
    option = "--database-backends"
    assert spread(["x", option, "sqlite", "postgres", "graph", "--quick"]) == [
        "x", option, "sqlite", option, "postgres", "graph", "--quick",
    ]  # fmt: skip
    assert spread([option, "sqlite", option, "memory"]) == [option, "sqlite", option, "memory"]
