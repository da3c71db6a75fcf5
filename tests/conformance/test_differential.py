"""Random scripts on every backend and the reference, and that a difference is found, shortened and shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, get_type_hints

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.backend_pair import Disagreement, Unusable, replay
from ciris_store_core.conformance.differential import check_long_script, check_scripts, run_script
from ciris_store_core.conformance.random_calls import READS, WRITES
from ciris_store_core.conformance.random_scripts import Step, random_step, source
from ciris_store_core.contract import Session
from ciris_store_core.errors import NotSupported
from tests.conformance.harnesses import PostgresHarness, SqliteHarness, memory_harness, prepare
from tests.mutants.catalogue import FAULTS
from tests.mutants.planting import NO_FAULT, SOUND, Fault, LabHarness
from tests.reliability.rows import ROWS, counts, record
from tests.support.pgserver import ExternalServer

Factory = Callable[[], Harness]

BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
_numbers = count()


@pytest.fixture
def make_sqlite(tmp_path: Path) -> Factory:
    template = SqliteHarness.make_template(tmp_path)

    def make() -> Harness:
        folder = tmp_path / str(next(_numbers))
        folder.mkdir()
        return _Removed(template, folder)

    return make


class _Removed(SqliteHarness):
    """Thousands of scripts would fill the disk."""

    def cleanup(self) -> None:
        for path in self._path.parent.iterdir():
            path.unlink()


@pytest.fixture
def make_postgres(postgres_server: ExternalServer, request: pytest.FixtureRequest) -> Factory:
    url = postgres_server.create_database()
    request.addfinalizer(lambda: postgres_server.drop_database(url))
    prepare(url)
    return lambda: PostgresHarness(postgres_server, url)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Factory:
    factory: Factory = request.getfixturevalue(f"make_{request.param}")
    return factory


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", BACKENDS, indirect=True)
@pytest.mark.parametrize("examples", counts("differential"))
def test_random_scripts(make: Factory, examples: int, request: pytest.FixtureRequest) -> None:
    check_scripts(make, examples=examples, repeatable=examples == ROWS["differential"].quick)
    subject = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[request.node.callspec.params["make"]]
    record("differential", subject, examples, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.postgres
def test_one_long_script_on_all_backends(make_sqlite: Factory, make_postgres: Factory) -> None:
    check_long_script([lambda: memory_harness(next(_numbers)), make_sqlite, make_postgres], steps=2000, seed=1)


# --- the scripts themselves ---------------------------------------------------------------------


BY_CAPABILITY = ("graph.search",)
"""Methods that not every backend has: a script is run on any."""


def test_a_long_script_calls_every_method_and_opens_every_kind_of_block() -> None:
    random = Random(1)
    steps = [random_step(random) for _ in range(10_000)]
    text = source(steps)
    methods = [
        f"{store}.{method}"
        for store, contract in get_type_hints(Session).items()
        for method in vars(contract)
        if not method.startswith("_") and not f"{store}.{method}".startswith(BY_CAPABILITY)
    ]
    called = set(re.findall(r"(?:session|reader)\.(\w+\.\w+)", text))
    assert len(methods) > 60
    assert [each for each in methods if each not in called] == []
    for piece in ("session.savepoint()", "write=True) as session", "as reader", "reader.", "raise Stop", "reopen()"):
        assert piece in text, piece


def test_reads_are_only_reads() -> None:
    names = {text(Random(seed)).split("(")[0] for text in READS for seed in range(3)}
    assert not {text(Random(seed)).split("(")[0] for text in WRITES for seed in range(3)} & names


def test_marks_that_fit_nowhere_are_left_out() -> None:
    kinds = ["end", "undo", "savepoint", "read", "write", "reopen", "end", "write", "write", "reopen", "undo"]
    assert source([Step(kind) for kind in kinds]) == (
        "    with store.session(write=False) as reader:\n"
        "        pass\n"
        "    with suppress(Stop), store.session(write=True) as session:\n"
        "        raise Stop\n"
        "    compare(store)\n"
    )


def test_calls_that_wait_for_readers_are_not_made_beside_one() -> None:
    drop = Step("call", "session.documents.drop_index(('x',))", reads=False)
    steps = [Step("write"), drop, Step("read"), drop, Step("end"), Step("end"), drop]
    assert source(steps) == (
        "    with store.session(write=True) as session:\n"
        "        session.documents.drop_index(('x',))\n"
        "        with store.session(write=False) as reader:\n"
        "            pass\n"
        "    with store.session(write=True, single=True) as session:\n"
        "        session.documents.drop_index(('x',))\n"
        "    compare(store)\n"
    )


# --- that a difference is found -----------------------------------------------------------------


def fault(name: str) -> Fault:
    [found] = [each for each in FAULTS if each.name == name]
    return found


def script_of(error: Disagreement) -> str:
    """The script in a message."""
    return str(error).partition("in the script\n\n")[2]


@pytest.mark.fault
def test_the_reference_agrees_with_itself() -> None:
    check_scripts(lambda: LabHarness(NO_FAULT), examples=50)


@pytest.mark.fault
def test_a_backend_without_savepoints_is_compared_too() -> None:
    check_scripts(lambda: LabHarness(Fault("none", (), (), SOUND - {Capability.SAVEPOINTS})), examples=50)


SHORT = {
    "a_merge_overwrites": 5,
    "a_fence_grows_by_two": 5,
    "commit_in_finally": 5,
    "tasks_update_ignores_the_owner": 7,
    "savepoints_undo_nothing": 6,
    "deleting_a_node_leaves_edges_to_it": 6,
    "true_becomes_one": 3,
    "readers_see_what_is_not_committed": 6,
}
"""Faults, and how many lines it takes to show each."""


@pytest.mark.fault
@pytest.mark.parametrize("name", SHORT)
def test_a_difference_is_shortened_and_can_be_replayed(name: str, tmp_path: Path) -> None:
    broken = fault(name)
    with pytest.raises(Disagreement) as caught:
        check_scripts(lambda: LabHarness(broken), examples=1000)
    record("differential", "a backend with a planted fault", 1, 1, control=True, note=name)
    printed = script_of(caught.value)
    lines = printed.partition("def script(store):\n")[2].partition("\n    compare(store)")[0].splitlines()
    assert len(lines) <= SHORT[name], printed

    # As it stands it runs on the sound reference ...
    path = tmp_path / "script.py"
    path.write_text(printed, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, path], check=True, env=environment, timeout=60)
    # ... and shows the same difference on the broken one.
    space: dict[str, Any] = {}
    exec(printed, space)
    with pytest.raises(Disagreement) as again:
        replay(space["script"], LabHarness(broken))
    assert str(again.value) == str(caught.value).partition("\nin the script")[0]


@pytest.mark.fault
def test_a_long_script_is_shortened_too() -> None:
    broken = fault("deleting_a_node_leaves_edges_to_it")
    with pytest.raises(Disagreement) as caught:
        for seed in range(10):
            check_long_script([lambda: LabHarness(broken)], steps=2000, seed=seed)
    assert len(script_of(caught.value).splitlines()) <= 20


@pytest.mark.fault
def test_an_unexpected_error_is_a_difference() -> None:
    def fails(self: Any, sound: Any, query: Any) -> Any:
        raise ZeroDivisionError("oh")

    with pytest.raises(Disagreement, match="ZeroDivisionError"):
        check_scripts(lambda: LabHarness(Fault("f", (), (("tasks.find", fails),))), examples=200)


@pytest.mark.fault
def test_a_call_is_not_shortened_to_one_that_the_contract_does_not_know() -> None:
    def fails(self: Any, sound: Any, query: Any) -> Any:
        if sound(query):  # with rows, a bucket of no length is a division by zero
            raise NotSupported("oh")
        return []

    with pytest.raises(Disagreement, match="backend under test raised NotSupported") as caught:
        check_scripts(lambda: LabHarness(Fault("f", (), (("correlations.percentiles", fails),))), examples=200)
    assert "timedelta()" not in script_of(caught.value)


def test_a_script_that_the_reference_cannot_run_is_no_difference() -> None:
    query = "PercentileQuery(CorrelationFilter(), (0.5,), timedelta(), ())"
    read = Step("call", f"session.correlations.percentiles({query})")
    add = Step("call", "session.correlations.add([metric('m', 1.0, 0)])", reads=False)
    with pytest.raises(Unusable, match="ZeroDivisionError"):
        run_script(LabHarness(NO_FAULT), [add, read])


@pytest.mark.fault
def test_what_happens_only_once_is_told() -> None:
    once = iter([NotSupported("only now")])

    def fails(self: Any, sound: Any, query: Any) -> Any:
        for error in once:
            raise error
        return sound(query)

    with pytest.raises(
        Disagreement, match=r"(?s)does not always answer the same.*tasks\.find.*only now.*in the script"
    ):
        for seed in range(100):
            check_long_script([lambda: LabHarness(Fault("f", (), (("tasks.find", fails),)))], steps=20, seed=seed)
