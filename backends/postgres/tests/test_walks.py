"""Traversals: the cost depends on the edges of the graph, not on the requested depth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciris_store_core.conformance.factories import edge, node, store_edges, store_nodes, task
from ciris_store_core.conformance.support import reading, writing
from ciris_store_core.models import Direction, GraphScope
from ciris_store_core.models.graph import Traversal
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.graph import PostgresGraphStore
from ciris_store_postgres.tasks import PostgresTaskStore

pytestmark = pytest.mark.postgres


def plans(session: Any, monkeypatch: pytest.MonkeyPatch, method: str) -> list[dict[str, Any]]:
    """The plans, with what was done, of all statements that the session runs from now on by that method."""
    found: list[dict[str, Any]] = []
    run = getattr(session, method)

    def explained(statement: str, params: Any = ()) -> Any:
        cursor = session.connection.raw.cursor()
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + session.dialect.render(statement), params)
        found.append(json.loads(cursor.fetchone()[0])[0]["Plan"])
        return run(statement, params)

    monkeypatch.setattr(session, method, explained)
    return found


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(inner for each in plan.get("Plans", ()) for inner in nodes(each))]


@pytest.mark.parametrize("direction", list(Direction))
def test_a_walk_ends_where_a_level_brings_nothing_new(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch, direction: Direction
) -> None:
    names = [f"n{number}" for number in range(20)]
    store_nodes(backend, *map(node, names))
    store_edges(backend, *(edge(a, b) for a in names for b in names))
    with reading(backend) as session:
        seen = plans(session, monkeypatch, "rows")
        assert isinstance(session.graph, PostgresGraphStore)
        walked = session.graph.traverse(Traversal(("n0",), GraphScope.LOCAL, direction, depth=100))
    assert walked.distances == {"n0": 0, **dict.fromkeys(sorted(names[1:]), 1)}
    unions = [each for each in nodes(seen[0]) if each["Node Type"] == "Recursive Union"]
    assert [each["Actual Rows"] for each in unions] == [2]  # one row a level, and no third level


def test_deleting_a_chain_of_tasks_reads_each_of_them_once(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(backend) as session:
        session.tasks.add([task(f"t{n}", parent_task_id=f"t{n - 1}" if n else None) for n in range(600)])
    with writing(backend) as session:
        assert isinstance(session.tasks, PostgresTaskStore)
        seen = plans(session, monkeypatch, "rows")
        session.tasks.delete(["t0"])
    union = next(each for each in nodes(seen[0]) if each["Node Type"] == "Recursive Union")
    scans = [each for each in nodes(union) if each.get("Relation Name") == "tasks" and each["Actual Loops"] > 1]
    assert scans and sum(each["Actual Rows"] * each["Actual Loops"] for each in scans) < 1200
