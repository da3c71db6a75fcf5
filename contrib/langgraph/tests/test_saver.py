from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Command, interrupt

from ciris_store_core import GraphNode, KeyRing, NotSupported, SecretsConfig, Store, Task, open_store
from ciris_store_core.secrets.keys import new_key
from ciris_store_langgraph import CirisSaver, CirisStore


class State(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]
    approved: bool


THREAD: Any = {"configurable": {"thread_id": "t1"}}


def graph_of(saver: CirisSaver, **options: Any) -> Any:
    def think(state: State) -> State:
        return {"notes": ["thought"]}

    def ask(state: State) -> State:
        return {"approved": interrupt("go on?")}

    builder = StateGraph(State)
    builder.add_node("think", think)
    builder.add_node("ask", ask)
    builder.add_edge(START, "think")
    builder.add_edge("think", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver, **options)


def test_every_capability_of_the_suite(store: Store) -> None:
    @checkpointer_test(name="CirisSaver")
    async def ours() -> Any:
        saver = CirisSaver(store)
        yield saver
        saver.close()

    report = asyncio.run(validate(ours))
    assert {name: found.failures for name, found in report.results.items()} == {name: [] for name in report.results}
    assert all(found.passed for found in report.results.values()) and len(report.results) >= 8
    assert sum(found.tests_passed for found in report.results.values()) >= 80


def test_a_graph_is_interrupted_resumed_and_turned_back(store: Store) -> None:
    graph = graph_of(CirisSaver(store))
    assert "__interrupt__" in graph.invoke({"notes": ["start"]}, THREAD)
    again = graph_of(CirisSaver(store))
    assert again.get_state(THREAD).next == ("ask",)
    assert again.invoke(Command(resume=True), THREAD) == {"notes": ["start", "thought"], "approved": True}
    history = list(again.get_state_history(THREAD))
    before = next(each for each in history if each.next == ("think",))
    assert again.invoke(None, before.config)["notes"] == ["start", "thought"]


def test_the_async_methods_run_the_same_graph(store: Store) -> None:
    async def main() -> Any:
        graph = graph_of(CirisSaver(store))
        await graph.ainvoke({"notes": []}, THREAD)
        return await graph.ainvoke(Command(resume=False), THREAD)

    assert asyncio.run(main()) == {"notes": ["thought"], "approved": False}


def test_a_checkpoint_commits_with_the_memory_and_the_task(store: Store) -> None:
    class Stop(Exception): ...

    saver, config = CirisSaver(store), {"configurable": {"thread_id": "t2"}}
    store.tasks.add(Task(task_id="task", channel_id="c", description="work"))

    def work(then: type[Exception] | None) -> None:
        with store.transaction(shared=True) as tx:
            graph_of(saver.within(tx)).invoke({"notes": ["start"]}, config)
            tx.graph.put(GraphNode(id="fact", type="concept", scope="local"))
            tx.tasks.update("task", status="active")
            if then:
                raise then

    with pytest.raises(Stop):
        work(Stop)
    assert saver.get_tuple(config) is None and store.graph.get("fact", "local") is None
    work(None)
    assert saver.get_tuple(config) is not None and store.graph.get("fact", "local") is not None
    task = store.tasks.get("task")
    assert task is not None and task.status == "active"


def test_a_large_unchanged_value_is_stored_once(store: Store) -> None:
    saver, large = CirisSaver(store), "x" * 300_000
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for step in range(4):
        checkpoint = {**empty_checkpoint(), "channel_values": {"large": large, "step": step, "none": None}}
        checkpoint["channel_versions"] = {"large": 1, "step": step}
        config = saver.put(config, checkpoint, {"step": step}, {"step": step})  # type: ignore[typeddict-item]
    assert store.documents.count(("langgraph", "blob")) == 1
    for found in saver.list(config["configurable"] and {"configurable": {"thread_id": "t"}}):
        assert found.checkpoint["channel_values"] == {"large": large, "step": found.metadata["step"], "none": None}
        assert list(found.checkpoint["channel_values"]) == ["large", "step", "none"]
    saver.prune(["t"])
    assert store.documents.count(("langgraph", "blob")) == 1
    assert saver.get_tuple(config).checkpoint["channel_values"]["large"] == large  # type: ignore[union-attr]
    saver.delete_thread("t")
    assert store.documents.count() == 0


def test_two_forks_of_one_checkpoint_keep_their_values(store: Store) -> None:
    saver = CirisSaver(store)
    start: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    root = saver.put(start, empty_checkpoint(), {"step": -1}, {})
    forks = []
    for value in ("a" * 100_000, "b" * 100_000):
        checkpoint = {**empty_checkpoint(), "channel_values": {"x": value}, "channel_versions": {"x": 2}}
        forks.append((saver.put(root, checkpoint, {"step": 0}, {"x": 2}), value))  # type: ignore[typeddict-item]
    for config, value in forks:
        assert saver.get_tuple(config).checkpoint["channel_values"] == {"x": value}  # type: ignore[union-attr]


