"""tasks, thoughts, occurrences, leases and maintain from the command line, on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ciris_store_core import ANY_OCCURRENCE, ManualClock, Store, Task, TestSeams, Thought, open_store
from ciris_store_core.cli import Exit
from tests.cli.conftest import Command
from tests.transfer.conftest import Stores


@pytest.fixture
def url(stores: Stores, kind: str) -> str:
    return stores.url(kind)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """With some work in it."""
    with open_store(url) as made:
        for number in range(3):
            made.tasks.add(Task(task_id=f"t{number}", channel_id="c", description="call\n  Ada", priority=number))
        made.tasks.add(Task(task_id="child", channel_id="d", description="d", parent_task_id="t1", status="completed"))
        made.thoughts.add(Thought(thought_id="h", source_task_id="t1", content="hm", agent_occurrence_id="w"))
        yield made


def test_tasks_are_listed_in_pages(command: Command, store: Store, url: str) -> None:
    page = command.json("tasks", "list", url, "--limit", 3)
    assert [task["task_id"] for task in page["items"]] == ["t0", "t1", "t2"]
    rest = command.json("tasks", "list", url, "--limit", 3, "--cursor", page["next_cursor"])
    assert ([task["task_id"] for task in rest["items"]], rest["next_cursor"]) == (["child"], None)
    assert command("tasks", "list", url, "--limit", 3) == Exit.OK
    assert "call Ada" in command.out and page["next_cursor"] in command.out


def test_tasks_are_filtered(command: Command, store: Store, url: str) -> None:
    def ids(*filters: str) -> list[str]:
        return [task["task_id"] for task in command.json("tasks", "list", url, *filters)["items"]]

    assert ids("--status", "completed") == ids("--channel", "d") == ids("--parent", "t1") == ["child"]
    assert ids("--status", "pending", "--status", "completed") == ["t0", "t1", "t2", "child"]
    assert ids("--occurrence", "nobody") == []
    assert command("tasks", "list", url, "--status", "wat") == Exit.USAGE
    assert "Use one of pending, active" in command.err
    assert command("tasks", "list", url, "--cursor", "wat") == Exit.USAGE


def test_a_task_is_shown_with_what_hangs_on_it(command: Command, store: Store, url: str) -> None:
    shown = command.json("tasks", "show", "t1", url)
    assert shown["task"]["priority"] == 1
    assert [each["task_id"] for each in shown["children"]] == ["child"]
    assert [each["thought_id"] for each in shown["thoughts"]] == ["h"]
    assert command("tasks", "show", "t1", url) == Exit.OK
    assert {"child", "hm"} <= set(command.out.split())
    assert command("tasks", "show", "gone", url) == Exit.FAILED
    assert command.err == "error: there is no task 'gone'. See ciris-store tasks list.\n"


def test_thoughts_are_listed_and_shown(command: Command, store: Store, url: str) -> None:
    assert [each["thought_id"] for each in command.json("thoughts", "list", url, "--task", "t1")["items"]] == ["h"]
    assert command.json("thoughts", "list", url, "--task", "t1", "--status", "failed")["items"] == []
    assert command.json("thoughts", "list", url, "--occurrence", "w")["items"][0]["content"] == "hm"
    assert command.json("thoughts", "show", "h", url)["content"] == "hm"
    assert command("thoughts", "show", "h", url) == Exit.OK
    assert command("thoughts", "show", "gone", url) == Exit.FAILED


def test_work_of_the_dead_is_given_back(command: Command, store: Store, url: str) -> None:
    past = ManualClock(store.server_now())
    past.advance(seconds=-3600)
    with open_store(url, testing=TestSeams(clock=past, server_clock=past)) as then:
        worker = then.for_occurrence("w")
        worker.register()
        assert len(worker.claim_next(limit=2)) == 2
    assert command.json("occurrences", "list", url) == []
    [dead] = command.json("occurrences", "list", url, "--all")
    assert (dead["occurrence_id"], dead["alive"]) == ("w", False)
    assert command("occurrences", "list", url, "--all") == Exit.OK
    assert "dead" in command.out
    assert command.json("tasks", "rescue", url) == {"tasks": 2, "thoughts": 0}
    assert store.tasks.count(occurrence_id="default", status="pending") == 3


def test_a_task_changes_its_owner_with_its_thoughts(command: Command, store: Store, url: str) -> None:
    store.thoughts.add(Thought(thought_id="own", source_task_id="t1", content="c"))
    moved = command.json("tasks", "transfer", "t1", url, "--from", "default", "--to", "two")
    assert moved == {"task": "t1", "owner": "two", "thoughts": 1}
    assert store.thoughts.count(occurrence_id="two") == 1
    assert command("tasks", "transfer", "t1", url, "--from", "default", "--to", "two") == Exit.FAILED


def test_stuck_thoughts_are_freed(command: Command, store: Store, url: str) -> None:
    store.thoughts.add(Thought(thought_id="s", source_task_id="t1", content="c", agent_occurrence_id="__shared__"))
    assert command.json("thoughts", "unstick", url) == {"thoughts": 1}
    assert command.json("thoughts", "show", "s", url)["agent_occurrence_id"] == "default"


def test_leases_are_listed_and_ended(command: Command, store: Store, url: str) -> None:
    store.leases.acquire("job", "me", ttl_seconds=600)
    [lease] = command.json("leases", "list", url)
    assert (lease["name"], lease["owner"]) == ("job", "me")
    assert command.json("leases", "release", "job", url)["released"] == "job"
    assert command.json("leases", "list", url) == []
    assert len(command.json("leases", "list", url, "--all")) == 1
    assert command("leases", "release", "job", url) == Exit.FAILED
    assert "no owner holds a lease 'job'" in command.err


def test_maintenance_runs_once(command: Command, store: Store, url: str, tmp_path: Path) -> None:
    past = store.server_now().replace(year=2000)
    store.tasks.add(Task(task_id="old", channel_id="c", description="d", status="completed", updated_at=past))
    assert command.json("maintain", url, "--dry-run")["old_tasks"] == 1
    assert command.json("maintain", url, "--dry-run", "--completed-days", 0)["old_tasks"] == 0
    report = command.json("maintain", url, "--archive", "kept")
    assert report["old_tasks"] == 1 and Path(report["archive"]).parent == Path("kept")
    assert store.tasks.count(occurrence_id=ANY_OCCURRENCE) == 4
    assert command("maintain", url, "--no-archive") == Exit.OK
    assert "removed" in command.out
    assert [each.name for each in tmp_path.iterdir() if each.name != "stores"] == ["kept"]
