"""The store on a Citus cluster, which ``CIRIS_TEST_CITUS_URL`` names; ``python -m tests.support.citus`` starts one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2
import pytest
from psycopg2 import errors

from backends.postgres.tests.support import store_at, wait_for
from ciris_store_core import Store, field, open_fleet
from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import NotFound, NotSupported, OutcomeUnknown, StoreError, Unavailable
from ciris_store_core.services.doctor import examine
from ciris_store_postgres import fleet as fleet_module
from ciris_store_postgres.session import PostgresSession
from tests.reliability.rows import counts, record
from tests.support.citus import URL_VARIABLE
from tests.support.pgserver import execute

URL = os.environ.get(URL_VARIABLE, "")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.fault,
    pytest.mark.skipif(not URL, reason=f"{URL_VARIABLE} names no cluster"),
]

WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY groupid"
PLACE = "SELECT DISTINCT nodename, nodeport FROM citus_shards WHERE table_name::text = '{}.tasks'"
MOVE = "SELECT citus_schema_move('{}', '{}', {}, shard_transfer_mode := 'block_writes')"


def at(host: str, port: int) -> str:
    """The URL of another node of the cluster."""
    user, at_sign, _ = urlsplit(URL).netloc.rpartition("@")
    return urlunsplit(urlsplit(URL)._replace(netloc=f"{user}{at_sign}{host}:{port}"))


def workers() -> list[tuple[str, int]]:
    return [(str(host), int(port)) for host, port in execute(URL, WORKERS)]


def place_of(schema: str) -> tuple[str, int]:
    """The node that has the rows of a schema."""
    [(host, port)] = execute(URL, PLACE.format(schema))
    return str(host), int(port)


@pytest.fixture
def schema() -> Iterator[str]:
    """The name of a schema that does not exist yet."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    wait_for(lambda: all(map(answers, workers())), 30)
    execute(URL, f"DROP SCHEMA IF EXISTS {name} CASCADE")


# --- what differs from one server -----------------------------------------------------------------


def test_a_new_store_is_distributed_and_its_sizes_are_those_of_its_node(schema: str) -> None:
    with store_at(URL, schema=schema) as store:
        store.tasks.add_many([task(f"t{number:04}") for number in range(2000)])
        report = examine(store)
    assert place_of(schema) in workers()
    assert next(table.bytes for table in report.tables if table.name == "tasks") > 200_000
    codes = {finding.code for finding in report.findings}
    assert "not_checked" in codes and "not_distributed" not in codes


def test_a_schema_that_is_not_distributed_is_told(schema: str) -> None:
    execute(URL, f"SET citus.enable_schema_based_sharding = off; CREATE SCHEMA {schema}")
    with store_at(URL, schema=schema) as store:
        [finding] = [each for each in examine(store).findings if each.code == "not_distributed"]
        execute(URL, finding.fix)
        assert "not_distributed" not in {each.code for each in examine(store).findings}
        store.tasks.add(task("t"))
    assert place_of(schema) in workers()


def test_a_worker_refuses_a_new_store_and_serves_one_that_exists(schema: str) -> None:
    worker = at(*workers()[0])
    with pytest.raises(NotSupported, match=r"worker of a Citus cluster.* URL of the coordinator \("):
        store_at(worker, schema=schema)
    with store_at(URL, schema=schema) as store, store_at(worker, schema=schema) as other:
        other.tasks.add(task("t"))
        assert store.tasks.get("t")


def test_documents_are_indexed_through_the_coordinator(schema: str) -> None:
    with store_at(URL, schema=schema) as store, store_at(at(*workers()[0]), schema=schema) as other:
        store.documents.put("n", "k", {"a": {"b": 1}})
        with pytest.raises(NotSupported, match="URL of the coordinator"):
            other.documents.create_index("a", "b")
        store.documents.create_index("a", "b")
        with store.transaction() as tx:
            tx.documents.create_index("a")
        other.documents.create_index("a", "b")  # it exists
        with pytest.raises(NotSupported, match="URL of the coordinator"):
            other.documents.drop_index("a")
        store.documents.drop_index("a")
        assert other.documents.find("n", filter=field("a", "b").eq(1)).items == store.documents.find("n").items


