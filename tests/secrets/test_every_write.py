"""No public method writes a secret in clear: each is called with one in every free text that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    Correlation,
    GraphEdge,
    GraphNode,
    InvalidArgument,
    Metric,
    NewEntry,
    SecretDetected,
    Store,
    Task,
    TaskContext,
    TaskOutcome,
    Thought,
    open_store,
)
from ciris_store_core.models import (
    EdgeAttributes,
    FinalAction,
    LogData,
    MetricData,
    ServiceRequest,
    ServiceResponse,
    TraceContext,
)
from ciris_store_core.models.base import JsonObject, Record, Text
from ciris_store_core.models.correlations import Tags
from ciris_store_core.validation.validator import Validator
from tests.secrets.raw import everything_in
from tests.support.snippets import rows_of

NESTED: dict[tuple[type[Record], str], type[Record]] = {
    (Task, "context"): TaskContext, (Task, "outcome"): TaskOutcome, (GraphEdge, "attributes"): EdgeAttributes,
    (Thought, "final_action"): FinalAction, (Correlation, "request_data"): ServiceRequest,
    (Correlation, "response_data"): ServiceResponse, (Correlation, "metric_data"): MetricData,
    (Correlation, "log_data"): LogData, (Correlation, "trace_context"): TraceContext,
}  # fmt: skip
NEEDED = {
    "correlation_id": "c", "log_level": "INFO", "metric_name": "m", "metric_value": 1.0, "trace_id": "t",
    "span_id": "s", "success": True, "execution_time_ms": 1.0,
}  # fmt: skip


class OwnText(str):
    """Text of a class of the caller's."""

    __slots__ = ()


