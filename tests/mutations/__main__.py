"""``python tests/mutations``: mutate lines of the product that changed, and see whether a test fails.

Cosmic Ray makes the mutations; this samples them, and runs the tests nearest to each until one fails. It needs the
package ``cosmic-ray`` and nothing of the project, whose tests run in another interpreter, on a copy of the sources.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, TypeVar

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PRODUCT = re.compile(r"(ciris_store_core/(?!conformance|scaffold|demo)|(backends|contrib)/\w+/ciris_store_\w+/).*\.py$")
COMMITS = 20
"""How far to look back where there is neither another main nor a tag."""

FAILED, INTERRUPTED, NOT_COLLECTED = 1, 2, 4
"""Exit codes of pytest; 5 means that it found no test."""
NEAREST = 3
"""Files of tests that are run, apart from the conformance suite."""
COMMON = {
    "self",
    "test",
    "store",
    "sqlite",
    "postgre",
    "duck",
    "session",
    "init",
    "record",
    "row",
    "read",
    "write",
    "statement",
}
"""Words of modules and functions that say nothing about which clauses are meant."""

CONFORMANCE = "tests/conformance/test_backends.py"
TESTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("backends/sqlite", ("backends/sqlite/tests", CONFORMANCE), "not (memory or postgres)"),
    ("backends/postgres", ("backends/postgres/tests", CONFORMANCE), "not (memory or sqlite)"),
    ("contrib/duckdb", ("contrib/duckdb/tests",), ""),
    ("ciris_store_core/inmemory", ("tests/unit", CONFORMANCE), "not (sqlite or postgres)"),
    ("ciris_store_core/contract", ("tests/unit", CONFORMANCE, "tests/store"), "not (sqlite or postgres)"),
    ("ciris_store_core/sql", ("tests/unit", CONFORMANCE, "tests/store"), "not (memory or postgres)"),
    ("ciris_store_core/secrets", ("tests/secrets",), "not postgres"),
    ("ciris_store_core/services", ("tests/services",), "not postgres"),
    ("ciris_store_core/transfer", ("tests/transfer",), "not postgres"),
    ("ciris_store_core/importer", ("tests/importer",), "not postgres"),
    ("ciris_store_core/persistence", ("tests/persistence",), "not postgres"),
    ("ciris_store_core/aio", ("tests/aio",), "not postgres"),
    ("ciris_store_core/cli", ("tests/cli",), "not postgres"),
    ("ciris_store_core/integrations", ("tests/otel",), "not postgres"),
    ("", ("tests/unit", "tests/store", "tests/services"), "not postgres"),
)
"""Tests of each part of the product, and which of their cases."""


@dataclass(frozen=True)
class Mutation:
    """One mutation of one file."""

    path: str
    line: int
    operator: str
    code: str
    """The whole file, mutated."""

    def diff(self) -> str:
        """Return the changed lines."""
        before = (ROOT / self.path).read_text().splitlines()
        lines = unified_diff(before, self.code.splitlines(), lineterm="", n=0)
        return "\n".join(f"    {line}" for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---"))


def git(*arguments: str) -> str:
    """Return what git prints; nothing if it fails."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def base() -> str:
    """Return the commit to compare with: another ``origin/main``, else the last tag, else some commits back."""
    main, head = git("merge-base", "origin/main", "HEAD"), git("rev-parse", "HEAD")
    if main and main != head:
        return main
    return git("describe", "--tags", "--abbrev=0") or git("rev-list", f"--max-count={COMMITS}", "HEAD").split()[-1]


def changed_lines(since: str) -> dict[str, set[int]]:
    """Return the numbers of the lines that were added or changed, by file of the product."""
    found: dict[str, set[int]] = defaultdict(set)
    path = ""
    for line in git("diff", "--unified=0", since, "--", "*.py").splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ b/")
        elif (hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)) and PRODUCT.match(path):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            found[path].update(range(first, first + count))
    return found


Place = tuple[str, int]
"""Operator, and number of its position in the file."""


