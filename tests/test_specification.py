"""Every program of the specification runs as it stands there, but for the package that it imports from.

A fragment assumes names, which a prelude gives it; what is no program is listed with the reason.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ciris_store_core
from ciris_store_core import (
    ANY_OCCURRENCE,
    AsyncMemoryService,
    GraphNode,
    Store,
    Task,
    TaskStatus,
    Thought,
    open_store_async,
    persistence,
)
from ciris_store_core.clock import SystemClock
from ciris_store_core.persistence import close_stores, get_store
from tests.store.conftest import BACKENDS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "specification.md"
SHARED = "WAKEUP_RITUAL_SHARED_20251028"

#: Where a block imports from, and where it does here.
IMPORTS = {"ciris_engine.logic.persistence": "ciris_store_core.persistence", "ciris_engine": "ciris_store_core"}

SKETCH = "a sketch of the fields in no programming language; tests/unit has the records"
SHELL = "commands of the engine's shell; 'ciris-store conformance' takes their place, which tests/conformance runs"
ELIDED = "its arguments are left out as '...'; the section that it refers to is run in full"

NO_PROGRAM = {
    "Graph Nodes (`graph_nodes` table)": SKETCH,
    "Correlations (`correlations` table)": SKETCH,
    "Tasks (`tasks` table)": SKETCH,
    "Thoughts (`thoughts` table)": SKETCH,
    "Using PostgreSQL": SHELL,
    "Testing Both Dialects": SHELL,
    "Testing Multi-Occurrence": SHELL,
    "Database Maintenance": "holds comments only; tests/services/test_maintenance.py tests what they say",
    "Migration Guide 2": ELIDED,
    "Migration Guide 3": ELIDED,
}


@dataclass(frozen=True)
class Block:
    name: str
    """The heading that it stands under, and a number if it is not the first there."""
    code: str


def blocks() -> list[Block]:
    text, found, counts = PAGE.read_text(), [], dict[str, int]()
    for match in re.finditer(r"^(?P<indent> *)```\w+\n(?P<code>.*?)^(?P=indent)```", text, re.MULTILINE | re.DOTALL):
        before = re.sub(r"^ *```.*?^ *```", "", text[: match.start()], flags=re.MULTILINE | re.DOTALL)
        heading = re.findall(r"^#+ (?:\d+\. )?(.+)$", before, re.MULTILINE)[-1]
        counts[heading] = counts.get(heading, 0) + 1
        name = heading if counts[heading] == 1 else f"{heading} {counts[heading]}"
        found.append(Block(name, textwrap.dedent(match["code"])))
    return found


BLOCKS = {block.name: block.code for block in blocks()}
PROGRAMS = [name for name in BLOCKS if name not in NO_PROGRAM]


# --- what the fragments assume, and what must be true afterwards -------------------------------


def prelude(url: str) -> dict[str, Any]:
    """Names that the specification uses without saying where they come from."""
    me = SimpleNamespace(
        agent_occurrence_id="occurrence_1",
        channel_id="api",
        time_service=SystemClock(),
        _process_shared_task=lambda task: ("processed", task.task_id),
    )
    models = {name: getattr(ciris_store_core, name) for name in ciris_store_core.__all__}
    functions = {name: getattr(persistence, name) for name in persistence.__all__}
    fragments = {
        "self": me,
        "state": SimpleNamespace(value="wakeup"),
        "tags": {"host": "agent-1", "env": "prod"},
        "task_id": SHARED,
        "time_service": SystemClock(),
        "logger": logging.getLogger("specification"),
    }
    return {**models, **functions, **fragments}


def with_work(store: Store) -> None:
    """A shared task of the day that the specification names, with a thought, and work of one occurrence."""
    shared = {"agent_occurrence_id": "__shared__"}
    store.tasks.add(Task(task_id=SHARED, channel_id="api", description="ritual", status="completed", **shared))
    store.thoughts.add(Thought(thought_id="th", source_task_id=SHARED, content="hm", **shared))
    store.tasks.add(
        Task(task_id="mine", channel_id="api", description="x", status="active", agent_occurrence_id="occurrence_1")
    )
    store.thoughts.add(
        Thought(thought_id="my", source_task_id="mine", content="hm", agent_occurrence_id="occurrence_1")
    )


def stored_twice(store: Store, names: dict[str, Any]) -> None:
    made = names["node"]
    assert (made.attributes["value"], made.attributes["tags"], made.type) == (75.5, names["tags"], "tsdb_data")
    [point] = store.correlations.points(metric_name="cpu_usage").items
    [node] = store.graph.find(type="tsdb_data").items
    assert point.value == node.attributes["value"] == 75.5 and point.tags == names["tags"]


def recalled(store: Store, names: dict[str, Any]) -> None:
    assert [point.value for point in names["metrics"]] == [1.5]


def a_configuration(store: Store, names: dict[str, Any]) -> None:
    node = names["filter_node"]
    node.attributes["learned_patterns"] = ["spam"]  # The specification leaves the patterns out as '...'.
    assert isinstance(node, GraphNode) and store.graph.put(node).config_type() == "filter_config"


def claimed(store: Store, names: dict[str, Any]) -> None:
    task = names["task"]
    assert names["was_created"] is True and task.task_id.startswith("WAKEUP_RITUAL_SHARED_2")
    assert (
        task.agent_occurrence_id == "__shared__" and store.tasks.get(task.task_id, occurrence_id=ANY_OCCURRENCE) == task
    )


def isolated(store: Store, names: dict[str, Any]) -> None:
    assert [task.task_id for task in names["tasks"]] == ["mine"]
    assert names["thoughts"] == []  # Those of that task belong to another occurrence.


def task_transferred(store: Store, names: dict[str, Any]) -> None:
    assert store.tasks.get(SHARED, occurrence_id="occurrence_1") is not None


def thoughts_transferred(store: Store, names: dict[str, Any]) -> None:
    assert store.thoughts.get("th", occurrence_id="occurrence_1") is not None


def helped(store: Store, names: dict[str, Any]) -> None:
    assert names["task"] is TaskStatus.COMPLETED and names["latest"].description == "done today"


def ritual(store: Store, names: dict[str, Any]) -> None:
    kind, task_id = names["returned"]
    assert kind == "processed" and store.tasks.get(task_id, occurrence_id="occurrence_1") is not None


def own_work(store: Store, names: dict[str, Any]) -> None:
    assert [task.task_id for task in names["active_tasks"]] == ["mine"]
    assert [thought.thought_id for thought in names["thoughts"]] == ["my"]


def all_own(store: Store, names: dict[str, Any]) -> None:
    assert [task.task_id for task in names["tasks"]] == ["mine"]


def finished_today(store: Store) -> None:
    task, _ = store.shared_tasks.try_claim("WAKEUP_RITUAL", "api", "done today")
    store.tasks.update(task.task_id, status="completed", occurrence_id=ANY_OCCURRENCE)


def one_metric(store: Store) -> None:
    ciris_store_core.services.MemoryService(store).memorize_metric("cpu_usage", 1.5)


Check = Callable[[Store, dict[str, Any]], None]
CASES: dict[str, tuple[Callable[[Store], None], Check]] = {
    "Storing a Metric": (lambda store: None, stored_twice),
    "Querying Time-Series Data": (one_metric, recalled),
    "Adaptive Configuration": (lambda store: None, a_configuration),
    "Occurrence Isolation": (with_work, isolated),
    "Shared Task Coordination": (lambda store: None, claimed),
    "Task Ownership Transfer": (with_work, task_transferred),
    "Thought Ownership Transfer": (with_work, thoughts_transferred),
    "Query Helpers": (finished_today, helped),
    "Pattern 1: Shared Wakeup/Shutdown Decision": (lambda store: None, ritual),
    "Pattern 2: Occurrence-Specific Processing": (with_work, own_work),
    "Migration Guide": (with_work, all_own),
}


# --- running them -----------------------------------------------------------------------------


def adapted(code: str, url: str) -> str:
    """The program with the import paths of this project, and on the database that is tested."""
    for theirs, ours in IMPORTS.items():
        code = code.replace(f"from {theirs}", f"from {ours}")
    return code.replace('":memory:"', repr(url))


async def run(code: str, names: dict[str, Any]) -> None:
    """Run a program in which ``await`` and ``return`` may stand outside a function."""
    if re.search(r"^\s*return\b", code, re.MULTILINE):
        exec("def method(self):\n" + textwrap.indent(code, "    "), names)
        names["returned"] = names["method"](names["self"])
        return
    program = compile(code, "the specification", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(program, names)
    if inspect.iscoroutine(result):
        await result


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    chosen = BACKENDS[request.param](request)
    monkeypatch.setenv("CIRIS_DB_URL", chosen)
    yield chosen
    close_stores()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_specification_runs(name: str, url: str) -> None:
    prepare, check = CASES[name]
    prepare(get_store())

    async def body() -> None:
        async with open_store_async(url) as store:
            names = {**prelude(url), "memory_service": AsyncMemoryService(store)}
            await run(adapted(BLOCKS[name], url), names)
            check(store.sync, names)

    asyncio.run(body())


def test_every_block_is_run_or_listed_with_the_reason() -> None:
    assert len(BLOCKS) > 15 and BLOCKS.keys() == {*CASES, *NO_PROGRAM} and not CASES.keys() & NO_PROGRAM.keys()
    for name, reason in NO_PROGRAM.items():
        print(f"{name}: not run: {reason}")


def test_only_what_is_no_program_is_left_out() -> None:
    for name, reason in NO_PROGRAM.items():
        code = BLOCKS[name]
        if reason is SKETCH:
            with pytest.raises(SyntaxError):
                ast.parse(code)
        elif reason is ELIDED:
            assert "(...)" in code
        elif reason is not SHELL:
            assert ast.parse(code).body == []