class Planted:
    """Makes secrets, each another one, and remembers them; and ids, so that many of it can share a store."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.values: list[str] = []

    def id(self, name: str) -> str:
        return f"{name}{self.number}"

    def key(self, model: type[Record]) -> dict[str, Any]:
        return {
            name: self.id(value) if "_" in name or len(value) == 1 else value for name, value in KEYS[model].items()
        }

    def secret(self) -> str:
        self.values.append(f"planted{self.number:02}{len(self.values):04}Zq9x")
        return self.values[-1]

    def text(self) -> str:
        return f"the password: {self.secret()}, you know"

    def json(self) -> dict[str, Any]:
        return {"a": [{"api_key": self.secret()}, self.text()], f"postgres://u:{self.secret()}@h/d": 1}

    def record(self, model: type[Record], **fields: Any) -> Any:
        """A record with a secret in every field that holds free text, nested ones included."""
        for name, field in model.model_fields.items():
            kind = field.annotation if not field.metadata else field.rebuild_annotation()
            if name not in fields and (model, name) in NESTED:
                fields[name] = self.record(NESTED[model, name])
            elif name not in fields:
                made = self._made(kind)
                fields |= {name: made} if made is not None else {key: NEEDED[key] for key in (name,) if key in NEEDED}
        if model is EdgeAttributes:
            fields["further"] = self.json()
        return model(**fields)

    def changes(self, model: type[Record], *names: str) -> dict[str, Any]:
        filled = self.record(model, **self.key(model))
        return {name: getattr(filled, name) for name in names}

    def _made(self, kind: Any) -> Any:
        kinds = {str(hint): make for hint, make in self._makers() for hint in (hint, hint | None)}
        make = kinds.get(str(kind))
        return make() if make else None

    def _makers(self) -> Iterator[tuple[Any, Callable[[], Any]]]:
        yield Text, self.text
        yield list[Text], lambda: [self.text(), self.text()]
        yield JsonObject, self.json
        yield Tags, lambda: {"where": self.text(), "password": self.secret()}


KEYS: dict[type[Record], dict[str, Any]] = {
    GraphNode: {"id": "n", "type": "user", "scope": "local"},
    GraphEdge: {"source": "a", "target": "b", "relationship": "r", "scope": "local"},
    Task: {"task_id": "t", "channel_id": "c"},
    Thought: {"thought_id": "th", "source_task_id": "t"},
    Correlation: {"correlation_id": "c", "service_type": "s", "handler_name": "h", "action_type": "a"},
}


def made(plant: Planted, model: type[Record], **fields: Any) -> Any:
    return plant.record(model, **{**plant.key(model), **fields})


def two_nodes(store: Store, plant: Planted) -> None:
    store.graph.put_many(GraphNode(id=plant.id(id), type="user", scope="local", attributes={}) for id in "ab")


def plain(plant: Planted, model: type[Record]) -> Any:
    text = {Task: {"description": "x"}, Thought: {"content": "x"}}.get(model, {})
    return model(**plant.key(model), **text)


def claimed(store: Store, plant: Planted) -> Any:
    store.tasks.add(plain(plant, Task))
    store.occurrences.register(plant.id("me"))
    store.tasks.transfer(plant.id("t"), from_occurrence="default", to_occurrence=plant.id("queue"))
    return store.for_occurrence(plant.id("me")).claim_next(queue=plant.id("queue"))[0]


def _put_edge(store: Store, plant: Planted) -> None:
    two_nodes(store, plant)
    store.graph.put_edge(made(plant, GraphEdge))


def _put_edges(store: Store, plant: Planted) -> None:
    two_nodes(store, plant)
    store.graph.put_edge_many([made(plant, GraphEdge), made(plant, GraphEdge, relationship=plant.id("s"))])


def _update_task(store: Store, plant: Planted) -> None:
    store.tasks.add(plain(plant, Task))
    assert store.tasks.update(plant.id("t"), **plant.changes(Task, "description", "context", "outcome", "metadata"))


def add_thought(store: Store, plant: Planted, thought: Thought) -> None:
    store.tasks.add(plain(plant, Task), exist_ok=True)
    store.thoughts.add(thought)


def _add_thoughts(store: Store, plant: Planted) -> None:
    store.tasks.add(plain(plant, Task), exist_ok=True)
    store.thoughts.add_many([made(plant, Thought)], exist_ok=True)


def _update_thought(store: Store, plant: Planted) -> None:
    add_thought(store, plant, plain(plant, Thought))
    assert store.thoughts.update(
        plant.id("th"), **plant.changes(Thought, "content", "context", "ponder_notes", "final_action")
    )


def _update_correlation(store: Store, plant: Planted) -> None:
    store.correlations.add(plain(plant, Correlation))
    assert store.correlations.update(plant.id("c"), **plant.changes(Correlation, "log_data", "response_data", "tags"))


def _complete(store: Store, plant: Planted) -> None:
    key = store.correlations.start_interaction("s", "a", handler_name="h").correlation_id
    store.correlations.complete_interaction(key, result_summary=plant.text(), error_traceback=plant.text())


def _claimed_update_thought(store: Store, plant: Planted) -> None:
    work = claimed(store, plant)
    work.add_thought(plain(plant, Thought))
    assert work.update_thought(plant.id("th"), content=plant.text())


def _buffered(store: Store, plant: Planted) -> None:
    with store.correlations.buffered() as writer:
        writer.add(made(plant, Correlation), Metric("m", 1.0, {"url": plant.text()}))
        writer.flush()
        for rejection in writer.take_rejected():
            raise rejection.error


def _run(store: Store, plant: Planted) -> None:
    task = made(plant, Task)
    store.run(lambda tx: tx.tasks.add(task))


def _transaction(store: Store, plant: Planted) -> None:
    with store.transaction() as tx:
        tx.graph.put(made(plant, GraphNode))
        tx.tasks.add(made(plant, Task))
        with tx.savepoint():
            tx.thoughts.add(made(plant, Thought))


Write = Callable[[Store, Planted], object]
WRITES: dict[str, Write] = {
    "graph.put": lambda s, p: s.graph.put(made(p, GraphNode)),
    "graph.put_many": lambda s, p: s.graph.put_many([made(p, GraphNode), made(p, GraphNode, id=p.id("m"))]),
    "graph.put_edge": _put_edge,
    "graph.put_edge_many": _put_edges,
    "correlations.add": lambda s, p: s.correlations.add(made(p, Correlation)),
    "correlations.add_many": lambda s, p: s.correlations.add_many(
        [made(p, Correlation), made(p, Correlation, correlation_id=p.id("d"))], exist_ok=True
    ),
    "correlations.add_metrics": lambda s, p: s.correlations.add_metrics(
        [Metric("m", 1.0, {"url": p.text()}, unit=p.text()), Metric("m", 2.0, {"url": p.text()})], metadata=p.json()
    ),
    "correlations.buffered": _buffered,
    "correlations.update": _update_correlation,
    "correlations.start_interaction": lambda s, p: s.correlations.start_interaction(
        "s", "a", handler_name="h", parameters={"token": p.secret(), "q": p.text()}, tags={"t": p.text()}
    ),
    "correlations.complete_interaction": _complete,
    "tasks.add": lambda s, p: s.tasks.add(made(p, Task)),
    "tasks.add_many": lambda s, p: s.tasks.add_many([made(p, Task), made(p, Task, task_id=p.id("u"))]),
    "tasks.add_unique": lambda s, p: s.tasks.add_unique(made(p, Task)),
    "tasks.update": _update_task,
    "thoughts.add": lambda s, p: add_thought(s, p, made(p, Thought)),
    "thoughts.add_many": _add_thoughts,
    "thoughts.update": _update_thought,
    "occurrences.register": lambda s, p: s.occurrences.register(p.id("o"), metadata=p.json()),
    "handle.register": lambda s, p: s.for_occurrence(p.id("o")).register(metadata=p.json()),
    "shared_tasks.try_claim": lambda s, p: s.shared_tasks.try_claim(p.id("A"), "c", p.text()),
    "shared_tasks.claim_and_transfer": lambda s, p: s.shared_tasks.claim_and_transfer(p.id("A"), "c", p.text()),
    "handle.try_claim_shared": lambda s, p: s.for_occurrence(p.id("o")).try_claim_shared(p.id("A"), "c", p.text()),
    "claimed.update": lambda s, p: claimed(s, p).update(description=p.text()),
    "claimed.complete": lambda s, p: claimed(s, p).complete(p.record(TaskOutcome)),
    "claimed.fail": lambda s, p: claimed(s, p).fail(p.record(TaskOutcome)),
    "claimed.add_thought": lambda s, p: claimed(s, p).add_thought(made(p, Thought, agent_occurrence_id=p.id("me"))),
    "claimed.update_thought": _claimed_update_thought,
    "documents.put": lambda s, p: s.documents.put("n", p.id("k"), {"deep": [p.json()], "text": p.text()}),
    "documents.put_many": lambda s, p: s.documents.put_many([("n", p.id("k"), p.json()), ("n", p.id("l"), p.text())]),
    "streams.append": lambda s, p: s.streams.append("n", p.id("s"), [p.json(), NewEntry(p.text(), id=p.id("e"))]),
    "secrets.disclose": lambda s, p: s.secrets.disclose("none", accessor="me", reason=p.text()),
    "audit.append": lambda s, p: s.audit.append("e", "me", p.json()),
    "audit.append_many": lambda s, p: s.audit.append("e", "me", p.json()),
    "authorities.bootstrap": lambda s, p: s.authorities.bootstrap(
        "0" * 64, "w", identity=[made(p, GraphNode, scope="identity")]
    ),
    "store.transaction": _transaction,
    "store.run": _run,
}

REFUSES: dict[str, Write] = {
    "graph.increment": lambda s, p: s.graph.increment(p.id("n"), "local", f"the password: {p.secret()}, you know"),
    "graph.increment, URL": lambda s, p: s.graph.increment(p.id("n"), "local", f"postgres://u:{p.secret()}@h/d"),
    "graph.increment, path": lambda s, p: s.graph.increment(p.id("n"), "local", ["a", p.text(), "b"]),
    "graph.increment, own class": lambda s, p: s.graph.increment(p.id("n"), "local", OwnText(p.text())),
}
"""Methods that refuse a secret even where there is a key: nothing can replace it there."""

TAKES_NO_TEXT = {
    "graph": "neighbours traverse shortest_path subgraph degrees search get get_many find scan count delete "
    "delete_many get_edge get_edge_many delete_edge delete_edge_many find_edges scan_edges",
    "correlations": "get get_many find scan count delete delete_many points metric_series aggregate "
    "percentiles metric_names by_channel recent trace",
    "tasks": "get get_many find scan count count_by_status delete delete_many pending_for_activation top "
    "recent_completed needing_seed_thought transfer claim_next claimed",
    "thoughts": "get get_many find scan count count_by_status delete delete_many pending_of_active_tasks "
    "retry escalate transfer",
    "documents": "get get_many touch find scan count namespaces delete delete_many delete_matching create_index "
    "drop_index",
    "streams": "read tail last get get_many scan info find count pop truncate fork delete delete_many",
    "occurrences": "heartbeat find remove",
    "leases": "acquire renew release lock find",
    "secrets": "has_key resolve delete delete_many get find access_log check rotate sweep",
    "shared_tasks": "latest status is_completed",
    "handle": "heartbeat claim_next release_work rescue take_over recover_thoughts shutdown",
    "store": "for_occurrence clock capabilities server_now info stats is_empty close start_background",
    "transaction": "for_occurrence savepoint",
    "claimed": "",
    "audit": "chains find scan tail verify checkpoint export prune",
    "authorities": "find register revoke",
}


def test_every_method_that_takes_a_text_is_tried() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
    listed = {
        f"{row[0].removeprefix('store.')}.{name}"
        for row in rows_of(guide, "Every method")
        for name in re.findall(r"`(\w+)`", row[1])
    }
    refuse = {name.partition(",")[0] for name in REFUSES}
    known = {*WRITES, *refuse, *(f"{part}.{name}" for part, names in TAKES_NO_TEXT.items() for name in names.split())}
    assert listed == known, (
        "a new method belongs into WRITES or REFUSES, or, if it stores no text of its caller, into TAKES_NO_TEXT"
    )


def test_no_secret_is_stored_in_clear(store: Store, url: str) -> None:
    plants = {name: Planted(number) for number, name in enumerate(WRITES)}
    for name, write in WRITES.items():
        write(store, plants[name])
        assert plants[name].values, name
    stored = everything_in(store, url)
    assert stored.count("{SECRET:") > 400
    for name, plant in plants.items():
        assert [value for value in plant.values if value in stored] == [], name


@pytest.mark.parametrize("name", WRITES)
def test_without_a_key_nothing_is_written(name: str) -> None:
    plant = Planted()
    with open_store("memory://") as store:
        with pytest.raises(SecretDetected, match="ciris-store key new") as caught:
            WRITES[name](store, plant)
        stored = everything_in(store, "memory://")
    assert plant.values
    assert not any(value in text for value in plant.values for text in (str(caught.value), stored))


@pytest.mark.parametrize("name", REFUSES)
def test_a_secret_that_nothing_can_replace_is_refused(name: str, store: Store, url: str) -> None:
    plant = Planted(len(WRITES))
    store.graph.put(GraphNode(id=plant.id("n"), type="user", scope="local", attributes={}))
    before = everything_in(store, url)
    with pytest.raises(SecretDetected, match=r"increment.*no reference can replace it here. Use another key") as caught:
        REFUSES[name](store, plant)
    assert plant.values
    assert not any(value in str(caught.value) for value in plant.values)
    assert everything_in(store, url) == before


def test_an_increment_refuses_a_number_that_a_key_calls_secret(store: Store) -> None:
    store.graph.put(GraphNode(id="n", type="user", scope="local", attributes={}))
    with pytest.raises(SecretDetected, match=r"increment\.'user'\.'pin': this holds a secret"):
        store.graph.increment("n", "local", ["user", "pin"], 4931)
    assert store.graph.increment("n", "local", ["password_resets", "total"]) == 1
    assert store.graph.increment("n", "local", "login") == 1


def test_an_increment_refuses_a_path_deeper_than_an_object_may_be(store: Store) -> None:
    store.graph.put(GraphNode(id="n", type="user", scope="local", attributes={}))
    assert store.graph.increment("n", "local", ["a"] * 100) == 1
    with pytest.raises(InvalidArgument, match="nested deeper than 100 levels"):
        store.graph.increment("n", "local", ["b"] * 10_000)


def test_an_increment_takes_every_key_where_detection_is_off() -> None:
    with open_store("memory://", secrets=False) as store:
        store.graph.put(GraphNode(id="n", type="user", scope="local", attributes={}))
        assert store.graph.increment("n", "local", Planted().text()) == 1


def test_every_free_text_of_every_record_is_planted() -> None:
    check = Validator()
    for model in KEYS:
        filled = made(Planted(), model)
        for name in check._plan(model).texts:
            assert "planted" in str(getattr(filled, name)), f"{model.__name__}.{name}"
