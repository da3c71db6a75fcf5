from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from ciris_store_pydantic import CirisMemoryStore, CirisPlanStore, CirisSpendStore, CirisStepStore
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel
from pydantic_ai_harness.memory import (
    InMemoryStore,
    Memory,
    MemoryConflictError,
    MemoryOperation,
    MemoryOperationConflictError,
    MetadataMemoryStore,
    SearchableMemoryStore,
)
from pydantic_ai_harness.planning import InMemoryPlanStore, PlanItem, Planning, PlanStore, TaskStatus
from pydantic_ai_harness.spend import (
    BatchSpendStore,
    Budget,
    InMemorySpendStore,
    SpendEntry,
    SpendLimitExceeded,
    SpendLimits,
    Spent,
)
from pydantic_ai_harness.step_persistence import (
    ContinuableSnapshot,
    InMemoryStepStore,
    RunRecord,
    StepEvent,
    StepPersistence,
    StepStore,
    ToolEffectRecord,
)

from ciris_store_core import KeyRing, ManualClock, SecretsConfig, Store, TestSeams, field, open_store
from ciris_store_core.secrets.keys import new_key

Make = Callable[[Store], Any]
OURS: dict[str, Any] = {
    "memory": CirisMemoryStore, "plan": CirisPlanStore, "spend": CirisSpendStore, "step": CirisStepStore
}  # fmt: skip
THEIRS: dict[str, Any] = {
    "memory": InMemoryStore, "plan": InMemoryPlanStore, "spend": InMemorySpendStore, "step": InMemoryStepStore
}  # fmt: skip


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a store of one kind: ours, or the harness's own, to compare with."""
    whose, kind = request.param.split()
    return OURS[kind] if whose == "ours" else lambda _, **more: THEIRS[kind](**more)  # type: ignore[no-any-return]


def side_by_side(kind: str) -> Any:
    rows = [*((url, f"ours {kind}") for url in ("memory", "sqlite", "postgres")), ("memory", f"theirs {kind}")]
    return pytest.mark.parametrize(("url", "make"), rows, indirect=True)


def test_they_are_what_the_protocols_ask_for(store: Store) -> None:
    assert isinstance(CirisMemoryStore(store), MetadataMemoryStore | SearchableMemoryStore)
    assert isinstance(CirisMemoryStore(store), SearchableMemoryStore)
    assert isinstance(CirisPlanStore(store), PlanStore)
    assert isinstance(CirisSpendStore(store), BatchSpendStore)
    assert isinstance(CirisStepStore(store), StepStore)


@side_by_side("memory")
def test_memory_compares_versions(store: Store, make: Make) -> None:
    async def main() -> None:
        memory = make(store)
        assert await memory.read("a/b.md", max_chars=9) is None
        with pytest.raises(MemoryConflictError):
            await memory.write("a/b.md", "x", expected_version="1")
        made = await memory.write("a/b.md", "abcde", expected_version=None)
        assert made.version and not made.existed and not made.replayed
        read = await memory.read("a/b.md", max_chars=3)
        assert (read.content, read.truncated, read.version, read.metadata) == ("abc", True, made.version, None)
        with pytest.raises(MemoryConflictError):
            await memory.write("a/b.md", "x", expected_version=None)
        by: dict[str, str] = {"by": "ada"}
        second = await memory.write_with_metadata("a/b.md", "two", expected_version=made.version, metadata=by)
        assert second.existed and second.version != made.version
        assert (await memory.read("a/b.md", max_chars=9)).metadata == {"by": "ada"}
        with pytest.raises(MemoryConflictError):
            await memory.delete("a/b.md", expected_version=made.version)
        gone = await memory.delete("a/b.md", expected_version=second.version)
        assert gone.version is None and gone.existed
        assert not (await memory.delete("a/b.md", expected_version=None)).existed
        again = await memory.write("a/b.md", "three", expected_version=None)
        assert again.version not in (made.version, second.version)
        for wrong in ("", "../x", "a//b", "a/./b", "ä"):
            with pytest.raises(ValueError):
                await memory.write(wrong, "x", expected_version=None)
        with pytest.raises(ValueError):
            await memory.write_with_metadata("b", "x", expected_version=None, metadata={"k": "v" * 5000})

    asyncio.run(main())


