"""The benchmarks run, and what they compare does the same work. The figures do not matter here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import payload_values, payloads, startup, values
from benchmarks.__main__ import main
from benchmarks.contender import Contender, can
from benchmarks.contenders import raw
from benchmarks.fill import fill, path_of
from benchmarks.measure import Ratio, run, spread
from benchmarks.payload_contenders import RawPostgresPayloads, RawSqlitePayloads, WithPayloads
from benchmarks.report import BEGIN, END, Result, as_json, read_json, summary, write_markdown
from benchmarks.with_store import WithStore
from benchmarks.workloads import WORKLOADS
from tests.support.pgserver import ExternalServer

SIZE = 200
POINTS = values.SERIES * values.POINTS + 10

Pair = tuple[Contender, WithStore]
PayloadPair = tuple[RawSqlitePayloads | RawPostgresPayloads, WithPayloads]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Two empty databases of one kind."""
    server: ExternalServer | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        urls = [server.create_database(), server.create_database()]
    else:
        urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("raw", "store")]
    yield urls
    if server is not None:
        for url in urls:
            server.drop_database(url)


@pytest.fixture
def pair(urls: list[str]) -> Iterator[Pair]:
    """The raw driver and the store, on a database each with the same content."""
    for url in urls:
        fill(url, SIZE, POINTS)
    plain, store = raw(urls[0], SIZE), WithStore(urls[1], SIZE)
    yield plain, store
    plain.close()
    store.close()


@pytest.fixture
def payload_pair(urls: list[str]) -> Iterator[PayloadPair]:
    """The same for documents and streams."""
    for url in urls:
        payload_values.fill(url, payload_values.Content(documents=SIZE, entries=SIZE))
    first, second = urls
    plain = RawSqlitePayloads(path_of(first)) if first.startswith("sqlite") else RawPostgresPayloads(first)
    store = WithPayloads(second)
    plain.size = store.size = SIZE
    yield plain, store
    plain.close()
    store.close()


def _fields(record: Any) -> dict[str, Any]:
    """A record's fields; what is empty is the same as what is absent."""
    found = record if isinstance(record, dict) else record.model_dump(mode="python")
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def test_both_read_the_same_records(pair: Pair) -> None:
    plain, store = pair
    assert plain.task_get(7)["task_id"] == values.filled_key("task", values.chosen(7, SIZE))
    for workload in ("task_get", "node_get"):
        assert _fields(getattr(store, workload)(7)) == _fields(getattr(plain, workload)(7))
    ours, theirs = store.metric_get(7), plain.metric_get(7)
    assert (ours.correlation_id, ours.timestamp, ours.metric_value, ours.tags) == (
        theirs["correlation_id"], theirs["timestamp"], theirs["metric_value"], theirs["tags"],
    )  # fmt: skip


def test_both_recall_the_same_points(pair: Pair) -> None:
    plain, store = pair
    ours = [(p.timestamp, p.metric_name, p.value, p.tags) for p in store.recall(3)]
    theirs = [(row[0], row[1], row[2], row[4]) for row in plain.recall(3)]
    assert ours == theirs
    assert len(ours) == values.POINTS


def test_both_aggregate_alike(pair: Pair) -> None:
    plain, store = pair
    ours = [(p.start, p.count) for p in store.aggregate(3)]
    assert ours == [(row[0], row[2]) for row in plain.aggregate(3)]
    assert [p.value for p in store.aggregate(3)] == pytest.approx([row[1] for row in plain.aggregate(3)])
    assert ours


def test_both_claim_the_same_task_and_list_the_same_rest(pair: Pair) -> None:
    plain, store = pair
    assert store.claim(1).task_id == plain.claim(1)["task_id"]
    assert [task.task_id for task in store.task_list(1)] == [task["task_id"] for task in plain.task_list(1)]


def test_both_merge_alike(pair: Pair) -> None:
    plain, store = pair
    ours, theirs = store.node_merge(5), plain.node_merge(5)
    assert ours.attributes == theirs["attributes"]
    assert ours.attributes["key_5"] == 5
    assert ours.revision == theirs["revision"] == 2


