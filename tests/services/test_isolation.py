"""No query of tasks and thoughts shows the records of another occurrence, and no write changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ciris_store_core import InvalidArgument, Store, Task, TaskContext, Thought, ThoughtStatus
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts
from tests.services.dumps import rows_of

OWNERS = ("a", "b")
STATUSES = ("pending", "active", "completed", "failed")
THOUGHT_STATUSES = ("pending", "processing", "completed", "failed")

Answer = Callable[[Any], Iterable[str]]


def ids(rows: Iterable[Any]) -> list[str]:
    return [getattr(row, "task_id", None) or row.thought_id for row in rows]


def one(row: Any) -> list[str]:
    return [] if row is None else ids([row])


# Return the result of each query for tasks or thoughts named ``{owner}-{status}``.
TASK_QUERIES: dict[str, Answer] = {
    "get": lambda tasks: [i for owner in OWNERS for i in one(tasks.get(f"{owner}-active"))],
    "get_many": lambda tasks: list(tasks.get_many([f"{owner}-{status}" for owner in OWNERS for status in STATUSES])),
    "find": lambda tasks: [
        *ids(tasks.find()), *ids(tasks.find(order="priority")), *ids(tasks.find(order="updated_desc")),
        *ids(tasks.find(status="active", channel_id="c")), *ids(tasks.find(correlation_id="k")),
        *ids(tasks.find(parent_task_id="p")), *ids(tasks.find(shared_type="S")),
    ],
    "scan": lambda tasks: ids(tasks.scan()),
    "pending_for_activation": lambda tasks: ids(tasks.pending_for_activation()),
    "top": lambda tasks: ids(tasks.top()),
    "recent_completed": lambda tasks: ids(tasks.recent_completed()),
    "needing_seed_thought": lambda tasks: ids(tasks.needing_seed_thought()),
}  # fmt: skip

THOUGHT_QUERIES: dict[str, Answer] = {
    "get": lambda thoughts: [i for owner in OWNERS for i in one(thoughts.get(f"{owner}-pending"))],
    "get_many": lambda thoughts: list(
        thoughts.get_many([f"{owner}-{status}" for owner in OWNERS for status in THOUGHT_STATUSES])
    ),
    "find": lambda thoughts: [
        *ids(thoughts.find()), *ids(thoughts.find(order="updated_desc")),
        *ids(thoughts.find(source_task_id="a-active")), *ids(thoughts.find(parent_thought_id="p")),
        *ids(thoughts.find(status="pending", thought_type="standard")),
    ],
    "scan": lambda thoughts: ids(thoughts.scan()),
    "pending_of_active_tasks": lambda thoughts: ids(thoughts.pending_of_active_tasks()),
}  # fmt: skip

COUNTS = {"count", "count_by_status"}
WRITES = {
    "add",
    "add_many",
    "update",
    "delete",
    "delete_many",
    "transfer",
    "retry",
    "escalate",
    "claim_next",
    "claimed",
    "add_unique",
}


@pytest.mark.parametrize(("part", "queries"), [(Tasks, TASK_QUERIES), (Thoughts, THOUGHT_QUERIES)])
def test_no_query_is_forgotten_here(part: type, queries: dict[str, Answer]) -> None:
    public = {name for name in vars(part) if not name.startswith("_")}
    assert public - COUNTS - WRITES == set(queries)


@pytest.fixture
def filled(store: Store) -> Store:
    for owner in OWNERS:
        common = {"channel_id": "c", "description": "d", "agent_occurrence_id": owner, "parent_task_id": "p"}
        context = TaskContext(correlation_id="k")
        store.tasks.add_many(
            [
                Task(task_id=f"{owner}-{status}", status=status, context=context, shared_type="S", **common)
                for status in STATUSES
            ]
        )
        # All thoughts, of whatever owner, belong to tasks of A.
        store.thoughts.add_many(
            [
                Thought(
                    thought_id=f"{owner}-{status}",
                    source_task_id="a-active",
                    content="x",
                    status=status,
                    agent_occurrence_id=owner,
                    parent_thought_id="p",
                )
                for status in THOUGHT_STATUSES
            ]
        )
    return store


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("name", TASK_QUERIES)
def test_a_query_of_tasks_shows_one_owners(filled: Store, opened: Any, name: str, owner: str) -> None:
    found = list(TASK_QUERIES[name](filled.for_occurrence(owner).tasks))
    # A's active task has thoughts, and so needs none.
    assert (found or (name, owner) == ("needing_seed_thought", "a")) and all(i.startswith(f"{owner}-") for i in found)


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("name", THOUGHT_QUERIES)
def test_a_query_of_thoughts_shows_one_owners(filled: Store, name: str, owner: str) -> None:
    found = list(THOUGHT_QUERIES[name](filled.for_occurrence(owner).thoughts))
    # B's thoughts belong to a task of A: to a task of B's own, none does.
    assert found or (name, owner) == ("pending_of_active_tasks", "b")
    assert all(i.startswith(f"{owner}-") for i in found)


def test_without_an_owner_only_the_stores_own_are_seen(filled: Store) -> None:
    for name, query in TASK_QUERIES.items():
        assert list(query(filled.tasks)) == [], name
    for name, query in THOUGHT_QUERIES.items():
        assert list(query(filled.thoughts)) == [], name
    assert (filled.tasks.count(), filled.thoughts.count()) == (0, 0)


@pytest.mark.parametrize("owner", OWNERS)
def test_counts_are_of_one_owner(filled: Store, owner: str) -> None:
    me = filled.for_occurrence(owner)
    assert me.tasks.count() == len(STATUSES) and me.thoughts.count() == len(THOUGHT_STATUSES)
    assert sum(me.tasks.count_by_status().values()) == len(STATUSES)
    assert me.thoughts.count_by_status()[ThoughtStatus.PENDING] == 1


def test_writes_do_not_reach_another_owners_rows(filled: Store) -> None:
    before, me = rows_of(filled, "a"), filled.for_occurrence("b")
    assert not me.tasks.update("a-active", status="failed") and not me.thoughts.update("a-pending", status="failed")
    assert not me.thoughts.retry("a-failed") and not me.thoughts.escalate("a-pending")
    assert me.tasks.delete("a-active") == 0 and me.thoughts.delete("a-pending") == 0
    assert not me.tasks.transfer("a-active", from_occurrence="b", to_occurrence="c")
    assert not me.thoughts.transfer(thought_id="a-pending", from_occurrence="b", to_occurrence="c")
    assert me.release_work() == 0 and me.recover_thoughts() == 1
    with pytest.raises(InvalidArgument):
        me.tasks.claim_next("a")
    assert rows_of(filled, "a") == before