@side_by_side("memory")
def test_memory_applies_an_operation_once(store: Store, make: Make) -> None:
    async def main() -> None:
        memory = make(store)
        one = MemoryOperation("1", "write x")
        assert await memory.get_operation(one) is None
        made = await memory.write("x", "one", expected_version=None, operation=one)
        await memory.write("x", "two", expected_version=made.version)
        for again in (
            await memory.write("x", "one", expected_version=None, operation=one), await memory.get_operation(one)
        ):  # fmt: skip
            assert (again.version, again.replayed, again.existed) == (made.version, True, False)
        assert (await memory.read("x", max_chars=9)).content == "two"
        with pytest.raises(MemoryOperationConflictError):
            await memory.delete("x", expected_version=None, operation=MemoryOperation("1", "delete x"))
        version = (await memory.read("x", max_chars=9)).version
        two = MemoryOperation("2", "delete x")
        assert not (await memory.delete("x", expected_version=version, operation=two)).replayed
        assert (await memory.delete("x", expected_version=version, operation=two)).replayed
        three = MemoryOperation("3", "write y")
        done = await asyncio.gather(*(memory.write("y", "y", expected_version=None, operation=three) for _ in range(5)))
        assert sorted(each.replayed for each in done) == [False, True, True, True, True]
        assert (await memory.read("y", max_chars=9)).operation_id == "3"

    asyncio.run(main())


@side_by_side("memory")
def test_memory_lists_and_searches(store: Store, make: Make) -> None:
    async def main() -> None:
        memory = make(store)
        files = {"u/a.md": "tea and Tea", "u/b.md": "coffee", "u/tea.md": "none", "u/deep/c.md": "tea", "ua": "tea"}
        for path, content in files.items():
            await memory.write(path, content, expected_version=None)
        assert await memory.list_paths(limit=9) == sorted(files) and await memory.list_paths(limit=1) == ["u/a.md"]
        assert await memory.list_paths("u/", limit=9) == ["u/a.md", "u/b.md", "u/deep/c.md", "u/tea.md"]
        assert await memory.list_paths("u/a", limit=9) == ["u/a.md"] and await memory.list_paths("x", limit=9) == []
        bounds = {"limit": 5, "max_files": 9, "max_chars": 1000, "max_file_chars": 1000}
        found = await memory.search("u/", "TEA", **bounds)
        assert [(each.path, each.score) for each in found.matches] == [("u/a.md", 2.0), ("u/tea.md", 2.0)]
        assert (found.scanned, found.truncated) == (3, False)
        cut = await memory.search("u/", "tea", **{**bounds, "max_files": 1, "max_file_chars": 3})
        assert (cut.matches[0].snippet, cut.scanned, cut.truncated) == ("tea", 1, True)
        assert (await memory.search("u/", "tea", **{**bounds, "limit": 1})).truncated
        assert (await memory.search("u/", "  ", **bounds)).matches == []

    asyncio.run(main())


@side_by_side("plan")
def test_plans(store: Store, make: Make) -> None:
    async def main() -> None:
        plan = make(store)
        assert await plan.get_items() == [] and await plan.get_item("a") is None
        first = PlanItem(id="a", content="one")
        assert await plan.add_item(first) == first
        with pytest.raises(ValueError):
            await plan.add_item(PlanItem(id="a", content="other"))
        await plan.add_item(PlanItem(id="b", content="two", depends_on=["a"], parent_id="a"))
        changed = await plan.update_item("a", status=TaskStatus.completed, content="uno", depends_on=["b"])
        assert (changed.content, changed.status, changed.depends_on) == ("uno", TaskStatus.completed, ["b"])
        assert await plan.update_item("c", content="x") is None
        items = await plan.get_items()
        assert [each.id for each in items] == ["a", "b"] and items[0] == changed and items[1].depends_on == ["a"]
        items[0].content = "changed outside"
        assert (await plan.get_item("a")).content == "uno"
        assert await plan.remove_item("a") is True and await plan.remove_item("a") is False
        await plan.set_items([PlanItem(id=id, content=id) for id in "cab"])
        assert [each.id for each in await plan.get_items()] == ["c", "a", "b"]
        await plan.set_items([])
        await asyncio.gather(*(plan.add_item(PlanItem(id=str(i), content="x")) for i in range(10)))
        assert len(await plan.get_items()) == 10

    asyncio.run(main())


def test_plans_by_name(store: Store) -> None:
    async def main() -> None:
        await CirisPlanStore(store, plan="a").add_item(PlanItem(content="x"))
        assert await CirisPlanStore(store, plan="b").get_items() == []
        added = await asyncio.gather(
            *(CirisPlanStore(store, plan="new").add_item(PlanItem(content=str(i))) for i in range(8))
        )
        assert len(await CirisPlanStore(store, plan="new").get_items()) == len(added)

    asyncio.run(main())


def entry(key: str = "day", usd: str = "0.1", **more: Any) -> SpendEntry:
    return SpendEntry(**{"key": key, "usd": Decimal(usd), "tokens": 10, "requests": 1, **more})


