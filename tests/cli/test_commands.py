"""The commands: their output, exit codes and error messages."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ciris_store_core import Task, __version__, errors, open_store
from ciris_store_core.cli import Exit
from ciris_store_core.cli.app import app
from ciris_store_core.cli.exit_codes import MEANINGS, exit_code
from tests.cli.conftest import Command

PASSWORD = "correct-horse-7"


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store with one task."""
    url = f"sqlite:///{tmp_path}/agent.db"
    with open_store(url) as store:
        store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    return url


def test_version(command: Command) -> None:
    assert command("--version") == 0
    assert command.out == f"ciris-store {__version__}\n"


def test_shells_complete_commands() -> None:
    asked = {"_CIRIS_STORE_COMPLETE": "complete_bash", "COMP_WORDS": "ciris-store do", "COMP_CWORD": "1"}
    environment = {**os.environ, **asked, "PYTHONPATH": ":".join(sys.path)}
    program = "import sys; sys.argv = ['ciris-store']; from ciris_store_core.cli.app import app; app()"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["doctor", "documents"]


def test_without_a_command_it_lists_them(command: Command) -> None:
    assert command() == Exit.USAGE
    assert {"demo", "backends", "info", "migrate"} <= set(command.out.split())


def test_backends_lists_what_is_installed(command: Command) -> None:
    assert command("backends", "--json") == 0
    assert {"scheme": "memory", "distribution": "ciris-store-core", "version": __version__} in json.loads(command.out)
    assert command("backends") == 0
    assert "memory://" in command.out


def test_info_shows_versions_and_contents(command: Command, store_url: str) -> None:
    assert command("info", "--json", store_url) == 0
    found = json.loads(command.out)
    assert (found["backend"], found["url"], found["tasks"]) == ("SQLite", store_url, {"pending": 1})
    assert command("info", store_url) == 0
    assert "pending 1" in command.out


def test_the_argument_wins_over_the_variable_over_the_default(
    command: Command, store_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert command("info") == Exit.USAGE
    assert "data/ciris.db" in command.err
    monkeypatch.setenv("CIRIS_DB_URL", store_url)
    assert command("info") == 0
    assert command("info", str(tmp_path / "other.db")) == Exit.USAGE
    assert "other.db" in command.err


def test_info_and_status_make_nothing(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for arguments in (["info", "new.db"], ["migrate", "--status", "new.db"], ["info", "empty.db"]):
        assert command(*arguments) == Exit.USAGE
    assert not (tmp_path / "new.db").exists()
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_migrate_makes_a_store_and_says_where_it_stands(command: Command) -> None:
    assert command("migrate", "--json", "new.db") == 0
    made = json.loads(command.out)
    assert made["up_to_date"] and made["schema_version"] > 0
    assert command("migrate", "--status", "--json", "new.db") == 0
    assert json.loads(command.out) == made


@pytest.fixture
def older_store(store_url: str, tmp_path: Path) -> str:
    """A store whose record says that its newest migration was not applied."""
    connection = sqlite3.connect(tmp_path / "agent.db")
    connection.execute("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    connection.commit()
    connection.close()
    return store_url


def test_a_pending_migration_has_an_exit_code_of_its_own(command: Command, older_store: str) -> None:
    assert command("info", older_store) == Exit.MIGRATION_REQUIRED
    assert "ciris-store migrate" in command.err
    assert command("migrate", "--status", older_store) == Exit.MIGRATION_REQUIRED
    assert command("migrate", "--status", "--json", older_store) == Exit.MIGRATION_REQUIRED
    assert json.loads(command.out)["up_to_date"] is False


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("mysql://u:correct-horse-7@h/d", Exit.NO_BACKEND, "no installed backend serves mysql://"),
        ("sqlite:///no/such/folder/x.db", Exit.USAGE, "there is no database"),
        ("sqlite:///agent.db?wat=1", Exit.USAGE, "unknown URL option: wat"),
        ("postgresql://u:correct-horse-7@127.0.0.1:1/d", Exit.UNAVAILABLE, "cannot connect"),
        ("postgresql://u:correct-horse-7@[::1/d", Exit.USAGE, "IPv6"),
        ("text.db", Exit.BAD_DATABASE, "is not an SQLite database"),
    ],
)
def test_a_mistake_gets_one_line_and_a_code(
    command: Command, tmp_path: Path, url: str, code: Exit, message: str
) -> None:
    (tmp_path / "text.db").write_text("just some text\n" * 100)
    assert command("info", url) == code
    assert command.err.startswith("error: ")
    assert command.err.count("\n") == 1
    assert message in command.err
    assert PASSWORD not in command.err + command.out


def test_every_error_has_a_code_and_every_code_a_meaning() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StoreError)]
    assert {exit_code(kind("x")) for kind in kinds} == set(Exit) - {Exit.OK, Exit.UNPROVEN, Exit.NOT_INSTALLED}
    assert MEANINGS.keys() == set(Exit)
    assert exit_code(errors.UnknownScheme("x")) == Exit.NO_BACKEND
    assert exit_code(errors.PoolTimeout("x")) == Exit.UNAVAILABLE
    assert exit_code(errors.StoreError("x")) == Exit.FAILED


def test_tracebacks_of_bugs_never_show_values() -> None:
    assert not app.pretty_exceptions_enable
    assert not app.pretty_exceptions_show_locals


def test_it_runs_as_a_module_where_the_terminal_knows_ascii_only(store_url: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "ciris_store_core.cli", "info", store_url]
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    result = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "pending 1" in result.stdout


def test_the_command_line_imports_nothing_that_a_command_may_not_need() -> None:
    program = (
        "import sys, ciris_store_core.cli.app; "
        "print({'pydantic', 'pluggy', 'ciris_store_core.store', 'rich.progress', 'gzip'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_the_core_imports_neither_typer_nor_rich() -> None:
    program = "import sys, ciris_store_core as c; c.open_store, c.Task; print({'typer', 'rich'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


#: Makes typer and rich as absent as if they had never been installed.
WITHOUT_EXTRA = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "rich", "click"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
from importlib import util
find_spec = util.find_spec
util.find_spec = lambda name, package=None: None if name in {"typer", "rich"} else find_spec(name, package)
sys.meta_path.insert(0, Blocker())
"""


def run_without_extra(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", WITHOUT_EXTRA + code]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["info", "memory://"]])
def test_without_the_extra_it_prints_what_to_install(arguments: list[str], tmp_path: Path) -> None:
    code = f"sys.argv = ['ciris-store', *{arguments}]\nfrom ciris_store_core.cli import main\nmain()"
    result = run_without_extra(code, tmp_path)
    assert (result.returncode, result.stdout) == (Exit.NOT_INSTALLED, "")
    assert result.stderr == (
        "error: ciris-store needs typer and rich, which are not installed. "
        "Install: pip install 'ciris-store-core[cli]'\n"
    )


@pytest.mark.parametrize("url", ["memory://", "sqlite:///agent.db"])
def test_a_store_opens_without_the_extra(url: str, tmp_path: Path) -> None:
    code = f"from ciris_store_core import open_store\nwith open_store({url!r}) as store: print(store.is_empty())"
    result = run_without_extra(code, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


def test_workers_of_the_demo_import_neither_typer_nor_rich() -> None:
    program = "import sys, ciris_store_core.demo.worker; print({'typer', 'rich'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
