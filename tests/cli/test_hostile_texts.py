"""Stored texts that try to move the cursor, forge lines or turn text round, in every command that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciris_store_core import AuditEvent, Correlation, GraphEdge, GraphNode, InvalidArgument, NotFound, Task, open_store
from ciris_store_core.models import LogData
from tests.cli.conftest import Command

HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b31m\x85\u2028\u202edone\u2066\rFORGED\nFORGED \x7f[red]"
UNSAFE = set("\x1b\x07\x9b\x85\u2028\u202e\u2066\r\x7f")

COMMANDS = [
    "tasks list", "tasks show t", "occurrences list --all", "leases list", "graph show n --scope local", "log tail",
    "log tail --json", "audit tail", "audit tail --json", "audit export", "audit verify", "tasks list --json", "doctor",
    "doctor --json", "info", "metrics list", "graph show n --scope local --json",
]  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/agent.db"
    with open_store(made, secrets=False) as store:
        store.tasks.add(Task(task_id="t", channel_id=HOSTILE, description=HOSTILE))
        store.occurrences.register(HOSTILE)
        store.leases.acquire(HOSTILE, HOSTILE)
        store.graph.put(GraphNode(id="n", type="concept", scope="local", attributes={"k": HOSTILE}))
        store.graph.put(GraphNode(id=HOSTILE, type="concept", scope="local", attributes={}))
        store.graph.put_edge(GraphEdge(source="n", target=HOSTILE, relationship=HOSTILE, scope="local"))
        store.audit.append_many([AuditEvent(HOSTILE, HOSTILE, {"k": HOSTILE})])
        log = LogData(log_level="INFO", log_message=HOSTILE, logger_name=HOSTILE)
        store.correlations.add(
            Correlation(correlation_type="log_entry", service_type="s", handler_name="h", action_type="a", log_data=log)
        )
    return made


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_shows_it_raw(command: Command, url: str, line: str) -> None:
    name, *options = line.split(" --")
    first, second, *rest = [*name.split(), ""][:2] + name.split()[2:]
    words = [first, *([second] if second else []), *rest, url]
    for option in options:
        words += [f"--{option.split()[0]}", *option.split()[1:]]
    code = command(*words)
    assert code in (0, 1, 8), command.err
    assert not UNSAFE & set(command.out + command.err)
    assert not any(each.strip().startswith("FORGED") for each in command.out.splitlines())
    if "--json" in line and not line.startswith("log"):
        assert json.loads(command.out)


def test_errors_are_one_line() -> None:
    for kind in (InvalidArgument, NotFound):
        said = str(kind(f"there is no {HOSTILE}"))
        assert not (UNSAFE | {"\n"}) & set(said) and "\\x1b[2J" in said
