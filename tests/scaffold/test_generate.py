"""Files that ``new-backend`` writes."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ciris_store_core.conformance.levels import Level
from ciris_store_core.conformance.results import BackendInfo, ClauseResult, Report, Status
from ciris_store_core.conformance.todo import todo
from ciris_store_core.contract import Session
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.scaffold import Names, new_backend
from ciris_store_core.scaffold.stubs import aggregates

ROOT = Path(__file__).resolve().parents[2]

KINDS = {"plain": False, "sql": True}


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A backend of each kind, with an underscore in its name."""
    return new_backend("my_db", tmp_path, sql=KINDS[request.param])


@pytest.mark.parametrize("name", ["a", "acme", "my_db", "db2", "a_1_b"])
def test_names(name: str) -> None:
    assert Names(name).package == f"ciris_store_{name}"


@pytest.mark.parametrize(
    "name",
    [
        "", "Acme", "2db", "_db", "db_", "a__b", "my-db", "my.db", "a b", "é", "../x", "a/b", "a\n", "x" * 41,
        "core", "sqlite", "postgres", "postgresql", "memory",
    ],
)  # fmt: skip
def test_names_that_are_malformed_or_reserved(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"name"):
        new_backend(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ciris-store-acme").mkdir()
    with pytest.raises(InvalidArgument, match="exists"):
        new_backend("acme", tmp_path)
    assert list((tmp_path / "ciris-store-acme").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be created"):
        new_backend("acme", tmp_path / "missing")


def test_the_name_replaces_acme_everywhere(folder: Path) -> None:
    assert folder.name == "ciris-store-my-db"
    texts = [path.relative_to(folder).as_posix() + path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert [text for text in texts if re.search("acme|@DOC|@CORE", text, re.IGNORECASE)] == []


def test_a_name_with_the_name_of_the_template_in_it() -> None:
    filled = Names("acme_db").fill("new-backend acme, ciris_store_acme, ciris-store-acme, AcmeBackend, acme://")
    assert filled == "new-backend acme_db, ciris_store_acme_db, ciris-store-acme-db, AcmeDbBackend, acme-db://"


def test_generated_files_pass_ruff_and_mypy(folder: Path) -> None:
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in (["ruff", "check", *config, "."], ["ruff", "format", "--check", *config, "."]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    strict = ["mypy", "--strict", "--config-file", "", "-p", "ciris_store_my_db"]
    done = subprocess.run([sys.executable, "-m", *strict], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_each_required_method_has_a_stub_with_its_clauses(tmp_path: Path) -> None:
    package = new_backend("acme", tmp_path) / "ciris_store_acme"
    stores = {name for name, kind in Session.__annotations__.items() if kind.endswith("Store")}
    assert set(aggregates()) == stores - {"documents", "streams"}  # capabilities, which a new backend leaves out
    for aggregate, store in aggregates().items():
        tree = ast.parse((package / f"{aggregate}.py").read_text())
        written = {node.name: ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        del written["__init__"]
        assert written.keys() == store.__abstractmethods__
        assert all(written[name] == inspect.getdoc(getattr(store, name)) for name in written)


# --- the to-do list -----------------------------------------------------------------------------


def report(*clauses: tuple[str, str, Level, Status]) -> Report:
    results = tuple(ClauseResult(id, level, module, "Otherwise no.", status) for id, module, level, status in clauses)
    return Report(BackendInfo("Acme", "acme", "", "", ""), (), results, "1.0", "0.1.0")


def test_the_next_clause_is_the_first_of_the_lowest_level() -> None:
    lines = todo(
        report(
            ("tasks.add.race", "tasks", Level.CONCURRENT, Status.FAILED),
            ("thoughts.add", "thoughts", Level.CORE, Status.FAILED),
            ("tasks.get", "tasks", Level.CORE, Status.FAILED),
            ("tasks.add.conflict", "tasks", Level.CORE, Status.FAILED),
            ("tasks.add_or_get", "tasks", Level.CORE, Status.PASSED),
            ("graph.search.x", "search", Level.CORE, Status.NOT_APPLICABLE),
        )
    )
    assert lines[0] == "4 of 5 clauses to go. Next: tasks.add.conflict"
    assert lines[2].startswith("  implement TaskStore.add: Store new tasks")
    assert lines[-1].endswith("--module tasks URL")


def test_a_clause_about_several_methods() -> None:
    lines = todo(report(("records.texts", "records", Level.CORE, Status.FAILED)))
    assert lines[0] == "1 of 1 clauses to go. Next: records.texts"
    assert not [line for line in lines if "implement" in line]


def test_nothing_to_do() -> None:
    assert todo(report(("tasks.get", "tasks", Level.CORE, Status.PASSED))) == []