def test_writes_keep_the_first_and_replace_the_special(store: Store) -> None:
    saver = CirisSaver(store)
    config = saver.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, empty_checkpoint(), {}, {})
    saver.put_writes(config, [("a", 1), ("b", "x\0y")], "task2", "~path2")
    saver.put_writes(config, [("a", 2), ("b", 2), ("c", 3)], "task2", "~path2")
    saver.put_writes(config, [("__error__", "first")], "task1")
    saver.put_writes(config, [("__error__", "second")], "task1")
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [
        ("task1", "__error__", "second"),
        ("task2", "a", 1),
        ("task2", "b", "x\0y"),
        ("task2", "c", 3),
    ]


def test_pruning_keeps_what_changes_are_rebuilt_from(store: Store) -> None:
    class Changing(TypedDict):
        log: Annotated[list[str], DeltaChannel(lambda old, new: [*old, *(each for part in new for each in part)])]

    def add(state: Changing) -> Any:
        return {"log": [f"n{len(state['log'])}"]}

    builder = StateGraph(Changing)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_edge("add", END)
    saver = CirisSaver(store)
    graph = builder.compile(checkpointer=saver)
    for _ in range(4):
        graph.invoke({"log": ["in"]}, THREAD)
    whole = graph.get_state(THREAD).values
    assert len(whole["log"]) == 8
    saver.prune(["t1"])
    assert graph.get_state(THREAD).values == whole


def test_with_a_key_everything_is_encrypted(url: str) -> None:
    with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        saver = CirisSaver(store)
        graph_of(saver).invoke({"notes": ["hunter2 is the password"]}, THREAD)
        assert graph_of(saver).get_state(THREAD).values["notes"][0] == "hunter2 is the password"
        raw = store._x.read("test", lambda session: session.documents.find_encrypted)
        assert raw is not None
        stored = store._x.read("test", lambda s: s.documents.find_encrypted(store._ctx.crypto.keys.active, None, 1000))
        assert len(stored) == store.documents.count() > 0
        saver.copy_thread("t1", "t9")
        copied: Any = {"configurable": {"thread_id": "t9"}}
        assert graph_of(saver).get_state(copied).values["notes"] == ["hunter2 is the password", "thought"]


def test_from_conn_string_in_both_worlds(url: str) -> None:
    with CirisSaver.from_conn_string(url) as saver:
        assert list(saver.list(None)) == []

    async def main() -> None:
        async with CirisSaver.from_conn_string(url) as saver:
            assert [each async for each in saver.alist(None)] == []

    asyncio.run(main())


def test_a_store_in_a_real_graph(store: Store) -> None:
    def remember(state: State, *, store: BaseStore) -> State:
        store.put(("users", "ada"), "likes", {"what": "tea", "n": 3})
        return {"notes": [store.get(("users", "ada"), "likes").value["what"]]}  # type: ignore[union-attr]

    builder = StateGraph(State)
    builder.add_node("remember", remember)
    builder.add_edge(START, "remember")
    builder.add_edge("remember", END)
    graph = builder.compile(checkpointer=CirisSaver(store), store=CirisStore(store))
    assert graph.invoke({"notes": []}, THREAD)["notes"] == ["tea"]
    assert [each.key for each in CirisStore(store).search(("users",), filter={"n": {"$gte": 3}})] == ["likes"]


def test_an_index_of_vectors_is_refused(store: Store) -> None:
    index: Any = {"dims": 2, "embed": lambda texts: [[0.0, 0.0] for _ in texts]}
    with pytest.raises(NotSupported, match="Leave out index"):
        CirisStore(store, index=index)
    with pytest.raises(NotSupported, match="Leave out index"):
        CirisStore.from_conn_string("memory://", index=index).__enter__()


def test_a_value_of_a_deleted_parent_is_written_again(store: Store) -> None:
    saver, other, large = CirisSaver(store), CirisSaver(store), "x" * 300_000
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    first = {**empty_checkpoint(), "channel_values": {"large": large}, "channel_versions": {"large": 1}}
    parent = saver.put(config, first, {"step": 0}, {"large": 1})  # type: ignore[typeddict-item]
    other.delete_thread("t")
    second = {**first, "id": empty_checkpoint()["id"]}
    child = saver.put(parent, second, {"step": 1}, {"large": 1})  # type: ignore[typeddict-item]
    found = saver.get_tuple(child)
    assert found is not None and found.checkpoint["channel_values"] == {"large": large}


def test_a_checkpoint_with_the_writes_of_many_tasks_is_read_whole(store: Store) -> None:
    saver = CirisSaver(store)
    start: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    configs = [saver.put(start, empty_checkpoint(), {"step": step}, {}) for step in range(2)]
    for config in configs:
        for number in range(9):
            saver.put_writes(config, [("x", number)], f"task{number}", f"~{number}")
    for found in (saver.get_tuple(start), saver.get_tuple(configs[0]), *saver.list(start), *saver.list(start, limit=1)):
        assert found is not None
        assert [value for _, _, value in found.pending_writes or ()] == list(range(9))
    assert [each.config for each in saver.list(start)] == configs[::-1]
