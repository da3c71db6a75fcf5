from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    FinalAction,
    InvalidArgument,
    NotFound,
    Task,
    TaskContext,
    TaskStatus,
    Thought,
    ThoughtStatus,
)
from ciris_store_core.persistence import (
    add_system_task,
    add_task,
    add_thought,
    count_tasks,
    delete_tasks_by_ids,
    get_active_task_for_channel,
    get_all_tasks,
    get_correlations_by_task_and_action,
    get_latest_shared_task,
    get_pending_tasks_for_activation,
    get_recent_completed_tasks,
    get_shared_task_status,
    get_task_by_id,
    get_tasks_by_status,
    get_tasks_older_than,
    get_thought_by_id,
    get_thoughts_by_task_id,
    get_top_tasks,
    is_shared_task_completed,
    set_task_updated_info_flag,
    task_exists,
    transfer_task_ownership,
    transfer_thought_ownership,
    try_claim_shared_task,
    update_task_context_and_signing,
    update_task_status,
)
from tests.persistence.conftest import START, TimeService
from tests.support import factories
from tests.support.factories import task


def thought(thought_id: str, task_id: str = "t1", **fields: Any) -> Thought:
    return factories.thought(thought_id, task_id, **fields)


def ids(tasks: list[Task]) -> list[str]:
    return [each.task_id for each in tasks]


def test_a_task_comes_back_as_it_was_added(db: str) -> None:
    given = task("t1", created_at="2025-03-01T12:00:00Z", updated_at="2025-03-01T13:00:00+01:00", priority=3)
    assert add_task(given, db) == "t1"
    assert get_task_by_id("t1", "default", db) == given
    assert task_exists("t1", db) is True
    assert task_exists("t2", db) is False
    with pytest.raises(Conflict):
        add_task(given, db_path=db)


def test_what_is_not_there_is_none_false_or_empty(db: str, time_service: TimeService) -> None:
    add_task(task("t1", agent_occurrence_id="occurrence_1"), db)
    assert get_task_by_id("t1", db_path=db) is None
    assert get_all_tasks(db_path=db) == []
    assert update_task_status("t1", TaskStatus.ACTIVE, "default", time_service, db) is False
    assert get_task_by_id("t1", "occurrence_1", db).status == TaskStatus.PENDING
    assert ids(get_all_tasks(ANY_OCCURRENCE, db)) == ["t1"]
    assert delete_tasks_by_ids([], db) is False
    assert delete_tasks_by_ids(["no", "such"], db) is False


def test_the_time_service_gives_updates_their_time(db: str, time_service: TimeService) -> None:
    add_task(task("t1"), db)
    assert update_task_status("t1", "in_progress", "default", time_service, db) is True
    stored = get_task_by_id("t1", db_path=db)
    assert (stored.status, stored.updated_at) == (TaskStatus.ACTIVE, START)


class OnlyText:
    def now_iso(self) -> str:
        return "2025-03-01T14:00:00+02:00"


def test_a_time_service_may_know_its_time_as_text_alone(db: str) -> None:
    add_task(task("t1"), db)
    assert update_task_status("t1", "active", "default", OnlyText(), db)
    assert get_task_by_id("t1", db_path=db).updated_at == START


@pytest.mark.parametrize("broken", [object(), TimeService(START.replace(tzinfo=None))])
def test_a_time_service_without_a_usable_time_is_refused(db: str, broken: Any) -> None:
    add_task(task("t1"), db)
    with pytest.raises(InvalidArgument, match="time_service"):
        update_task_status("t1", "active", "default", broken, db)
    assert get_task_by_id("t1", db_path=db).status == TaskStatus.PENDING