def test_every_workload_runs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "BULK", 20)
    for workload in WORKLOADS:
        assert all(can(contender, workload.name) for contender in pair)
        series = run(pair, workload, 2)
        assert set(series.seconds) == {"raw driver", "store"}
        assert series.ratio("store", "raw driver").value > 0


def test_both_read_the_same_documents_and_entries(payload_pair: PayloadPair) -> None:
    plain, store = payload_pair
    document = store.document_get(7)
    assert (document.value, document.revision) == (payload_values.value(values.chosen(7, SIZE)), 1)
    assert (plain.document_get(7)["value"], plain.document_get(7)["created_at"]) == (document.value, values.END)
    listed = store.documents_list(1)
    assert [(each.key, each.value) for each in listed] == [(d["key"], d["value"]) for d in plain.documents_list(1)]
    assert len(listed) == payload_values.LISTED
    tail = store.entries_tail(1)
    assert [(each.position, each.value) for each in tail] == [
        (e["position"], e["value"]) for e in plain.entries_tail(1)
    ]
    assert tail[-1].position == SIZE and len(tail) == payload_values.TAIL


def test_both_write_the_same_documents_and_entries(payload_pair: PayloadPair, urls: list[str]) -> None:
    def stored(contender: RawSqlitePayloads | RawPostgresPayloads | WithPayloads, home: WithPayloads) -> list[Any]:
        for workload in (each for part in payloads.PARTS.values() for each in part):
            getattr(contender, f"prepare_{workload.name}", lambda number: None)(1)
            getattr(contender, workload.name)(1)
        documents = [(d.namespace, d.key, d.value, d.revision) for d in home.store.documents.scan()]
        entries = [(e.position, e.kind, e.value) for e in home.store.streams.scan(payload_values.CHATS, "new")]
        info = home.store.streams.info(payload_values.CHATS, "new")
        assert info is not None
        return [documents, entries, info.length]

    plain, store = payload_pair
    reader = WithPayloads(urls[0])
    try:
        assert stored(plain, reader) == stored(store, store)
    finally:
        reader.close()


def test_importing_the_core_is_light() -> None:
    seconds, light = startup.light_import(1)
    assert light
    assert seconds > 0


def test_the_last_line_counts_goals_and_results_survive_json(tmp_path: Path) -> None:
    results = [_result(1.4, 1.5), _result(1.6, 1.5), _result(9.0, None)]
    assert summary(results) == ("1 of 2 ratios meet their goals", False)
    assert summary(results[:1]) == ("1 of 1 ratios meet their goals", True)
    path = tmp_path / "results.json"
    path.write_text(as_json(results, {"machine": "this"}))
    assert read_json(path) == (results, {"machine": "this"})
    assert [row["met"] for row in json.loads(path.read_text())["results"]] == [True, False, None]


@pytest.mark.parametrize(("ratio", "code", "last"), [(1.4, 0, "1 of 1"), (1.6, 1, "0 of 1")])
def test_the_program_ends_with_the_count_and_fails_where_a_goal_is_missed(
    ratio: float, code: int, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    path.write_text(as_json([_result(ratio, 1.5)], {"machine": "this"}))
    assert main(["--show", str(path)]) == code
    assert capsys.readouterr().out.splitlines()[-1] == f"{last} ratios meet their goals"


def test_markdown_replaces_the_figures_of_a_page_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_markdown(page, [_result(1.6, 1.5)], {"machine": "this"})
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("| add a task | 100 | 160 | 1.60 | 1.60-1.60 | 1.5 | missed |") == 1
    assert text.count("- machine: this") == 1


def test_a_ratio_is_the_median_and_the_middle_half() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]) == Ratio(3.0, 2.0, 4.0)


def _result(ratio: float, goal: float | None) -> Result:
    return Result(
        section="single",
        database="sqlite",
        name="task_add",
        title="add a task",
        seconds={"raw driver": 1e-4, "store": ratio * 1e-4},
        ratios={"store": Ratio(ratio, ratio, ratio)},
        judged="store",
        goal=goal,
    )