def places_of(path: str) -> dict[int, dict[str, list[Place]]]:
    """Return the places of all mutations of a file, by line and family of operators."""
    nodes = list(ast_nodes(get_ast((ROOT / path).read_text())))
    found: dict[int, dict[str, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for name in operator_names():
        try:
            operator = get_operator(name)()
        except TypeError:  # it needs arguments: it replaces variables that the caller names
            continue
        positions = [at for node in nodes for at in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(positions):
            found[start[0]][name.split("/")[1].split("_")[0]].append((name, occurrence))
    return found


def mutation_at(path: str, line: int, families: dict[str, list[Place]], chance: random.Random) -> Mutation | None:
    """Return one of the mutations of a line that change what it does; None if there is none."""
    code = (ROOT / path).read_text()
    if "TYPE_CHECKING" in code.splitlines()[line - 1]:
        return None
    places = [place for family in shuffled(families, chance) for place in shuffled(families[family], chance)[:2]]
    for name, occurrence in places:
        mutated = mutate_code(code, get_operator(name)(), occurrence)
        if mutated is not None and meaning_of(mutated) not in (meaning_of(code), None):
            return Mutation(path, line, name, mutated)
    return None


def shuffled(items: Iterable[T], chance: random.Random) -> list[T]:
    """Return the items in another order."""
    made = list(items)
    chance.shuffle(made)
    return made


def meaning_of(code: str) -> str | None:
    """Return the syntax tree without annotations, which nothing evaluates; None if the code is none."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


def sample(since: str, count: int, chance: random.Random) -> list[Mutation]:
    """Return some mutations. Each line and family of operators is as likely as any other."""
    lines = [(path, line) for path, changed in sorted(changed_lines(since).items()) for line in sorted(changed)]
    chosen: list[Mutation] = []
    by_file: dict[str, dict[int, dict[str, list[Place]]]] = {}
    for path, line in shuffled(lines, chance):
        if len(chosen) == count:
            break
        if path not in by_file:
            by_file[path] = places_of(path) if (ROOT / path).exists() else {}
        made = mutation_at(path, line, by_file[path].get(line, {}), chance)
        chosen += [made] if made else []
    return chosen


def tests_of(mutation: Mutation) -> list[list[str]]:
    """Return pytest arguments for the nearest tests: files that name the module or function, and clauses."""
    folders, cases = next((tests, cases) for prefix, tests, cases in TESTS if mutation.path.startswith(prefix))
    stem = Path(mutation.path).stem
    names = [stem, *enclosing(mutation)]
    files = [file for each in folders if each != CONFORMANCE for file in sorted((ROOT / each).glob("test_*.py"))]
    weight = {file: sum(file.read_text().count(name) for name in names) for file in files}
    nearest = sorted((file for file in files if weight[file]), key=lambda file: -weight[file])[:NEAREST] or files
    chosen = [[*(str(file.relative_to(ROOT)) for file in nearest), "-k", cases or "test"]]
    if CONFORMANCE in folders:
        words = {word.rstrip("s") for name in names for word in re.findall("[a-z]{4,}", name.lower())} - COMMON
        chosen.append([CONFORMANCE, "-k", f"{cases} and ({' or '.join(sorted(words)) or 'test'})"])
    return chosen


def enclosing(mutation: Mutation) -> list[str]:
    """Return the names of the functions and classes around a mutation."""
    tree = ast.parse((ROOT / mutation.path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    around = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [node.name for node in around if node.lineno <= mutation.line <= (node.end_lineno or 0)]


def copy_of_sources(target: Path) -> Path:
    """Copy what git knows, with its changes."""
    for name in git("ls-files").splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def outcome(python: str, folder: Path, mutation: Mutation, until: float) -> str:
    """Return ``killed``, ``SURVIVED``, or ``undecided`` if the time ended first."""
    path = folder / mutation.path
    before = path.read_bytes()
    path.write_text(mutation.code)
    roots = [folder, *(folder / each for each in ("backends/sqlite", "backends/postgres", "contrib/duckdb"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
    command += ["-o", "timeout=20", "-m", "not soak and not slow"]
    passed = False
    try:
        for tests in tests_of(mutation):
            left = max(until - time.monotonic(), 0.1)
            done = subprocess.run([*command, *tests], cwd=folder, env=environment, capture_output=True, timeout=left)
            if done.returncode in (FAILED, INTERRUPTED, NOT_COLLECTED):
                return "killed"
            passed = passed or done.returncode == 0
    except subprocess.TimeoutExpired:
        return "undecided"
    finally:
        path.write_bytes(before)
    return "SURVIVED" if passed else "undecided"


def run(options: Any) -> int:
    """Sample, mutate, test, and print. Return 1 if fewer are killed than the floor says."""
    since, head = options.since or base(), git("rev-parse", "HEAD")
    chance = random.Random(options.seed or head)
    chosen = sample(since, options.count, chance)
    until = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.workers) as pool:
        folders = [copy_of_sources(Path(scratch) / str(number)) for number in range(options.workers)]
        free = list(folders)

        def work(mutation: Mutation) -> str:
            folder = free.pop()
            try:
                return outcome(options.python, folder, mutation, until) if time.monotonic() < until else "undecided"
            finally:
                free.append(folder)

        outcomes = []
        for mutation, result in zip(chosen, pool.map(work, chosen), strict=True):
            outcomes.append(result)
            print(f"{result}: {mutation.path}:{mutation.line}: {mutation.operator}", flush=True)
            if result != "killed":
                print(mutation.diff(), flush=True)
    killed, survived = outcomes.count("killed"), outcomes.count("SURVIVED")
    print(f"{killed}/{killed + survived} killed, {outcomes.count('undecided')} undecided, since {since[:12]}")
    return int(killed < options.floor * (killed + survived))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python tests/mutations")
    made.add_argument("--python", default=sys.executable, help="interpreter that has the tests' packages")
    made.add_argument("--count", type=int, default=20, help="how many mutations to try")
    made.add_argument("--seconds", type=float, default=600, help="when to stop")
    made.add_argument("--since", help="commit to compare with; by default origin/main, or the last tag")
    made.add_argument("--seed", help="another sample; by default the name of the commit")
    made.add_argument("--workers", type=int, default=2, help="how many at a time")
    made.add_argument("--floor", type=float, default=0.0, help="fail if a smaller share is killed, such as 0.95")
    return made


if __name__ == "__main__":
    sys.exit(run(parser().parse_args()))