def test_orders_and_limits_of_lists(db: str) -> None:
    for number, (status, priority) in enumerate([("pending", 1), ("pending", 9), ("completed", 5), ("pending", 9)]):
        at = START + timedelta(minutes=number)
        add_task(task(f"t{number}", status=status, priority=priority, created_at=at, updated_at=at), db)
    assert ids(get_tasks_by_status("pending", db_path=db)) == ["t0", "t1", "t3"]
    assert ids(get_all_tasks(db_path=db)) == ["t0", "t1", "t2", "t3"]
    assert ids(get_pending_tasks_for_activation("default", 2, db)) == ["t1", "t3"]
    assert ids(get_top_tasks(db_path=db)) == ["t1", "t3", "t0"]
    assert ids(get_recent_completed_tasks(db_path=db)) == ["t2"]
    assert ids(get_tasks_older_than((START + timedelta(minutes=2)).isoformat(), db_path=db)) == ["t0", "t1"]
    assert count_tasks(db_path=db) == 4
    assert count_tasks(TaskStatus.PENDING, "default", db) == 3
    assert delete_tasks_by_ids(["t0", "t1"], db) is True
    assert ids(get_all_tasks(db_path=db)) == ["t2", "t3"]


def test_an_unknown_status_names_the_valid_ones(db: str) -> None:
    with pytest.raises(InvalidArgument, match="pending, active, completed"):
        get_tasks_by_status("nonsense", db_path=db)


def test_the_newest_active_task_of_a_channel(db: str) -> None:
    for number, (channel, status) in enumerate([("a", "active"), ("a", "active"), ("a", "pending"), ("b", "active")]):
        add_task(task(f"t{number}", channel_id=channel, status=status, created_at=START + timedelta(hours=number)), db)
    assert get_active_task_for_channel("a", db_path=db).task_id == "t1"
    assert get_active_task_for_channel("c", db_path=db) is None


def test_context_and_signature_are_replaced(db: str, time_service: TimeService) -> None:
    add_task(task("t1", signed_by="wa-0", signature="old", signed_at=START), db)
    context = TaskContext(correlation_id="c1", user_id="ada")
    assert update_task_context_and_signing("t1", "default", context, time_service, "wa-1", "abc", db_path=db)
    stored = get_task_by_id("t1", db_path=db)
    assert (stored.context, stored.signed_by, stored.signature, stored.signed_at) == (context, "wa-1", "abc", None)
    assert update_task_context_and_signing("t1", "default", {"correlation_id": "c2"}, db_path=db)
    assert get_task_by_id("t1", db_path=db).context == TaskContext(correlation_id="c2")
    assert update_task_context_and_signing("no", "default", context, db_path=db) is False


class Signer:
    async def get_system_wa_id(self) -> str:
        return "wa-system"

    async def sign_task(self, task: Task, wa_id: str) -> tuple[str, str]:
        return f"{wa_id} signs {task.task_id}", START.isoformat()


def test_system_tasks_are_signed(db: str) -> None:
    assert asyncio.run(add_system_task(task("t1"), Signer(), db)) == "t1"
    stored = get_task_by_id("t1", db_path=db)
    assert (stored.signed_by, stored.signature, stored.signed_at) == ("wa-system", "wa-system signs t1", START)
    assert asyncio.run(add_system_task(task("t2"), db_path=db)) == "t2"
    assert get_task_by_id("t2", db_path=db).signed_by is None


@pytest.mark.parametrize(("action", "in_time"), [("PONDER", True), ("ponder", True), ("speak", False)])
def test_news_reach_a_task_only_before_it_is_decided(
    db: str, action: str, in_time: bool, time_service: TimeService
) -> None:
    add_task(task("t1"), db)
    final = FinalAction(action_type=action, reasoning="because")
    add_thought(thought("th1", status="completed", final_action=final), db)
    assert set_task_updated_info_flag("t1", "more", "default", time_service, db) is in_time
    stored = get_task_by_id("t1", db_path=db)
    assert (stored.updated_info_available, stored.updated_info_content) == (in_time, "more" if in_time else None)
    assert set_task_updated_info_flag("no", "more", "default", time_service, db) is False


# --- shared tasks -----------------------------------------------------------------------------


