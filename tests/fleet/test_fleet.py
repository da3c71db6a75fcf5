"""Fleets: the stores of many agents under one URL, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from ciris_store_core import Fleet, InvalidArgument, NotFound, NotSupported, Store, open_fleet, open_store
from ciris_store_core.aio import open_fleet_async
from ciris_store_core.cli.app import app
from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import InvalidURL, StoreClosed, StoreError, TransactionError
from tests.support.pgserver import ExternalServer, execute

Opened = Callable[..., Fleet]

LONG = pytest.mark.timeout(1800)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty fleet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/agents"
        return
    server: ExternalServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def opened(url: str) -> Iterator[Opened]:
    """Opens fleets of the URL, which are closed at the end."""
    fleets: list[Fleet] = []

    def opened(options: str = "", **given: object) -> Fleet:
        fleets.append(open_fleet(url + options, secrets=False, **given))  # type: ignore[arg-type]
        return fleets[-1]

    yield opened
    for fleet in fleets:
        fleet.close()


def names(store: Store) -> list[str]:
    return [each.task_id for each in store.tasks.find()]


def test_each_agent_has_its_own_data(opened: Opened) -> None:
    fleet = opened()
    assert fleet.agents() == []
    for agent in ("agent-7", "ada"):
        fleet.store(agent).tasks.add(task(f"of {agent}"))
    assert names(fleet.store("ada")) == ["of ada"]
    assert names(fleet.store("agent-7")) == ["of agent-7"]
    assert [place.agent for place in fleet.agents()] == ["ada", "agent-7"]
    sizes = fleet.sizes()
    assert list(sizes) == ["ada", "agent-7"] and min(sizes.values()) > 10_000
    health = fleet.health(agents=True)
    assert health.ok
    assert [node.agents for node in health.nodes] == [2]
    assert {place.node for place in fleet.agents()} == {node.node for node in health.nodes}


def test_an_agents_url_opens_its_store_alone(opened: Opened, url: str) -> None:
    fleet = opened()
    fleet.store("agent-7").tasks.add(task("t"))
    alone = f"{url}/agent-7.db" if url.startswith("sqlite") else f"{url}?schema=agent-7"
    with open_store(alone, create=False, secrets=False) as store:
        assert names(store) == ["t"]
        assert str(store.info()["url"]).endswith(str(fleet.store("agent-7").info()["url"])[-12:])


@pytest.mark.parametrize(
    "name", ["", "Ada", "a b", "../a", "a/b", 'a"b', "1a", "pg_toast", "public", "con", "é", "a" * 61]
)
def test_a_name_that_no_file_or_schema_can_have_is_refused(opened: Opened, name: str) -> None:
    with pytest.raises(InvalidArgument, match="name of an agent"):
        opened().store(name)


def test_a_store_that_is_not_there_is_not_created_unasked(opened: Opened) -> None:
    fleet = opened()
    with pytest.raises(StoreError):
        fleet.store("ada", create=False)
    assert fleet.agents() == []
    fleet.create("ada")
    assert names(fleet.store("ada", create=False)) == []


def test_a_store_that_was_closed_while_idle_works_again(opened: Opened) -> None:
    fleet = opened(most_open=2)
    stores = [fleet.store(f"a{number}") for number in range(5)]
    for round_ in range(3):
        for number, store in enumerate(stores):
            store.tasks.add(task(f"{round_}"))
            assert fleet.stats()["open"] <= 2, number
    assert all(len(names(store)) == 3 for store in stores)
    assert fleet.stats()["stores"] == 5


def test_a_store_in_use_is_never_closed(opened: Opened) -> None:
    fleet = opened(most_open=1)
    with fleet.store("a").transaction() as tx:
        tx.tasks.add(task("t"))
        fleet.store("b").tasks.add(task("t"))
        assert fleet.close_idle(seconds=0) == 1
        tx.tasks.add(task("u"))
    assert names(fleet.store("a")) == ["t", "u"]


def test_stores_that_were_idle_for_long_are_closed(opened: Opened) -> None:
    now = 0.0
    fleet = opened(idle_seconds=60, monotonic=lambda: now)
    store = fleet.store("a")
    now = 59.0
    fleet.create("b")
    assert fleet.stats()["open"] == 2
    now = 61.0
    fleet.create("c")
    assert fleet.stats()["open"] == 2
    store.tasks.add(task("t"))
    assert fleet.stats()["open"] == 3


def test_the_same_store_while_it_is_in_use(opened: Opened) -> None:
    fleet = opened()
    found: list[Store] = []
    barrier = threading.Barrier(8)

    def get() -> None:
        barrier.wait()
        found.append(fleet.store("a"))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(map(id, found))) == 1


def test_a_closed_fleet_and_a_closed_store_say_so(opened: Opened) -> None:
    fleet = opened()
    store = fleet.store("a")
    fleet.close()
    with pytest.raises(StoreClosed):
        store.tasks.find()
    with pytest.raises(StoreClosed, match="fleet is closed"):
        fleet.store("a")
    fleet.close()


def test_inside_a_transaction_the_other_agents_are_usable(opened: Opened) -> None:
    fleet = opened()
    first, second = fleet.store("a"), fleet.store("b")
    with first.transaction() as tx:
        tx.tasks.add(task("of a"))
        second.tasks.add(task("of b"))
        assert not second.is_empty()
        assert second.server_now() and names(second) == ["of b"]
        with pytest.raises(TransactionError):
            first.tasks.find()
    assert names(first) == ["of a"]


def test_moves_need_a_cluster(opened: Opened) -> None:
    fleet = opened()
    fleet.create("a")
    with pytest.raises(NotSupported, match="one node"):
        fleet.move("a", "127.0.0.1:5432")
    with pytest.raises(NotFound, match="no agent 'b'"):
        fleet.move("b", "127.0.0.1:5432")


def test_health_names_a_store_that_cannot_be_opened(opened: Opened, url: str) -> None:
    fleet = opened()
    fleet.create("a")
    fleet.create("b")
    fleet.close_idle(seconds=0)
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///"), "b.db").write_bytes(b"no database" * 100)
    else:
        execute(url, "DELETE FROM b.schema_migrations WHERE version > 1")
    health = fleet.health(agents=True)
    assert list(health.problems) == ["b"] and not health.ok
    assert fleet.health().ok


@pytest.mark.parametrize("wrong", ["memory://", "sqlite:///:memory:", "sqlite:///x.db", "postgresql://h/d?schema=a"])
def test_a_url_that_names_no_fleet(wrong: str) -> None:
    with pytest.raises((InvalidURL, NotSupported)):
        open_fleet(wrong)


@pytest.mark.postgres
def test_the_agents_of_a_server_share_a_bounded_pool(postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with open_fleet(f"{url}?pool_size=3", secrets=False) as fleet:
        stores = [fleet.store(f"a{number}") for number in range(12)]
        threads = [
            threading.Thread(target=lambda store=store: [store.tasks.add(task(f"{n}")) for n in range(10)])
            for store in stores
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(names(store)) == 10 for store in stores)
        assert execute(url, count)[0][0] <= 3
        assert fleet.stats()["in_use"] == 0
        stores[0].close()
        assert len(names(stores[1])) == 10
    assert execute(url, count) == [(0,)]
    postgres_server.drop_database(url)


# --- a thousand agents ----------------------------------------------------------------------------


OPEN = 50


@pytest.mark.parametrize(
    "agents", [pytest.param(70, id="quick"), pytest.param(1000, id="long", marks=[pytest.mark.soak, LONG])]
)
def test_many_agents_in_one_process(opened: Opened, url: str, agents: int) -> None:
    process = psutil.Process()
    fleet = opened("?synchronous=normal" if url.startswith("sqlite") else "", most_open=OPEN)
    fleet.create("warm")
    before = process.num_fds()
    for number in range(agents):
        fleet.create(f"a{number:04}")
        assert fleet.stats()["open"] <= OPEN
    fleet.close_idle(seconds=0)
    gc.collect()
    tracemalloc.start()
    stores = [fleet.store(f"a{number:04}") for number in range(agents)]
    for store in stores:
        store.tasks.add(task("t"))
    assert {**fleet.stats(), "stores": agents, "open": OPEN} == fleet.stats()
    assert process.num_fds() - before < OPEN * 12
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0]
    assert fleet.close_idle(seconds=0) == OPEN
    gc.collect()
    idle = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    each, more = idle / agents / 1024, (memory - idle) / OPEN / 1024
    print(f"{url.partition(':')[0]}, {agents} agents: {each:.1f} KiB for an idle one, {more:.1f} more for an open one")
    assert idle / agents < 48 * 1024
    assert len(fleet.agents()) == agents + 1
    assert names(stores[0]) == names(stores[-1]) == ["t"]
    assert fleet.stats().get("in_use", 0) == 0
    fleet.close()
    assert process.num_fds() <= before


# --- asyncio and the command line -----------------------------------------------------------------


def test_the_async_counterpart(url: str) -> None:
    async def use() -> None:
        async with open_fleet_async(url, workers=3, secrets=False) as fleet:
            first, second = await asyncio.gather(fleet.store("a"), fleet.store("b"))
            await asyncio.gather(*(store.tasks.add(task(f"{n}")) for store in (first, second) for n in range(5)))
            async with first.transaction() as tx:
                await tx.tasks.add(task("in a transaction"))
                with pytest.raises(TransactionError):
                    await second.tasks.find()
            assert len((await first.tasks.find()).items) == 6
            await first.close()
            assert len((await second.tasks.find()).items) == 5
            assert [place.agent for place in await fleet.agents()] == ["a", "b"]

    asyncio.run(use())


def test_the_commands(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", url)

    def ran(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["fleet", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    for agent in ("agent-7", "ada"):
        ran("create", agent)
    assert [place["agent"] for place in json.loads(ran("list", "--json"))] == ["ada", "agent-7"]
    assert "agent-7" in ran("list")
    assert set(json.loads(ran("sizes", "--json"))) == {"ada", "agent-7"}
    assert "all" in ran("sizes")
    assert json.loads(ran("health", "--agents", "--json"))["ok"]
    assert "ok" in ran("health")
    assert isinstance(CliRunner().invoke(app, ["fleet", "move", "ada", "x:1"]).exception, NotSupported)