@side_by_side("spend")
def test_spend_adds_exactly_and_together(store: Store, make: Make) -> None:
    async def main() -> None:
        spend = make(store)
        assert await spend.get_many(["day", "month"]) == {"day": Spent(), "month": Spent()}
        totals = await spend.add_many([entry(), entry("month", unpriced=1), entry(usd="-0.03", requests=0, tokens=0)])
        assert totals["day"] == Spent(usd=Decimal("0.07"), tokens=10, requests=1)
        assert totals["month"].unpriced_requests == 1 and await spend.get_many(["day"]) == {"day": totals["day"]}
        with pytest.raises(Exception):  # noqa: B017 - each of the two has errors of its own
            await spend.add_many([entry("x"), entry(usd="sNaN")])
        assert (await spend.get_many(["x"]))["x"] == Spent()
        await asyncio.gather(*(spend.add_many([entry("a"), entry("b")][:: 1 if i % 2 else -1]) for i in range(20)))
        found = await spend.get_many(["a", "b"])
        assert found["a"] == found["b"] == Spent(usd=Decimal("2.0"), tokens=200, requests=20)

    asyncio.run(main())


@side_by_side("spend")
def test_spend_counts_a_token_once(store: Store, make: Make) -> None:
    async def main() -> None:
        spend = make(store)
        both = [entry("day", token="t"), entry("month", token="t"), entry("day", token="t")]
        first = await spend.add_many(both)
        assert first["day"].requests == first["month"].requests == 1
        assert await spend.add_many(both) == first
        await asyncio.gather(*(spend.add_many([entry("day", token="u"), entry("new", token="u")]) for _ in range(5)))
        found = await spend.get_many(["day", "new"])
        assert found["day"].requests == 2 and found["new"].requests == 1

    asyncio.run(main())


def test_spend_expires(url: str) -> None:
    async def main(store: Store, clock: ManualClock) -> None:
        spend = CirisSpendStore(store)
        await spend.add_many([entry(ttl=timedelta(hours=2), token="t")])
        clock.advance(minutes=61)
        assert (await spend.add_many([entry(ttl=timedelta(hours=2), token="t")]))["day"].requests == 2
        clock.advance(hours=2)
        assert await spend.get("day") == Spent()
        assert (await spend.add_many([entry(token="t")]))["day"].requests == 1
        clock.advance(days=9)
        assert (await spend.get("day")).requests == 1

    clock = ManualClock()
    with open_store(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
        asyncio.run(main(store, clock))


def talk(count: int) -> list[ModelMessage]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        ModelResponse(parts=[TextPart(f"m{i}")], timestamp=at)
        if i % 2
        else ModelRequest(parts=[UserPromptPart(f"m{i}\0", timestamp=at)])
        for i in range(count)
    ]


def snapshot(step: int, **more: Any) -> ContinuableSnapshot:
    return ContinuableSnapshot(**{"run_id": "r", "step_index": step, "messages": talk(step), **more})


@side_by_side("step")
def test_runs_events_and_effects(store: Store, make: Make) -> None:
    async def main() -> None:
        steps = make(store)
        assert await steps.get_run(run_id="r") is None and await steps.list_runs() == []
        runs = [
            RunRecord(run_id=id, parent_run_id=of, conversation_id=talk, started_at=datetime(2026, 1, day, tzinfo=UTC))
            for id, of, talk, day in (("a", None, "t", 3), ("b", "a", "t", 2), ("c", "a", "u", 1), ("d", None, None, 4))
        ]  # fmt: skip
        for run in [*runs, replace(runs[0], conversation_id="v")]:
            await steps.register_run(run)

        async def ids(**which: Any) -> str:
            return "".join(each.run_id for each in await steps.list_runs(**which))

        assert await steps.get_run(run_id="b") == runs[1] and await ids() == "cbad"
        assert await ids(parent_run_id="a") == "cb" and await ids(conversation_id="t") == "b"
        assert await ids(parent_run_id="a", conversation_id="u") == "c" and await ids(conversation_id="x") == ""
        assert await ids(parent_run_id="b", conversation_id="u") == ""
        events = [
            StepEvent(run_id="r", kind="run_started", step_index=i, idempotency_key=k) for i, k in enumerate("aab")
        ]
        plain = StepEvent(run_id="r", kind="run_failed", step_index=1, error="E", metadata={"k": "v"})
        for event in (*events, plain, plain):
            await steps.append_event(event)
        assert await steps.list_events(run_id="r") == [events[0], events[2], plain, plain]
        assert await steps.list_events(run_id="other") == []
        started = [ToolEffectRecord(run_id="r", tool_call_id=id, tool_name="t", status="started") for id in "zyx"]
        for effect in (*started, replace(started[1], status="completed", effect_summary="done")):
            await steps.record_tool_effect(effect)
        assert await steps.list_unresolved_tool_effects(run_id="r") == [started[0], started[2]]
        done = await steps.get_tool_effect(run_id="r", tool_call_id="y")
        assert done.effect_summary == "done" and await steps.get_tool_effect(run_id="q", tool_call_id="y") is None

    asyncio.run(main())