def test_one_claim_wins_and_the_helpers_find_the_task_ever_after(db: str, time_service: TimeService) -> None:
    first, created = try_claim_shared_task("wakeup_ritual", "api", "Daily", 10, time_service, db)
    assert created and first.agent_occurrence_id == "__shared__"
    assert first.task_id.startswith("WAKEUP_RITUAL_SHARED_")
    assert try_claim_shared_task("WAKEUP_RITUAL", "api", "Daily", 10, db_path=db) == (first, False)
    assert get_shared_task_status("WAKEUP_RITUAL", within_hours=24, db_path=db) == TaskStatus.PENDING

    add_thought(thought("th1", first.task_id, agent_occurrence_id="__shared__"), db)
    assert transfer_task_ownership(first.task_id, "__shared__", "occurrence_1", db_path=db) is True
    moved = transfer_thought_ownership(
        from_occurrence_id="__shared__", to_occurrence_id="occurrence_1", task_id=first.task_id, db_path=db
    )
    assert moved == 1
    assert [each.thought_id for each in get_thoughts_by_task_id(first.task_id, "occurrence_1", db)] == ["th1"]
    assert try_claim_shared_task("WAKEUP_RITUAL", "api", "Daily", 10, db_path=db)[1] is False
    assert get_latest_shared_task("wakeup_ritual", db_path=db).agent_occurrence_id == "occurrence_1"

    assert is_shared_task_completed("WAKEUP_RITUAL", db_path=db) is False
    update_task_status(first.task_id, TaskStatus.COMPLETED, "occurrence_1", db_path=db)
    assert is_shared_task_completed("WAKEUP_RITUAL", db_path=db) is True
    assert get_shared_task_status("NO_SUCH", db_path=db) is None
    assert get_latest_shared_task("WAKEUP", db_path=db) is None


def test_a_second_transfer_is_false_and_thoughts_have_one_selector(db: str) -> None:
    add_task(task("t1"), db)
    add_thought(thought("th1"), db)
    assert transfer_task_ownership("t1", "default", "a", db_path=db) is True
    assert transfer_task_ownership("t1", "default", "b", db_path=db) is False
    assert transfer_thought_ownership("th1", "default", "a", db_path=db) is True
    assert transfer_thought_ownership("th1", "default", "b", db_path=db) is False
    assert get_thought_by_id("th1", "a", db).status == ThoughtStatus.PENDING
    with pytest.raises(InvalidArgument, match="exactly one"):
        transfer_thought_ownership("th1", "a", "b", task_id="t1", db_path=db)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument, match="exactly one"):
        transfer_thought_ownership(from_occurrence_id="a", to_occurrence_id="b", db_path=db)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument):
        transfer_thought_ownership("th1", db_path=db)  # type: ignore[call-overload]


def test_a_transfer_is_in_the_audit_events_whether_a_loop_runs_or_not(db: str) -> None:
    add_task(task("t1"), db)

    async def within_a_loop() -> bool:
        return transfer_task_ownership("t1", "a", "b", db_path=db)

    assert transfer_task_ownership("t1", "default", "a", db_path=db)
    assert asyncio.run(within_a_loop())
    events = get_correlations_by_task_and_action("t1", "task_ownership_transfer", db_path=db)
    assert [event.request_data.parameters["to_occurrence_id"] for event in events] == ["b", "a"]


class Auditor:
    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self._error = error

    async def log_event(self, name: str, event: Any) -> None:
        if self._error is not None:
            raise self._error
        self.heard.append((name, event.entity_id, event.outcome))


def test_an_audit_service_is_told_without_a_loop_and_within_one(db: str) -> None:
    add_task(task("t1"), db)
    add_thought(thought("th1"), db)
    auditor = Auditor()
    transfer_task_ownership("t1", "default", "a", None, auditor, db)

    async def within_a_loop() -> None:
        transfer_task_ownership("t1", "default", "b", None, auditor, db)
        transfer_thought_ownership("th1", "default", "b", None, auditor, db)
        await asyncio.sleep(0)

    asyncio.run(within_a_loop())
    assert auditor.heard == [
        ("task_ownership_transfer", "t1", "success"),
        ("task_ownership_transfer", "t1", "failed"),
        ("thought_ownership_transfer", "th1", "success"),
    ]


def test_a_failing_audit_service_does_not_make_a_done_transfer_look_undone(
    db: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_task(task("t1"), db)
    with caplog.at_level(logging.ERROR):
        assert transfer_task_ownership("t1", "default", "a", None, Auditor(NotFound("away")), db) is True
    assert get_task_by_id("t1", "a", db) is not None
    assert "audit service failed" in caplog.text
