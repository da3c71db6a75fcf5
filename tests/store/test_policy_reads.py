"""A policy of one's own is asked by every method that reads, and by everything that reads a whole store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    AccessConfig,
    AccessDenied,
    ManualClock,
    ScopePolicy,
    Store,
    StoreError,
    TestSeams,
    open_store,
)
from ciris_store_core.contract import AuditStore, CoordinationStore, SecretStore, TaskStore, ThoughtStore
from ciris_store_core.errors import TransactionError
from ciris_store_core.services.doctor import examine
from ciris_store_core.store import Access
from ciris_store_core.store.access import access_rules
from ciris_store_core.transfer import backup_store, copy_store, digest_store, export_store
from tests.reliability.calls import METHODS, call, plain_arguments, public_methods
from tests.reliability.filling import fill

NO_READ = {"store.for_occurrence", "tasks.claimed", "secrets.resolve", "secrets.check"}
"""The first two make a handle; the others read nothing of a store without a key, and else ask as ``secrets.get``."""
READS = [name for name, method in METHODS.items() if not method.writes and name not in NO_READ]


class Closed(ScopePolicy):
    """Refuses everything, once it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.shut = False
        self.asked: list[Access] = []

    def allow(self, access: Access) -> bool:
        self.asked.append(access)
        return not self.shut


@pytest.fixture
def policy() -> Closed:
    return Closed()


@pytest.fixture
def guarded_store(policy: Closed, tmp_path: Path) -> Iterator[Store]:
    clock = ManualClock()
    url = f"sqlite:///{tmp_path}/x.db?synchronous=normal"
    with open_store(
        url, access=AccessConfig(policy=policy), testing=TestSeams(clock=clock, server_clock=clock), secrets=False
    ) as store:
        fill(store, clock)
        policy.shut = True
        policy.asked.clear()
        yield store


def test_every_public_method_is_listed() -> None:
    parts = [name for name in public_methods() if name.partition(".")[0] not in ("store", "handle", "claimed")]
    assert set(parts) - {"secrets.rotate"} <= set(METHODS)


@pytest.mark.parametrize("name", READS)
def test_a_method_that_reads_asks(guarded_store: Store, policy: Closed, name: str) -> None:
    arguments = plain_arguments(name)
    with suppress(StoreError):
        assert call(guarded_store, name, arguments) is None, "it answered, though it was refused"
    assert policy.asked, f"{name} did not ask"
    policy.asked.clear()
    with suppress(AccessDenied, TransactionError), guarded_store.transaction() as tx:
        call(tx, name, arguments)
        assert policy.asked, f"{name} in a transaction did not ask"


WHOLE: dict[str, Callable[[Store, Path], Any]] = {
    "export": lambda store, path: export_store(store, path / "dump"),
    "backup": lambda store, path: backup_store(store, path / "backup"),
    "portable backup": lambda store, path: backup_store(store, path / "backup", portable=True),
    "digest": lambda store, path: digest_store(store),
    "copy": lambda store, path: copy_store(store, open_store("memory://")),
    "doctor": lambda store, path: examine(store, thorough=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_reads_a_whole_store_asks(guarded_store: Store, policy: Closed, tmp_path: Path, name: str) -> None:
    with pytest.raises(AccessDenied):
        WHOLE[name](guarded_store, tmp_path)
    assert policy.asked
    assert not list(tmp_path.glob("dump*")) and not list(tmp_path.glob("backup*"))
    policy.shut = False
    denied = [entry for entry in guarded_store.audit.scan() if entry.event_type == "access_denied"]
    assert denied, "it is recorded"


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (TaskStore, access_rules.TASKS), (ThoughtStore, access_rules.THOUGHTS),
        (CoordinationStore, access_rules.COORDINATION),
        (SecretStore, access_rules.SECRETS), (AuditStore, access_rules.AUDIT),
    ],
)  # fmt: skip
def test_the_tables_name_every_method(kind: type, rules: dict[str, access_rules.Rule]) -> None:
    assert {name for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"} == set(rules)
