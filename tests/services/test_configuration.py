from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import (
    ConfigNodeType,
    Conflict,
    GraphNode,
    GraphScope,
    InvalidArgument,
    ManualClock,
    Store,
    open_store,
    open_store_async,
)
from ciris_store_core.aio import AsyncAdaptiveConfiguration
from ciris_store_core.errors import StoreClosed
from ciris_store_core.models import (
    ChannelConfig,
    Configuration,
    FilterConfig,
    ResponseTemplates,
    ToolPreferences,
    UserTracking,
)
from ciris_store_core.services import (
    AdaptiveConfiguration,
    Append,
    Count,
    MovingAverage,
    Operation,
    Prefer,
    ReplaceTemplate,
)

LEARNERS = 8
ROUNDS = 12


@pytest.fixture
def configuration(store: Store) -> AdaptiveConfiguration:
    return AdaptiveConfiguration(store)


def test_defaults_until_something_is_stored(configuration: AdaptiveConfiguration, store: Store) -> None:
    for kind in (FilterConfig, ChannelConfig, UserTracking, ResponseTemplates, ToolPreferences):
        assert configuration.get(kind, "x") == kind() and not configuration.forget(kind, "x")
    assert store.is_empty()


def test_only_what_is_given_is_written(configuration: AdaptiveConfiguration, store: Store) -> None:
    configuration.put("channel_123", FilterConfig(sensitivity=0.8, learned_patterns=["spam"]))
    stored = configuration.put("channel_123", FilterConfig(false_positive_rate=0.1, of_my_own={"a": 1}))
    assert stored == configuration.get(FilterConfig, "channel_123")
    assert (stored.sensitivity, stored.false_positive_rate, stored.learned_patterns) == (0.8, 0.1, ["spam"])
    assert stored.of_my_own == {"a": 1}  # type: ignore[attr-defined]
    node = store.graph.get("filter_config_channel_123", "local")
    assert node is not None and node.type == "config" and node.config_type() is ConfigNodeType.FILTER_CONFIG
    assert node.attributes.keys() == {
        "config_type",
        "sensitivity",
        "learned_patterns",
        "false_positive_rate",
        "of_my_own",
    }


