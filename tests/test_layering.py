"""Which module may import which: read from the sources, and seen in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "ciris_store_core"
FOLDERS = {
    CORE: ROOT / CORE,
    "ciris_store_sqlite": ROOT / "backends/sqlite/ciris_store_sqlite",
    "ciris_store_postgres": ROOT / "backends/postgres/ciris_store_postgres",
    "ciris_store_duckdb": ROOT / "contrib/duckdb/ciris_store_duckdb",
}

BASE = frozenset({"errors", "capabilities", "clock", "printable", "words"})
CONTRACT = BASE | {"models", "contract"}
PLUGIN = CONTRACT | {"url", "url_options", "contract.fleet", "contract.hookspecs"}
API = PLUGIN | {"contract.registry", "secrets", "signing", "validation"}
STORE = API | {"store"}
#: Modules that are a layer of their own within their package.
APART = frozenset(
    {
        "contract.fleet",
        "contract.hookspecs",
        "contract.registry",
        "integrations.fastapi",
        "integrations.genai",
        "integrations.json_logging",
        "schemas.persistence",
    }
)

# The parts that each part of the core may import. A new part belongs in here, with a thought about its layer.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset({"printable"}),
    "printable": frozenset(),
    "capabilities": frozenset(),
    "clock": frozenset(),
    "words": frozenset({"errors"}),
    "models": BASE,
    "schemas": frozenset({"models"}),
    "schemas.persistence": frozenset({"persistence"}),
    "contract": BASE | {"models"},
    "contract.fleet": CONTRACT | {"url"},
    "contract.hookspecs": CONTRACT | {"contract.fleet", "url"},
    "contract.registry": CONTRACT | {"contract.hookspecs"},
    "url": BASE | {"url_options"},
    "url_options": BASE,
    "inmemory": PLUGIN,
    "sql": CONTRACT,
    "secrets": CONTRACT,
    "signing": BASE,
    "validation": CONTRACT | {"secrets"},
    "store": API,
    "transfer": STORE,
    "services": STORE | {"transfer"},
    "opening": STORE | {"services"},
    "fleet": STORE | {"opening"},
    "persistence": STORE | {"services", "aio", "opening"},
    "aio": STORE | {"services", "opening", "fleet"},
    "integrations": STORE | {"integrations.json_logging"},
    "integrations.fastapi": frozenset({"errors", "aio"}),
    "integrations.genai": STORE | {"services"},
    "integrations.json_logging": BASE | {"models", "secrets"},
    "testing": STORE | {"persistence", "conformance", "opening"},
    "importer": STORE | {"persistence"},
    "conformance": STORE | {"__init__", "services", "inmemory", "sql"},
    "demo": STORE | {"__init__", "services"},
    "scaffold": BASE | {"contract"},
    "cli": STORE
    | {
        "__init__",
        "aio",
        "conformance",
        "demo",
        "fleet",
        "importer",
        "inmemory",
        "opening",
        "persistence",
        "scaffold",
        "services",
        "transfer",
    },
    "__init__": STORE | {"services", "persistence", "aio", "opening", "fleet"},
}
# Imports, as (importer, imported), that the test of circles passes over. It stays empty.
EXCEPTIONS: frozenset[tuple[str, str]] = frozenset()
BACKEND_MAY_IMPORT = PLUGIN | {"sql"}

DRIVERS = frozenset({"sqlite3", "_sqlite3", "apsw", "psycopg", "psycopg2", "asyncpg", "duckdb", "sqlalchemy"})
TEST_LIBRARIES = frozenset({"pytest", "_pytest", "hypothesis"})
TERMINAL_LIBRARIES = frozenset({"typer", "click", "rich"})
# Beside the parts that each of these belongs to, nothing imports it.
HOMES = {
    **dict.fromkeys(TEST_LIBRARIES, frozenset({"conformance", "testing"})),
    **dict.fromkeys(TERMINAL_LIBRARIES, frozenset({"cli", "demo"})),
}

CORE_FILES = sorted(FOLDERS[CORE].rglob("*.py"))
BACKEND_FILES = sorted(file for name, folder in FOLDERS.items() if name != CORE for file in folder.rglob("*.py"))


def module_name(file: Path) -> str:
    package, folder = next((name, folder) for name, folder in FOLDERS.items() if file.is_relative_to(folder))
    parts = file.relative_to(folder).with_suffix("").parts
    return ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imports_of(file: Path) -> Iterator[str]:
    """Yield every module that a file names in an import, at any depth, in full."""
    for source, name in names_imported(file):
        # `from ciris_store_core import sql` names a part of the core, `import open_store` the package itself.
        yield f"{CORE}.{name}" if source == CORE and name in ALLOWED else source


def names_imported(file: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each imported module, and the name that is taken from it: at the top, in functions, for types only."""
    package = module_name(file) if file.name == "__init__.py" else module_name(file).rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            yield from ((source, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((str(given.value), None) for given in node.args[:1] if isinstance(given, ast.Constant))


def import_graph(files: Iterable[Path]) -> dict[str, set[str]]:
    """Return the modules that each module imports, among those of the files."""
    modules = {module_name(file): file for file in files}
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        named = {
            f"{source}.{name}" if f"{source}.{name}" in modules else source for source, name in names_imported(file)
        }
        graph[module] = {name for name in named if name in modules and name != module}
    return graph


def circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return a shortest circle through each module that is on one, each circle once."""
    found: dict[frozenset[str], list[str]] = {}
    for start in graph:
        path = _way_back(graph, start)
        if path:
            found.setdefault(frozenset(path), path)
    return list(found.values())


def _way_back(graph: Mapping[str, Set[str]], start: str) -> list[str]:
    came_from = dict.fromkeys(graph[start], start)
    waiting = deque(came_from)
    while waiting:
        module = waiting.popleft()
        if module == start:
            path = [start]
            while (step := came_from[path[-1]]) != start:
                path.append(step)
            return [start, *reversed(path)]
        for target in graph[module]:
            if target not in came_from:
                came_from[target] = module
                waiting.append(target)
    return []


def part_of(module: str) -> str:
    """Return the part of the core that a module belongs to."""
    parts = module.split(".")
    apart = ".".join(parts[1:3])
    return apart if apart in APART else parts[1] if len(parts) > 1 else "__init__"


def test_the_sources_are_found() -> None:
    assert len(CORE_FILES) > 50
    assert {file.parent.name for file in BACKEND_FILES} >= {"ciris_store_sqlite", "ciris_store_postgres"}


@pytest.mark.parametrize("file", CORE_FILES, ids=lambda file: str(file.relative_to(FOLDERS[CORE])))
def test_core_dependencies_point_one_way(file: Path) -> None:
    part = part_of(module_name(file))
    assert part in ALLOWED, f"{part} is new: say in ALLOWED what it may import"
    imported = {part_of(name) for name in imports_of(file) if name.split(".")[0] == CORE}
    wrong = imported - ALLOWED[part] - {part}
    assert not wrong, f"{part} must not import {', '.join(sorted(wrong))}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = import_graph([*CORE_FILES, *BACKEND_FILES])
    graph = {module: {name for name in names if (module, name) not in EXCEPTIONS} for module, names in graph.items()}
    found = circles(graph)
    assert not found, "\n".join(" -> ".join(path) for path in found)


@pytest.mark.parametrize("file", CORE_FILES, ids=lambda file: str(file.relative_to(FOLDERS[CORE])))
def test_core_keeps_libraries_where_they_belong(file: Path) -> None:
    imported = {name.split(".")[0] for name in imports_of(file)}
    assert not imported & DRIVERS, "only backends import a driver"
    assert not imported & {name for name in FOLDERS if name != CORE}, "the core knows no backend"
    strays = {name for name in imported & HOMES.keys() if part_of(module_name(file)) not in HOMES[name]}
    assert not strays, f"{', '.join(sorted(strays))} does not belong here"


@pytest.mark.parametrize("file", BACKEND_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_backends_stand_on_the_contract_and_the_toolkit(file: Path) -> None:
    names = set(imports_of(file))
    parts = {part_of(name) for name in names if name.split(".")[0] == CORE}
    assert not parts - BACKEND_MAY_IMPORT, f"a backend must not import {', '.join(sorted(parts - BACKEND_MAY_IMPORT))}"
    own = module_name(file).split(".")[0]
    others = {name.split(".")[0] for name in names} & FOLDERS.keys() - {own, CORE}
    assert not others, "a backend must not import another"
    assert not {name.split(".")[0] for name in names} & HOMES.keys()


@pytest.mark.parametrize(
    ("source", "part", "found"),
    [
        ("import sqlite3", "models", {"sqlite3"}),
        ("def f():\n    from ciris_store_core.store import Store", "models", {"ciris_store_core.store"}),
        ("from ciris_store_core import store, sql", "models", {"ciris_store_core.store", "ciris_store_core.sql"}),
        ("from ciris_store_core import open_store", "models", {"ciris_store_core"}),
        ("from ..sql.codec import Codec", "models", {"ciris_store_core.sql.codec"}),
        ("from .enums import NodeType", "models", {"ciris_store_core.models.enums"}),
    ],
)
def test_no_spelling_of_an_import_is_missed(
    source: str, part: str, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / part / "planted.py"
    file.parent.mkdir()
    file.write_text(source)
    monkeypatch.setitem(FOLDERS, CORE, tmp_path)
    assert set(imports_of(file)) == found


PLANTED = {
    "at the top": "from .low import x",
    "in a function": "def f():\n    from ciris_store_core.models import low",
    "for types only": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ciris_store_core.models.low",
    "by import_module": "x = import_module('ciris_store_core.models.low')",
}


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch, **sources: str) -> list[Path]:
    """Write modules of a package ``models`` in place of the core."""
    monkeypatch.setitem(FOLDERS, CORE, folder)
    (folder / "models").mkdir()
    files = [folder / "models" / f"{name}.py" for name in sources]
    for file, source in zip(files, sources.values(), strict=True):
        file.write_text(source)
    return files


@pytest.mark.parametrize("source", PLANTED.values(), ids=PLANTED)
def test_a_planted_circle_is_found(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = plant(tmp_path, monkeypatch, low="from .middle import y", middle="from .high import z", high=source)
    [path] = circles(import_graph(files))
    assert [name.rpartition(".")[2] for name in path] == ["low", "middle", "high", "low"]


def test_a_tree_has_no_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = plant(tmp_path, monkeypatch, low="", middle="from . import low", high="from . import low, middle")
    assert circles(import_graph(files)) == []


def test_a_planted_upward_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [file] = plant(tmp_path, monkeypatch, low="def f():\n    from ciris_store_core.store import Store")
    with pytest.raises(AssertionError, match="models must not import store"):
        test_core_dependencies_point_one_way(file)


# --- in a fresh interpreter -------------------------------------------------------------------

PROBE = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
{code}
took = time.perf_counter() - start
print(json.dumps([took, sorted(set(sys.modules) - before)]))
"""


def loaded_by(code: str) -> tuple[float, set[str]]:
    """Seconds that the code takes in a fresh interpreter, and the top-level modules that it loads."""
    command = [sys.executable, "-c", PROBE.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, modules = json.loads(done.stdout)
    return seconds, {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    "code",
    ["import ciris_store_core", "from ciris_store_core import open_store", "from ciris_store_core import *"],
)
def test_importing_the_core_loads_nothing_heavy(code: str) -> None:
    seconds, modules = loaded_by(code)
    print(f"\n{code}: {seconds * 1000:.1f} ms, {len(modules)} top-level modules")
    assert not modules & (DRIVERS | TEST_LIBRARIES | TERMINAL_LIBRARIES | {"cryptography"})


def test_the_probe_sees_what_is_loaded() -> None:
    assert "sqlite3" in loaded_by("import sqlite3")[1]


def test_importing_the_package_itself_loads_no_part_of_it() -> None:
    assert "pydantic" not in loaded_by("import ciris_store_core")[1]