def test_several_nodes_in_one_url_are_no_reason_to_warn(schema: str, caplog: pytest.LogCaptureFixture) -> None:
    hosts = ",".join(f"{host}:{port}" for host, port in (*workers(), (urlsplit(URL).hostname, urlsplit(URL).port)))
    user, at_sign, _ = urlsplit(URL).netloc.rpartition("@")
    store_at(URL, schema=schema).close()
    url = urlunsplit(urlsplit(URL)._replace(netloc=f"{user}{at_sign}{hosts}"))
    with caplog.at_level(logging.WARNING), store_at(url, schema=schema, load_balance_hosts="random") as store:
        barrier = threading.Barrier(6)
        threads = [threading.Thread(target=lambda: hold(store, barrier)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert caplog.text == ""


def hold(store: Store, barrier: threading.Barrier) -> None:
    with store.transaction() as tx:
        tx.tasks.get("t")
        barrier.wait(20)


@pytest.mark.soak
def test_every_clause_holds(schema: str) -> None:
    command = [sys.executable, "-m", "ciris_store_core.cli", "conformance", f"{URL}?schema={schema}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-3000:]


# --- a fleet --------------------------------------------------------------------------------------


def test_a_fleet_sends_each_agent_to_its_node_and_follows_a_move(schema: str) -> None:
    with open_fleet(URL, secrets=False) as fleet:
        agents = [schema, f"{schema}-b", f"{schema}-c"]
        try:
            stores = [fleet.store(agent) for agent in agents]
            for agent, store in zip(agents, stores, strict=True):
                store.tasks.add(task(agent))
            nodes = {place.agent: place.node for place in fleet.agents()}
            assert len({nodes[agent] for agent in agents}) > 1
            assert [address(store) for store in stores] == [nodes[agent] for agent in agents]
            other = next(f"{host}:{port}" for host, port in workers() if f"{host}:{port}" != nodes[schema])
            with Writers(stores[0]) as writers:
                fleet.move(schema, other)
                time.sleep(1)
            assert writers.wrong(stored_in(schema)) == 0
            assert fleet.close_idle(seconds=0) >= 0 and stores[0].tasks.get(schema)
            assert address(stores[0]) == other == {p.agent: p.node for p in fleet.agents()}[schema]
            assert fleet.sizes()[schema] > 100_000
            assert {node.node for node in fleet.health().nodes} > {f"{host}:{port}" for host, port in workers()}
            assert fleet.health().ok and fleet.stats()["in_use"] == 0
            with pytest.raises(NotFound, match=r"no node 'x:1'\. The nodes are"):
                fleet.move(schema, "x:1")
        finally:
            for agent in agents[1:]:
                execute(URL, f'DROP SCHEMA IF EXISTS "{agent}" CASCADE')


def test_a_move_that_the_cluster_refuses_is_told_as_one(schema: str) -> None:
    with open_fleet(URL, secrets=False) as fleet:
        fleet.create(schema)
        home = place_of(schema)
        other = next(node for node in workers() if node != home)
        [(shard,)] = execute(URL, f"SELECT shard_name FROM citus_shards WHERE table_name::text = '{schema}.tasks'")
        with closing(psycopg2.connect(at(*home))) as reader:
            reader.cursor().execute(f"SELECT count(*) FROM {shard}")
            fleet.move(schema, "{}:{}".format(*other))
            with pytest.raises(Unavailable, match=r"was not moved\. Run the call again.*leftover"):
                fleet.move(schema, "{}:{}".format(*home))
            assert place_of(schema) == other
        fleet.move(schema, "{}:{}".format(*home))
        assert place_of(schema) == home


def address(store: Store) -> str:
    """The node that a store of a fleet is connected to."""
    with store._backend.session(write=False) as session:
        assert isinstance(session, PostgresSession)
        info = session.connection.raw.info
    return f"{info.host}:{info.port}"


def test_a_node_that_is_another_server_is_reached_through_the_coordinator(
    schema: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fleet_module, "GROUP", "SELECT 12345")
    with open_fleet(URL, secrets=False) as fleet:
        store = fleet.store(schema)
        store.tasks.add(task("t"))
        assert address(store) == f"{urlsplit(URL).hostname}:{urlsplit(URL).port}"
        assert "the server says that it is group 12345" in caplog.text
        assert not fleet.health().ok


# --- lost, frozen and moved -----------------------------------------------------------------------


class Writers:
    """Four writers, half of them in transactions of two tasks. Use it in ``with``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prefix = uuid.uuid4().hex[:8]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(4)]
        self.names: dict[str, list[str]] = {"stored": [], "unknown": [], "refused": []}
        """The names that were written, by what the caller was told."""
        self.told: Counter[str] = Counter()

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{self._prefix}-{writer}-{number}"
            try:
                if writer % 2:
                    self._store.tasks.add(task(name))
                else:
                    with self._store.transaction() as tx:
                        tx.tasks.add(task(name))
                        tx.tasks.add(task(f"{name}-2"))
            except StoreError as error:
                self.told[type(error).__name__] += 1
                self.names["unknown" if isinstance(error, OutcomeUnknown) else "refused"].append(name)
            else:
                self.names["stored"].append(name)

    def wrong(self, stored: set[str]) -> int:
        """Return how many tasks were acknowledged and lost, or refused and stored."""
        return len(set(self.names["stored"]) - stored) + len(set(self.names["refused"]) & stored)


def processes_of(node: tuple[str, int]) -> list[psutil.Process]:
    """The processes of a node of this host, its main process first and stopped, so that it starts no others."""
    [(pid,)] = execute(at(*node), r"SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int")
    main = psutil.Process(pid)
    main.suspend()
    return [main, *main.children(recursive=True)]


def kill(node: tuple[str, int], schema: str) -> None:
    """Kill a worker, which the cluster's script starts again."""
    for process in processes_of(node):
        process.kill()
    wait_for(lambda: answers(node), 30)


def freeze(node: tuple[str, int], schema: str) -> None:
    processes = processes_of(node)
    for process in processes[1:]:
        process.suspend()
    time.sleep(8)
    for process in reversed(processes):
        process.resume()


def move(node: tuple[str, int], schema: str) -> None:
    other = next(each for each in workers() if each != node)
    wait_for(lambda: moved(MOVE.format(schema, *other)), 60)
    assert place_of(schema) == other


def moved(statement: str) -> bool:
    """Run a move. False if a statement still uses the shards that the move before has left behind."""
    try:
        execute(URL, statement)
    except errors.InternalError_ as error:
        assert "leftover from the previous move" in str(error)
        return False
    return True


def answers(node: tuple[str, int]) -> bool:
    try:
        execute(at(*node), "SELECT 1")
    except Exception:
        return False
    return True


def fault_under_writers(schema: str, fault: Callable[[tuple[str, int], str], None], rounds: int) -> tuple[int, Writers]:
    """Return how many outcomes were told wrongly, and the writers."""
    with store_at(URL, schema=schema, operation_timeout=5) as store:
        with Writers(store) as writers:
            for _ in range(rounds):
                time.sleep(1)
                fault(place_of(schema), schema)
            time.sleep(2)
        store.run(lambda tx: tx.tasks.add(task("after"), exist_ok=True))
        assert store.stats()["in_use"] == 0
    return writers.wrong(stored_in(schema)), writers


def stored_in(schema: str) -> set[str]:
    return {row[0] for row in execute(URL, f"SELECT task_id FROM {schema}.tasks")}


@pytest.mark.parametrize("fault", [kill, freeze, move])
@pytest.mark.parametrize("rounds", counts("lost-worker"))
def test_no_write_is_lost_with_its_worker(
    schema: str, rounds: int, fault: Callable[[tuple[str, int], str], None]
) -> None:
    wrong, writers = fault_under_writers(schema, fault, rounds)
    told = {name: len(names) for name, names in writers.names.items()}
    record("lost-worker", f"Citus, {fault.__name__}", rounds, wrong, note=f"{told}")
    assert wrong == 0
    assert told["stored"] > 20 * rounds


def test_the_control_a_caller_that_takes_an_unknown_outcome_for_a_refusal(schema: str) -> None:
    rounds = wrong = 0
    while not wrong and rounds < 20:
        rounds += 1
        _, writers = fault_under_writers(schema, kill, 1)
        wrong = len(set(writers.names["unknown"]) & stored_in(schema))
    record("lost-worker", "Citus, kill", rounds, wrong, control=True)
    assert wrong > 0
