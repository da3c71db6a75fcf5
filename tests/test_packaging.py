"""The three distributions: what they declare, what their wheels hold, and that they install and work together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core.cli import Exit
from hatch_build import readme_for_index

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "ciris_store_core": ROOT,
    "ciris_store_sqlite": ROOT / "backends" / "sqlite",
    "ciris_store_postgres": ROOT / "backends" / "postgres",
}
PACKAGES = sorted(FOLDERS)


def project(package: str) -> dict[str, Any]:
    """The ``[project]`` table of the distribution that holds ``package``."""
    with (FOLDERS[package] / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


VERSION: str = project("ciris_store_core")["version"]


def source_files(package: str) -> set[str]:
    """Every file of the package, relative to its distribution's folder, compiled files left out."""
    folder = FOLDERS[package]
    files = (path for path in (folder / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in files}


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a command that must succeed, away from the caller's settings, and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "CIRIS_DB_URL"}}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return result.stdout


def first_python_block(text: str) -> str:
    """The first block of Python code in a Markdown text."""
    match = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert match, "there is no block of Python code"
    return match[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_distributions_share_version_python_and_licence(package: str) -> None:
    core, own = project("ciris_store_core"), project(package)
    assert own["name"] == package.replace("_", "-")
    for key in ("version", "requires-python", "license"):
        assert own[key] == core[key]
    assert (FOLDERS[package] / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_core_has_three_dependencies() -> None:
    names = [re.split(r"[<>=~! ]", each)[0] for each in project("ciris_store_core")["dependencies"]]
    assert names == ["pluggy", "pydantic", "importlib-metadata"]


LINK = re.compile(r"\]\(([^)#][^)]*)\)")


def test_the_links_of_the_readme_are_absolute_on_an_index() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    links = LINK.findall(readme_for_index(page, "https://example.org/store/", "1.2.3"))
    assert len(links) > 40
    assert "https://example.org/store/blob/v1.2.3/docs/how-it-works.md#claim" in links
    assert [link for link in links if not link.startswith("https://")] == []


def test_a_readme_without_a_public_source_has_no_dead_links() -> None:
    page = "See [the guide](docs/guide.md), [below](#demo) and [River](https://riverqueue.com)."
    expected = "See the guide, [below](#demo) and [River](https://riverqueue.com)."
    assert readme_for_index(page, None, "1.2.3") == expected


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_description_in_a_wheel_has_no_relative_link(distributions: Path, package: str) -> None:
    with zipfile.ZipFile(distributions / f"{package}-{VERSION}-py3-none-any.whl") as wheel:
        description = wheel.read(f"{package}-{VERSION}.dist-info/METADATA").decode()
    assert "CIRIS Store" in description
    assert [link for link in LINK.findall(description) if not link.startswith("https://")] == []


def test_every_scheme_has_an_installed_plugin() -> None:
    found = {point.name: point.value for point in entry_points(group="ciris_store.backends")}
    expected = {
        "sqlite": "ciris_store_sqlite.plugin",
        "postgresql": "ciris_store_postgres.plugin",
        "postgres": "ciris_store_postgres.plugin",
    }
    assert expected.items() <= found.items()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distributions of the three packages and the wheels built from those."""
    folder = tmp_path_factory.mktemp("distributions")
    for source in FOLDERS.values():
        run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source], cwd=folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_the_whole_package_and_nothing_else(distributions: Path, package: str) -> None:
    with zipfile.ZipFile(distributions / f"{package}-{VERSION}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    metadata = f"{package}-{VERSION}.dist-info/"
    assert {name for name in names if not name.startswith(metadata)} == source_files(package)
    assert f"{metadata}licenses/LICENSE" in names
    assert f"{package}/py.typed" in names


@pytest.mark.slow
@pytest.mark.parametrize("package", ["ciris_store_sqlite", "ciris_store_postgres"])
def test_backend_wheel_holds_migrations(distributions: Path, package: str) -> None:
    with zipfile.ZipFile(distributions / f"{package}-{VERSION}-py3-none-any.whl") as wheel:
        assert f"{package}/migrations/001_initial_schema.sql" in wheel.namelist()


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_source_distribution_holds_no_other_code(distributions: Path, package: str) -> None:
    top = f"{package}-{VERSION}/"
    with tarfile.open(distributions / f"{package}-{VERSION}.tar.gz") as archive:
        names = {name.removeprefix(top) for name in archive.getnames()}
    build = {"hatch_build.py"} if package == "ciris_store_core" else set()
    own = {file for file in source_files(package) if file.endswith(".py")}
    assert {name for name in names if name.endswith(".py")} == own | build
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_readme_example_works_in_an_empty_environment(distributions: Path, tmp_path: Path) -> None:
    scripts = tmp_path / "venv" / "bin"
    run([sys.executable, "-m", "venv", scripts.parent], cwd=tmp_path)
    requirement = f"ciris-store-core[sqlite]=={VERSION}"
    run([scripts / "python", "-m", "pip", "install", "--find-links", distributions, requirement], cwd=tmp_path)

    empty = tmp_path / "empty"
    empty.mkdir()
    example = tmp_path / "example.py"
    example.write_text(first_python_block((ROOT / "README.md").read_text("utf-8")), "utf-8")
    run([scripts / "python", example], cwd=empty)

    installed = run([scripts / "python", "-m", "pip", "list", "--format", "freeze"], cwd=empty)
    assert not {"typer", "rich", "click"} & {line.partition("==")[0] for line in installed.splitlines()}
    refused = subprocess.run([scripts / "ciris-store", "--help"], cwd=empty, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (Exit.NOT_INSTALLED, "")
    assert "pip install 'ciris-store-core[cli]'" in refused.stderr

    requirement = f"ciris-store-core[cli]=={VERSION}"
    run([scripts / "python", "-m", "pip", "install", "--find-links", distributions, requirement], cwd=tmp_path)
    assert "Usage" in run([scripts / "ciris-store", "--help"], cwd=empty)