def test_the_nodes_of_the_specification_are_read(configuration: AdaptiveConfiguration, store: Store) -> None:
    attributes = {"config_type": ConfigNodeType.FILTER_CONFIG, "sensitivity": 0.8}
    store.graph.put(GraphNode(id="filter_config_c", type="config", scope="local", attributes=attributes))
    assert configuration.get(FilterConfig, "c").sensitivity == 0.8
    store.graph.put(GraphNode(id="filter_config_c", type="config", scope="local", attributes={"sensitivity": "high"}))
    calls: list[Callable[[], Any]] = [
        lambda: configuration.get(FilterConfig, "c"), lambda: configuration.learn(FilterConfig, "c", Count("x")),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(Conflict, match=r"'filter_config_c' does not fit.*sensitivity"):
            call()


def test_each_kind_has_its_scope(configuration: AdaptiveConfiguration, store: Store) -> None:
    class Rules(Configuration):
        config_type = ConfigNodeType.LEARNING_RULES

        allowed: bool = False

    assert {kind.config_type.required_scope for kind in (FilterConfig, UserTracking)} == {GraphScope.LOCAL}
    assert configuration.get(Rules, "x").allowed is False and Rules.config_type.required_scope == "identity"
    with pytest.raises(InvalidArgument, match="belongs to scope local"):
        attributes = {"config_type": "filter_config"}
        store.graph.put(GraphNode(id="f", type="config", scope="network", attributes=attributes))


def test_what_can_be_learned(configuration: AdaptiveConfiguration, clock: ManualClock) -> None:
    learn = configuration.learn
    user = learn(
        UserTracking, "ada", Count("interaction_counts", "greeting"), Count("interaction_counts", "greeting", by=2),
        MovingAverage("satisfaction", 1.0), MovingAverage("satisfaction", 0.0, weight=0.25),
        *(Append("recent_interactions", str(i), keep=3) for i in range(5)),
        Append("recent_interactions", "4", once=True), Prefer("preferences", "tea", 1.0, rate=0.5),
    )  # fmt: skip
    assert user == configuration.get(UserTracking, "ada")
    assert (user.interaction_counts, user.satisfaction) == ({"greeting": 3}, 0.75)
    assert user.recent_interactions == ["2", "3", "4"] and user.preferences == {"tea": 0.75}
    tools = learn(
        ToolPreferences, "x", Prefer("weights", "grep", 0.0), Count("use_counts", "grep"),
        MovingAverage("mean_seconds", 2.0, key="grep"),
    )  # fmt: skip
    assert (tools.weights, tools.use_counts, tools.mean_seconds) == ({"grep": 0.45}, {"grep": 1}, {"grep": 2.0})
    first = clock.now()
    learn(ResponseTemplates, "x", ReplaceTemplate("hi", "Hi"), ReplaceTemplate("bye", "Bye"))
    for text in ("Hello", "Hello", "Good day"):
        clock.advance(seconds=1)
        templates = learn(ResponseTemplates, "x", ReplaceTemplate("hi", text, keep=2))
    assert templates.templates == {"hi": "Good day", "bye": "Bye"}
    former = [(old.template, old.replaced_at - first) for old in templates.former["hi"]]
    assert former == [("Hi", timedelta(seconds=1)), ("Hello", timedelta(seconds=3))]
    learn(ResponseTemplates, "x", ReplaceTemplate("hi", "Ahoy", keep=2))
    assert [old.template for old in configuration.get(ResponseTemplates, "x").former["hi"]] == ["Hello", "Good day"]


@pytest.mark.parametrize(
    "operation",
    [
        Count("trigger_counts"), Count("trigger_counts", "a", by=-1), Count("learned_patterns", "a"),
        MovingAverage("sensitivity", 20.0), Append("learned_patterns", 7), Count("trigger_counts", "a", by=2**63),
        Append("learned_patterns", "\0"), Append("trigger_counts", "x"), ReplaceTemplate("hi", "Hi"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_as_a_whole(
    configuration: AdaptiveConfiguration, store: Store, operation: Operation
) -> None:
    with pytest.raises(InvalidArgument):
        configuration.learn(FilterConfig, "c", Count("trigger_counts", "good"), operation)
    assert store.is_empty()


def test_operations_check_their_own_arguments(configuration: AdaptiveConfiguration) -> None:
    for make in (
        lambda: MovingAverage("a", 1.0, weight=2), lambda: Prefer("a", "b", 1.5), lambda: Prefer("a", "b", 1, rate=-1),
        lambda: Append("a", "b", keep=0), lambda: ReplaceTemplate("a", "b", keep=0),
        lambda: configuration.learn(FilterConfig, "", Count("x")),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            make()


def test_scan_and_forget(configuration: AdaptiveConfiguration, store: Store) -> None:
    for subject in ("a", "b", "channel_1"):
        configuration.learn(FilterConfig, subject, Count("trigger_counts", subject))
    configuration.learn(UserTracking, "a", Count("interaction_counts", "x"))
    found = {subject: config.trigger_counts for subject, config in configuration.scan(FilterConfig)}
    assert found == {"a": {"a": 1}, "b": {"b": 1}, "channel_1": {"channel_1": 1}}
    assert configuration.forget(FilterConfig, "a") and configuration.get(FilterConfig, "a") == FilterConfig()
    store.close()
    with pytest.raises(StoreClosed):
        configuration.get(FilterConfig, "a")


def test_within_a_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        inside = AdaptiveConfiguration(tx)
        inside.learn(FilterConfig, "c", Count("trigger_counts", "a"))
        assert inside.get(FilterConfig, "c").trigger_counts == {"a": 1}
        raise ZeroDivisionError
    assert store.is_empty()


# --- several at once --------------------------------------------------------------------------


def learn_much(configuration: AdaptiveConfiguration, learner: int) -> None:
    for i in range(ROUNDS):
        configuration.learn(
            UserTracking,
            "ada",
            Count("interaction_counts", "all"),
            Count("interaction_counts", f"by-{learner}"),
            Append("recent_interactions", f"{learner}:{i}", keep=LEARNERS * ROUNDS),
            MovingAverage("satisfaction", 1.0, weight=0.1),
            Prefer("preferences", "tea", 1.0, rate=0.1),
        )
        configuration.learn(ResponseTemplates, "all", ReplaceTemplate("hi", f"{learner}:{i}", keep=1000))


def nothing_was_lost(store: Store) -> None:
    configuration, total = AdaptiveConfiguration(store), LEARNERS * ROUNDS
    user = configuration.get(UserTracking, "ada")
    assert user.interaction_counts == {"all": total, **{f"by-{i}": ROUNDS for i in range(LEARNERS)}}
    steps = {f"{learner}:{i}" for learner in range(LEARNERS) for i in range(ROUNDS)}
    assert set(user.recent_interactions) == steps and len(user.recent_interactions) == total
    for learner in range(LEARNERS):
        own = [step for step in user.recent_interactions if step.startswith(f"{learner}:")]
        assert own == [f"{learner}:{i}" for i in range(ROUNDS)]
    # Towards 1 by a tenth, from 0.5, once for each call of learn.
    assert user.preferences["tea"] == pytest.approx(1 - 0.5 * 0.9**total, abs=1e-12)
    templates = configuration.get(ResponseTemplates, "all")
    assert {*(old.template for old in templates.former["hi"]), templates.templates["hi"]} == steps
    assert len(templates.former["hi"]) == total - 1


def test_eight_threads_learn_without_loss(store: Store) -> None:
    with ThreadPoolExecutor(LEARNERS) as threads:
        list(threads.map(learn_much, [AdaptiveConfiguration(store)] * LEARNERS, range(LEARNERS)))
    nothing_was_lost(store)


def _in_a_process(url: str, learner: int) -> None:
    with open_store(url) as store:
        learn_much(AdaptiveConfiguration(store), learner)


@pytest.mark.slow
def test_eight_processes_learn_without_loss(store: Store, url: str) -> None:
    if "multi_process" not in store.capabilities:
        return  # Shown by the threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(LEARNERS, mp_context=context) as processes:
        list(processes.map(_in_a_process, [url] * LEARNERS, range(LEARNERS)))
    nothing_was_lost(store)


def test_for_asyncio(url: str) -> None:
    async def body() -> None:
        async with open_store_async(url) as store:
            configuration = AsyncAdaptiveConfiguration(store)
            learned = [configuration.learn(FilterConfig, "c", Count("trigger_counts", "a")) for _ in range(20)]
            await asyncio.gather(*learned)
            assert (await configuration.get(FilterConfig, "c")).trigger_counts == {"a": 20}
            assert [subject async for subject, _ in configuration.scan(FilterConfig)] == ["c"]

    asyncio.run(body())
