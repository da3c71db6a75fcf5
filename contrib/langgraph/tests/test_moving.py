from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from test_saver import THREAD, graph_of

from ciris_store_core import open_store
from ciris_store_langgraph import CirisSaver, CirisStore, moving
from ciris_store_langgraph.cli import main
from ciris_store_langgraph.conformance import upstream
from tests.support.pgserver import shared_server


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    server, made = shared_server(), list[str]()
    monkeypatch.setattr(upstream, "new_database", lambda: made.append(server.create_database()) or made[-1])
    yield request.param
    for url in made:
        server.drop_database(url)


def sources(kind: str, tmp_path: Path) -> list[str]:
    if kind == "postgres":
        return [upstream.postgres_url(tmp_path)]
    return [f"sqlite:///{tmp_path}/saver.db", f"sqlite:///{tmp_path}/store.db"]


def test_threads_and_items_are_imported_and_read_back(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saver_of, store_of = getattr(upstream, f"{kind}_saver"), getattr(upstream, f"{kind}_store")
    with saver_of(tmp_path) as saver, store_of(tmp_path) as store:
        graph = graph_of(saver)
        graph.invoke({"notes": ["x" * 100_000]}, THREAD)
        graph.invoke({"notes": ["b"]}, {"configurable": {"thread_id": "t2"}})
        before = [(each.config, each.values, each.next) for each in graph.get_state_history(THREAD)]
        store.put(("users", "ada"), "likes", {"what": "tea", "n": [1, None]})
        store.put(("users", "bob"), "soon", {"v": 1}, ttl=60)
        store.put(("users", "bob"), "gone", {"v": 1}, ttl=-1)
    target = f"sqlite:///{tmp_path}/ciris.db"
    for _ in range(2):
        assert [main(["import", source, target]) for source in sources(kind, tmp_path)] in ([0], [0, 0])
    printed = capsys.readouterr().out
    assert "2 threads" in printed and "2 items; left out 1 expired" in printed
    with open_store(target) as opened:
        moved = graph_of(CirisSaver(opened))
        assert [(each.config, each.values, each.next) for each in moved.get_state_history(THREAD)] == before
        assert moved.get_state(THREAD).tasks[0].interrupts[0].value == "go on?"
        items = CirisStore(opened)
        assert {each.key: each.value for each in items.search(("users",))} == {
            "likes": {"what": "tea", "n": [1, None]},
            "soon": {"v": 1},
        }


def test_a_value_that_comes_back_different_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with upstream.sqlite_saver(tmp_path) as saver:
        graph_of(saver).invoke({"notes": ["a"]}, THREAD)
    put = CirisSaver.put

    def losing(self: CirisSaver, config: Any, checkpoint: Any, *rest: Any) -> Any:
        return put(self, config, {**checkpoint, "channel_values": {}}, *rest)

    monkeypatch.setattr(moving.CirisSaver, "put", losing)
    assert main(["import", f"sqlite:///{tmp_path}/saver.db", f"sqlite:///{tmp_path}/ciris.db"]) == 1
    assert "differs: checkpoint t1/" in capsys.readouterr().err


def test_the_source_is_not_changed(tmp_path: Path) -> None:
    with upstream.sqlite_saver(tmp_path) as saver:
        graph_of(saver).invoke({"notes": ["a"]}, THREAD)
    sqlite3.connect(tmp_path / "saver.db").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / "saver.db").read_bytes()
    assert main(["import", f"sqlite:///{tmp_path}/saver.db", "memory://"]) == 0
    assert (tmp_path / "saver.db").read_bytes() == before
