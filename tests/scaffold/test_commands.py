"""Commands of CONTRIBUTING.md, run as printed in an environment of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from ciris_store_core.conformance.results import Report, Status, Verdict, from_json

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Author:
    """Author of a backend, with a folder and an environment that contains the packages of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self._bin = folder / "venv" / "bin"
        [site] = (folder / "venv" / "lib").glob("python*/site-packages")
        folders = [each for each in sys.path if each.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({each!r})\n" for each in folders]
        (site / "everything.pth").write_text("".join(lines))
        self._script("ciris-store", "from ciris_store_core.cli import main; main()")
        # The package's requirements and build tools are installed already, so pip needs no network.
        offline = ["install", "--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
        self._script(
            "pip", f"import sys; from pip._internal.cli.main import main; sys.exit(main({offline} + sys.argv[2:]))"
        )

    def _script(self, name: str, code: str) -> None:
        (self._bin / name).write_text(f"#!{self._bin / 'python'}\n{code}\n")
        (self._bin / name).chmod(0o755)

    def run(self, command: str, *, status: int = 0) -> str:
        """Run a command line as it is printed."""
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "COLUMNS": "120"}
        for name in ("PYTHONPATH", "CIRIS_DB_URL"):
            environment.pop(name, None)
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=1500
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def report(self, command: str, *, status: int = 0) -> Report:
        """The report of a run of the suite."""
        self.run(f"{command} --json report.json", status=status)
        [found] = from_json((self.folder / "report.json").read_text())
        return found


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


def printed_commands() -> list[str]:
    """The lines of the first console block of the guide that begin with a prompt."""
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"```console\n(.*?)```", guide[guide.index("## Write a backend") :], re.DOTALL)
    assert block is not None
    return [line.removeprefix("$ ") for line in block[1].splitlines() if line.startswith("$ ")]


def test_the_commands_of_contributing(author: Author) -> None:
    make, install, check = printed_commands()
    assert (make, check) == ("ciris-store new-backend acme", "ciris-store conformance acme://")
    author.run(make)
    author.run(install)
    said = author.run(check, status=1)
    assert re.search(r"Next: tasks\.add", said)
    assert re.search(r"[0-9]+ of [0-9]+ clauses to go", said)
    assert re.search(r"TaskStore\.add: ", said)


def test_without_sql_every_clause_is_to_go(author: Author) -> None:
    author.run("ciris-store new-backend acme && pip install ./ciris-store-acme")
    report = author.report("ciris-store conformance acme:///store", status=1)
    failed = [clause for clause in report.clauses if clause.status == Status.FAILED]
    assert len(failed) > 200 and len(failed) > 0.9 * sum(clause.tests > 0 for clause in report.clauses)
    silent = [clause.id for clause in failed if "is not written yet: write" not in clause.why]
    # The skeleton implements these in part.
    assert [id for id in silent if not id.startswith(("backend.", "session."))] == []
    assert not [level for level in report.levels if level.verdict == Verdict.REACHED]


def test_with_sql_the_levels_are_reached_at_once(author: Author) -> None:
    author.run("ciris-store new-backend my_db --sql && pip install ./ciris-store-my-db")
    report = author.report("ciris-store conformance my-db:///my.db")
    verdicts = {level.level.value: level.verdict for level in report.levels}
    assert verdicts.pop("multi_instance") == Verdict.NOT_APPLICABLE
    assert set(verdicts.values()) == {Verdict.REACHED}


def test_the_authors_own_test_module_runs(author: Author) -> None:
    author.run("ciris-store new-backend my_db --sql && pip install ./ciris-store-my-db")
    said = author.run("python -m pytest -q ciris-store-my-db/tests -p no:cacheprovider -k TestAddTasks")
    assert re.search(r"\d+ passed", said)