@side_by_side("step")
def test_snapshots(store: Store, make: Make) -> None:
    async def main() -> None:
        steps = make(store, max_snapshots_per_run=2)
        assert await steps.latest_snapshot(run_id="r") is None
        first, second = snapshot(2, idempotency_key="1:a"), snapshot(4, idempotency_key="2:a", agent_name="x")
        for each in (first, second, replace(first, step_index=9), snapshot(1, idempotency_key="1:b")):
            await steps.save_snapshot(each)
        assert await steps.latest_snapshot(run_id="r") == second
        assert await steps.list_snapshots(run_id="r") == [first, second]
        broken = [snapshot(i, state="interrupted", idempotency_key=f"{i}:a") for i in (5, 6, 7)]
        for each in broken:
            await steps.save_snapshot(each)
        assert await steps.latest_snapshot(run_id="r") == second
        assert await steps.latest_snapshot(run_id="r", include_interrupted=True) == broken[2]
        assert await steps.list_snapshots(run_id="r", include_interrupted=True) == [second, *broken[1:]]
        await steps.save_snapshot(replace(second, idempotency_key="2:a"))
        assert len(await steps.list_snapshots(run_id="r", include_interrupted=True)) == 3
        for wrong in (0, -1):
            with pytest.raises(ValueError):
                make(store, max_snapshots_per_run=wrong)

    asyncio.run(main())


def test_a_snapshot_stores_only_new_messages(store: Store) -> None:
    async def main() -> None:
        steps = CirisStepStore(store)
        await asyncio.gather(*(steps.save_snapshot(snapshot(20, idempotency_key="k")) for _ in range(4)))
        await steps.save_snapshot(snapshot(22))
        assert store.documents.count(("pydantic", "step", "message", "r")) == 22
        assert [len(each.messages) for each in await steps.list_snapshots(run_id="r")] == [20, 22]

    asyncio.run(main())


def test_an_agent_goes_on_after_a_restart(url: str) -> None:
    def agent(store: Store) -> Agent[None, str]:
        return Agent(
            TestModel(call_tools=[]),
            capabilities=[
                Memory(store=CirisMemoryStore(store)),
                Planning(store=CirisPlanStore(store)),
                StepPersistence(store=CirisStepStore(store)),
                SpendLimits(budgets=[Budget(tokens=100_000)], store=CirisSpendStore(store)),
            ],
        )

    async def turn(store: Store, again: bool) -> int:
        steps = CirisStepStore(store)
        history = None
        if again:
            run = (await steps.list_runs())[-1]
            found = await steps.latest_snapshot(run_id=run.run_id)
            assert found is not None
            history = found.messages
        result = await agent(store).run("hello", message_history=history)
        # The reminder of the plan may be a message too.
        assert history is None or result.all_messages()[: len(history)] == history
        return len(result.all_messages())

    if url.startswith("memory"):
        with open_store(url) as store:
            counts = [asyncio.run(turn(store, again)) for again in (False, True)]
    else:
        counts = []
        for again in (False, True):
            with open_store(url) as store:
                counts.append(asyncio.run(turn(store, again)))
    assert counts[0] == 2 and counts[1] >= 4


def test_a_budget_holds_for_every_worker(store: Store) -> None:
    async def ask() -> None:
        spend = SpendLimits(budgets=[Budget(tokens=1)], store=CirisSpendStore(store))
        await Agent(TestModel(), capabilities=[spend]).run("hello")

    asyncio.run(ask())
    with pytest.raises(SpendLimitExceeded):
        asyncio.run(ask())


def test_with_a_key_no_content_is_readable(url: str) -> None:
    async def main(store: Store) -> None:
        await CirisMemoryStore(store).write("a", "hunter2", expected_version=None)
        await CirisPlanStore(store).add_item(PlanItem(id="a", content="hunter2"))
        await CirisStepStore(store).save_snapshot(snapshot(2))
        await CirisStepStore(store).register_run(RunRecord(run_id="r", metadata={"k": "hunter2"}))
        found = await CirisMemoryStore(store).read("a", max_chars=99)
        assert found is not None and found.content == "hunter2"
        # No filter sees into an encrypted value.
        secret = field("content").exists() | field(0, "content").exists() | field("metadata").exists()
        assert store.documents.count(("pydantic",), filter=secret | field("parts").exists()) == 0

    with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        asyncio.run(main(store))
