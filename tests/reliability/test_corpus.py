"""The corpus of bad input in every argument and field of every method, on every backend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from ciris_store_core.errors import AccessDenied, NotFound, SecretKeyError, StoreError
from ciris_store_core.inmemory.tasks import MemoryTasks
from tests.conformance.harnesses import _EMPTY_ALL_TABLES, SqliteHarness, prepare
from tests.reliability.calls import METHODS, WITHOUT_INPUT, call, plain_arguments, public_methods
from tests.reliability.cases import Case, cases
from tests.reliability.corpus import Findings, Subject, compare
from tests.reliability.rows import record
from tests.support.pgserver import ExternalServer, execute

pytestmark = pytest.mark.fault

EACH = 32
"""Of so many cases ``make test`` takes one."""

_numbers = count()


def memory() -> Subject:
    return Subject("memory", lambda: f"memory://corpus-{next(_numbers)}")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, postgres_server: ExternalServer) -> Iterator[list[Subject]]:
    """The backends that have to agree with the reference."""
    folder = tmp_path_factory.mktemp("corpus")
    template = SqliteHarness.make_template(folder)
    url = postgres_server.create_database()
    prepare(url)

    def sqlite() -> str:
        path = folder / f"{next(_numbers)}.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}?synchronous=normal"

    def postgres() -> str:
        execute(url, _EMPTY_ALL_TABLES)
        return url

    yield [Subject("SQLite", sqlite), Subject("PostgreSQL", postgres)]
    postgres_server.drop_database(url)


def sample(method: str, each: int) -> list[Case]:
    """Every so many-th case of a method; another one for each, so that all items have their turn."""
    every = list(cases(method))
    return every[sum(method.encode()) % each % max(len(every), 1) :: each]


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(600)
@pytest.mark.parametrize("each", [pytest.param(EACH, id="quick"), pytest.param(1, id="long", marks=pytest.mark.soak)])
def test_all_backends_agree_on_bad_input(others: list[Subject], each: int) -> None:
    found = Findings()
    for method in METHODS:
        if chosen := sample(method, each):
            found += compare(chosen, memory(), others)
    note = (
        f"{len(METHODS)} methods x {1 + len(others)} backends, {found.calls:,} calls, {found.accepted:,} cases accepted"
    )
    record("corpus", "memory, SQLite, PostgreSQL", found.cases, len(found.wrong), note=note)
    assert found.wrong == []


def test_every_public_method_is_handed_the_corpus() -> None:
    """A new method needs a plain call in ``calls.METHODS``, or a reason in ``WITHOUT_INPUT``."""
    assert set(public_methods()) - WITHOUT_INPUT == set(METHODS)
    # Methods that get no value take switches only, or keys as plain tuples.
    without = [method for method in METHODS if not list(cases(method))]
    assert set(without) == {
        "correlations.metric_names", "audit.checkpoint", "audit.chains", "authorities.find", "secrets.check",
        "occurrences.find", "leases.find", "handle.recover_thoughts", "handle.release_work", "handle.shutdown",
        "streams.delete_many",
    }  # fmt: skip


NOT_ACCEPTED = {"authorities.register": AccessDenied, "authorities.revoke": NotFound, "secrets.check": SecretKeyError}
"""Without a Wise Authority and keys, these have nothing to act on."""


def test_plain_calls_are_accepted() -> None:
    """Otherwise every case of the corpus is refused for one and the same reason."""
    refused = {}
    for method in METHODS:
        with memory().open() as store:
            try:
                call(store, method, plain_arguments(method))
            except StoreError as error:
                refused[method] = type(error)
    assert refused == NOT_ACCEPTED


CHANGES: dict[str, Any] = {
    "composes letters": lambda text: text.replace("e\u0301", "\u00e9"),
    "trims": str.strip,
    "folds case": str.lower,
    "cuts": lambda text: text[:64],
    "loses what it does not know": lambda text: text.encode("ascii", "ignore").decode(),
}
"""Changes that a backend may make to a text."""


@pytest.mark.parametrize("change", CHANGES)
def test_the_control_a_backend_that_changes_what_it_is_given(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = MemoryTasks.add

    def add(self: Any, tasks: Any) -> None:
        sound(self, [each.replaced(description=CHANGES[change](each.description)) for each in tasks])

    chosen = [case for case in cases("tasks.add") if case.path == ("task", "description")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryTasks, "add", add)
        found = compare(chosen, memory(), [])
    record("corpus", f"a backend that {change}", found.cases, len(found.wrong), control=True)
    assert found.wrong
    assert compare(chosen, memory(), []).wrong == []
