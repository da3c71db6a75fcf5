"""Clauses for LangGraph's checkpointers, beside those of langgraph-checkpoint-conformance."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.base.id import uuid6

from ciris_store_langgraph.conformance.clauses import Clauses, Skipped, Trial, in_threads

clause = Clauses("C")
Saver = BaseCheckpointSaver[Any]


def thread(name: str = "t", ns: str = "", **more: Any) -> Any:
    """Return the configuration of a thread."""
    return {"configurable": {"thread_id": name, "checkpoint_ns": ns, **more}}


def checkpoint(values: dict[str, Any], version: str = "1") -> Any:
    """Return a new checkpoint with these values."""
    return {
        "v": 4,
        "id": str(uuid6(clock_seq=-2)),
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, version),
        "versions_seen": {},
        "updated_channels": None,
    }


def put(saver: Saver, config: Any, values: dict[str, Any], version: str = "1", **facts: Any) -> Any:
    """Put a checkpoint with these values after another."""
    made = checkpoint(values, version)
    return saver.put(config, made, {"source": "loop", "step": 0, **facts}, made["channel_versions"])  # type: ignore[typeddict-item]


async def aput(saver: Saver, config: Any, values: dict[str, Any]) -> Any:
    """Put a checkpoint with these values after another."""
    made = checkpoint(values)
    return await saver.aput(config, made, {"source": "loop", "step": 0}, made["channel_versions"])


def got(saver: Saver, config: Any) -> CheckpointTuple:
    """Return the checkpoint that a configuration names, which must be there."""
    found = saver.get_tuple(config)
    assert found is not None, f"nothing is stored for {config}"
    return found


def values_of(saver: Saver, config: Any) -> dict[str, Any]:
    """Return the values of a checkpoint."""
    return got(saver, config).checkpoint["channel_values"]


# --- races ----------------------------------------------------------------------------------------


@clause("Two writers of one thread lose no checkpoint", breaks="A step of one of two workers is forgotten.")
def writers_of_one_thread(trial: Trial) -> None:
    with trial.open() as saver:
        made: dict[str, int] = {}

        def work(number: int) -> None:
            config = thread()
            for _ in range(5):
                config = put(saver, config, {"x": number}, f"{number}")
                made[config["configurable"]["checkpoint_id"]] = number

        in_threads(8, work)
        found = {each.config["configurable"]["checkpoint_id"]: each for each in saver.list(thread())}
        assert found.keys() == made.keys()
        assert {key: each.checkpoint["channel_values"]["x"] for key, each in found.items()} == made
        assert got(saver, thread()).config["configurable"]["checkpoint_id"] == max(made)


@clause("16 threads write at once, and nothing is lost", breaks="Users at the same time lose steps or get lock errors.")
def many_threads(trial: Trial) -> None:
    with trial.open() as saver:

        def work(number: int) -> None:
            config = put(saver, thread(f"t{number}"), {"x": number})
            saver.put_writes(config, [("x", number)], "task")
            found = got(saver, thread(f"t{number}"))
            assert found.checkpoint["channel_values"] == {"x": number}
            assert found.pending_writes == [("task", "x", number)]

        in_threads(16, work)


@clause("50 tasks write at once, and nothing is lost", breaks="An async server loses steps of its users.")
def many_tasks(trial: Trial) -> None:
    async def work(saver: Saver) -> None:
        await asyncio.gather(*(aput(saver, thread(f"t{number}"), {"x": number}) for number in range(50)))
        for number in range(50):
            found = await saver.aget_tuple(thread(f"t{number}"))
            assert found is not None and found.checkpoint["channel_values"] == {"x": number}

    trial.run(work)


@clause("Two forks of one checkpoint that write one version keep their values", breaks="A fork shows another's state.")
def forks(trial: Trial) -> None:
    with trial.open() as saver:
        root = put(saver, thread(), {"x": "root"})
        made = [(put(saver, root, {"x": value}, "2"), value) for value in ("left", "right")]
        for config, value in made:
            assert values_of(saver, config) == {"x": value}


@clause("Two writers get different next versions", breaks="Values of parallel branches are taken for one another.")
def versions(trial: Trial) -> None:
    with trial.open() as saver:
        first = saver.get_next_version(None, None)
        made = {saver.get_next_version(first, None) for _ in range(20)}
        assert len(made) == 20 and min(made) > first


@clause("A repeated task leaves one value for each write", breaks="A retried node applies its writes twice.")
def repeated_writes(trial: Trial) -> None:
    with trial.open() as saver:
        config = put(saver, thread(), {"x": 0})
        in_threads(8, lambda number: saver.put_writes(config, [("x", number), ("y", number)], "task"))
        writes = got(saver, config).pending_writes or []
        assert [channel for _, channel, _ in writes] == ["x", "y"]
        assert len({value for _, _, value in writes}) == 1, "the writes of two tries are mixed"


@clause("Writes come in the order of their tasks' paths", breaks="Parallel nodes apply in another order later.")
def order_of_writes(trial: Trial) -> None:
    with trial.open() as saver:
        config = put(saver, thread(), {"x": 0})
        saver.put_writes(config, [("x", "third")], "a", "~3")
        saver.put_writes(config, [("x", "first"), ("x", "second")], "z", "~1")
        assert [value for _, _, value in got(saver, config).pending_writes or []] == ["first", "second", "third"]


@clause("A listing goes on while another writer writes", breaks="A page of history fails under load.")
def listing_while_writing(trial: Trial) -> None:
    with trial.open() as saver:
        config = thread()
        for number in range(20):
            config = put(saver, config, {"x": number})
        before = {each.config["configurable"]["checkpoint_id"] for each in saver.list(thread())}
        seen = set()
        for each in saver.list(thread()):
            seen.add(each.config["configurable"]["checkpoint_id"])
            config = put(saver, config, {"x": 0})
            if len(seen) > 100:
                break
        assert before <= seen


# --- values ---------------------------------------------------------------------------------------


@clause("Values and writes may hold NUL, and metadata do not fail on it", breaks="The output of a tool ends the run.")
def nul(trial: Trial) -> None:
    with trial.open() as saver:
        config = put(saver, thread(), {"x": "a\0b"}, note="c\0d")
        saver.put_writes(config, [("x", "e\0f")], "task")
        found = got(saver, config)
        assert found.checkpoint["channel_values"] == {"x": "a\0b"}
        assert str(found.metadata.get("note")).replace("\0", "") == "cd"  # LangGraph itself drops it.
        assert found.pending_writes == [("task", "x", "e\0f")]


@clause("A lone surrogate in a value ends no run", breaks="A text that was cut within an emoji ends the run.")
def surrogates(trial: Trial) -> None:
    with trial.open() as saver:
        config = put(saver, thread(), {"x": "cut \ud83d"})
        assert values_of(saver, config)["x"].startswith("cut ")  # The serializer may replace it.


@clause("Ids and values may hold any script", breaks="Users with other scripts in their ids have no memory.")
def unicode(trial: Trial) -> None:
    with trial.open() as saver:
        for name in ("ünï", "日本", "🙂", "e\u0301", "\u00e9"):
            put(saver, thread(name, f"ns|{name}:1"), {name: name})
        for name in ("ünï", "日本", "🙂", "e\u0301", "\u00e9"):
            assert values_of(saver, thread(name, f"ns|{name}:1")) == {name: name}
            assert len(list(saver.list(thread(name, f"ns|{name}:1")))) == 1


@clause("A value may have 10 MB", breaks="A thread with an upload cannot go on.")
def big(trial: Trial) -> None:
    text, data = "0123456789" * 1_000_000, bytes(range(256)) * 40_000
    with trial.open() as saver:
        config = put(saver, thread(), {"text": text, "data": data})
        saver.put_writes(config, [("text", text)], "task")
        found = got(saver, config)
        assert found.checkpoint["channel_values"] == {"text": text, "data": data}
        assert (found.pending_writes or [])[0][2] == text


@clause("A change of a value after it was put changes nothing", breaks="A later step rewrites history.")
def no_aliases(trial: Trial) -> None:
    with trial.open() as saver:
        values: dict[str, Any] = {"x": [1]}
        config = put(saver, thread(), values)
        values["x"].append(2)
        assert values_of(saver, config) == {"x": [1]}
        values_of(saver, config)["x"].append(3)
        assert values_of(saver, config) == {"x": [1]}


# --- threads --------------------------------------------------------------------------------------


@clause("% and _ in a thread's id are characters", breaks="One user's deletion or history reaches into another's.")
def no_wildcards(trial: Trial) -> None:
    names = ("t_1", "tx1", "t%", "t", "t_10")
    with trial.open() as saver:
        for name in names:
            put(saver, thread(name), {"x": name})
        for name in names:
            assert [each.checkpoint["channel_values"]["x"] for each in saver.list(thread(name))] == [name]
        saver.delete_thread("t%")
        saver.delete_thread("t_1")
        assert {name for name in names if saver.get_tuple(thread(name))} == {"tx1", "t", "t_10"}


@clause("Namespaces of one thread are apart", breaks="A subgraph resumes from the state of its parent.")
def namespaces(trial: Trial) -> None:
    with trial.open() as saver:
        for ns in ("", "child:1", "child:1|grand:2", "child:10"):
            put(saver, thread(ns=ns), {"x": ns})
        for ns in ("", "child:1", "child:1|grand:2", "child:10"):
            assert values_of(saver, thread(ns=ns)) == {"x": ns}
            assert len(list(saver.list(thread(ns=ns)))) == 1


@clause("A filter compares whole values", breaks="A history by source or step shows too little or too much.")
def filters(trial: Trial) -> None:
    with trial.open() as saver:
        facts: list[dict[str, Any]] = [{"n": 9}, {"n": 10}, {"n": "10"}, {"n": None}, {"n": {"a": [1]}}]
        config = thread()
        for each in facts:
            config = put(saver, config, {"x": 0}, **each)
        for wanted in facts:
            found = [each.metadata.get("n") for each in saver.list(thread(), filter=wanted)]
            assert found == [wanted["n"]], f"{wanted} finds {found}"


@clause("A deleted thread leaves nothing and can begin again", breaks="Deleted conversations come back.")
def deleted(trial: Trial) -> None:
    with trial.open() as saver:
        config = put(saver, thread(), {"x": "old"})
        saver.put_writes(config, [("x", "old")], "task")
        saver.delete_thread("t")
        assert saver.get_tuple(config) is None and not list(saver.list(thread()))
        again = put(saver, thread(), {"y": "new"})
        found = got(saver, again)
        assert found.checkpoint["channel_values"] == {"y": "new"} and not found.pending_writes


# --- async ----------------------------------------------------------------------------------------


@clause("A sync call inside the event loop answers", breaks="get_state in an async handler raises an error or hangs.")
def sync_inside(trial: Trial) -> None:
    async def work(saver: Saver) -> None:
        config = put(saver, thread(), {"x": 1})
        assert values_of(saver, config) == {"x": 1}

    trial.run(work)


@clause("A cancelled put is whole or absent, and the saver stays usable", breaks="A timeout ends a thread for good.")
def cancelled(trial: Trial) -> None:
    async def work(saver: Saver) -> None:
        for delay in (0, 0.001, 0.01):
            call = asyncio.create_task(aput(saver, thread(), {"x": 1, "y": "z" * 100_000}))
            await asyncio.sleep(delay)
            call.cancel()
            await asyncio.wait([call])
        await asyncio.wait_for(aput(saver, thread("other"), {"x": 2}), 20)
        async for each in saver.alist(thread()):
            assert each.checkpoint["channel_values"] == {"x": 1, "y": "z" * 100_000}

    trial.run(work)


# --- durability -----------------------------------------------------------------------------------


@clause("Threads stay after a restart", breaks="Every conversation begins anew after a deployment.")
def restart(trial: Trial) -> None:
    trial.durable()
    with trial.open() as saver:
        config = put(saver, thread(), {"x": 1})
        saver.put_writes(config, [("x", 2)], "task")
    with trial.open() as saver:
        found = got(saver, thread())
        assert found.checkpoint["channel_values"] == {"x": 1} and found.pending_writes == [("task", "x", 2)]


@clause("Two open savers see each other's steps", breaks="A second worker resumes from an older step.")
def two_handles(trial: Trial) -> None:
    trial.durable()
    with trial.open() as one, trial.open() as two:
        config = put(one, thread(), {"x": 1})
        assert values_of(two, thread()) == {"x": 1}
        put(two, config, {"x": 2})
        assert values_of(one, thread()) == {"x": 2}


def _put_for_ever(saver: Saver) -> None:
    config = thread()
    for number in count():
        config = put(saver, config, {"x": number, "y": "z" * 20_000}, str(number))
        print(number, flush=True)


@clause("kill -9 loses no checkpoint that was put", breaks="A crash takes steps back that the user has seen.")
def killed_in_put(trial: Trial) -> None:
    acknowledged = trial.killed(_put_for_ever, "10")
    with trial.open() as saver:
        found = [each.checkpoint["channel_values"] for each in saver.list(thread())]
        assert {int(each) for each in acknowledged} <= {each["x"] for each in found}
        assert all(each["y"] == "z" * 20_000 for each in found)


def _steps_for_ever(saver: Saver) -> None:
    config = thread()
    for number in count():
        config = put(saver, config, {"x": number}, str(number))
        print(f"put {number}", flush=True)
        for task in ("a", "b"):
            saver.put_writes(config, [(f"c{each}", number) for each in range(10)], task)
            print(f"written {number}", flush=True)


def _check_steps(trial: Trial, after: str) -> None:
    acknowledged = trial.killed(_steps_for_ever, after)
    with trial.open() as saver:
        found = {each.checkpoint["channel_values"]["x"]: each.pending_writes or [] for each in saver.list(thread())}
        assert {int(each.split()[1]) for each in acknowledged} <= found.keys()
        for number, writes in found.items():
            tasks = [task for task, _, _ in writes]
            assert {tasks.count(task) for task in set(tasks)} <= {10}, f"step {number} has a part of a task's writes"
            assert len(set(tasks)) >= acknowledged.count(f"written {number}")
        put(saver, thread(), {"x": "resumed"}, "resumed")
        assert values_of(saver, thread()) == {"x": "resumed"}


@clause("After kill -9 between put and put_writes, the thread resumes", breaks="A crash ends a thread for good.")
def killed_between(trial: Trial) -> None:
    _check_steps(trial, "put 4")


@clause("kill -9 leaves all writes of a task or none", breaks="A resumed step applies a part of a node's writes.")
def killed_in_writes(trial: Trial) -> None:
    _check_steps(trial, "written 4")


# --- channels that store changes ------------------------------------------------------------------


def _changes(saver: Saver) -> Any:
    """Put a value of x and two steps that only write changes of it; return the last of them."""
    config = put(saver, thread(), {"x": 0})
    saver.put_writes(config, [("x", "b")], "a", "~2")
    saver.put_writes(config, [("x", "a"), ("y", "other")], "z", "~1")
    config = put(saver, config, {"y": 1}, counters_since_delta_snapshot={"x": [1, 1]})
    saver.put_writes(config, [("x", "c")], "task")
    config = put(saver, config, {"y": 2}, counters_since_delta_snapshot={"x": [2, 2]})
    saver.put_writes(config, [("x", "pending")], "task")
    return config


def _check_changes(saver: Saver, config: Any) -> None:
    found = saver.get_delta_channel_history(config=config, channels=["x"])["x"]
    assert [value for _, _, value in found["writes"]] == ["a", "b", "c"]
    assert found["seed"] == 0


@clause("A channel's history is its last value and the changes since, in order", breaks="A step reads a wrong state.")
def delta_history(trial: Trial) -> None:
    with trial.open() as saver:
        _check_changes(saver, _changes(saver))


@clause("prune keeps what a channel's history needs", breaks="Pruning empties channels without an error.")
def delta_history_after_prune(trial: Trial) -> None:
    with trial.open() as saver:
        if type(saver).prune is BaseCheckpointSaver.prune:
            raise Skipped("it has no prune")
        config = _changes(saver)
        try:
            saver.prune(["t"])
        except NotImplementedError as error:
            raise Skipped(str(error)) from error
        _check_changes(saver, config)
