"""Certainty: each write is known to be stored or not, and the caller is told if the outcome is unknown."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

import psycopg2
import pytest

from backends.postgres.tests.support import KILL, store_at, task_ids, wait_for
from ciris_store_core import Store, Transaction
from ciris_store_core.conformance.factories import correlation, task
from ciris_store_core.errors import (
    AlreadyExists,
    DatabaseError,
    OutcomeUnknown,
    StorageFull,
    StoreError,
    TransactionError,
    Unavailable,
)
from ciris_store_postgres.errors import translate
from ciris_store_postgres.session import PostgresSession
from tests.support.pgserver import PostgresServer, execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]


# --- a fork inside a transaction ------------------------------------------------------------------


def add_in_both(store: Store, how: str, say: int) -> None:
    """A transaction whose block a child of a fork leaves too, in some way; the child never returns."""
    child = -1
    try:
        with store.transaction() as tx:
            tx.tasks.add(task("before"))
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                tx.tasks.add(task("after"))
            elif how == "write":
                tx.tasks.add(task("of the child"))
            elif how == "exit":
                raise SystemExit
    except BaseException as error:
        if child:
            raise
        os.write(say, type(error).__name__.encode())
    finally:
        if child == 0:
            os._exit(0)


@pytest.mark.parametrize(
    ("how", "told"), [("write", TransactionError), ("exit", SystemExit), ("leave", TransactionError)]
)
def test_a_fork_inside_a_transaction_leaves_it_to_the_parent(url: str, how: str, told: type[BaseException]) -> None:
    hear, say = os.pipe()
    with store_at(url) as store:
        add_in_both(store, how, say)
        assert os.read(hear, 100).decode() == told.__name__
        assert task_ids(url) == {"before", "after"}
        store.tasks.add(task("later"))
    assert task_ids(url) == {"before", "after", "later"}


def test_a_child_of_a_fork_gets_errors_for_every_use(url: str) -> None:
    with store_at(url) as store, store._backend.session(write=False) as session:
        session.tasks.get(["t"], None)
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (lambda: session.tasks.get(["t"], None), session.tasks.delete, store._backend.server_now):
                with suppress(StoreError):
                    call(["t"]) if call == session.tasks.delete else call()
                    continue
                refused += 1
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert session.tasks.get(["t"], None) == []


# --- idle connections that died -------------------------------------------------------------------


def end_all(url: str) -> None:
    """End every other session of the database, as a restart of the server does."""
    [(count,)] = execute(url, f"SELECT count(*) FROM ({KILL}) killed")
    assert count == 1
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    wait_for(lambda: execute(url, others) == [(1,)])


def test_the_first_write_after_a_restart_is_stored(url: str) -> None:
    with store_at(url) as store:
        store.tasks.add(task("before"))
        end_all(url)
        store.tasks.add(task("after"))
        end_all(url)
        with store.transaction() as tx:
            tx.tasks.add(task("in a transaction"))
    assert task_ids(url) == {"before", "after", "in a transaction"}


# --- a COMMIT that stopped waiting for its standby ------------------------------------------------

CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def in_transaction(store: Store) -> object:
    return store.run(lambda tx: tx.tasks.add(task("transaction")))


WRITES = {
    "transaction": in_transaction,
    "single": lambda store: store.tasks.add(task("single")),
    "copy": lambda store: store.correlations.add_many([correlation("copy"), correlation("copy-2")]),
}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_commit_that_no_longer_waits_for_its_standby_is_unknown(hidden: bool) -> None:
    with PostgresServer(fast=True) as server:
        url = server.create_database()
        execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = 'on'")
        if hidden:
            execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET client_min_messages = 'error'")
        with store_at(url) as store:
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            server.execute("SELECT pg_reload_conf()")
            told: dict[str, str] = {}

            def write(name: str) -> None:
                try:
                    WRITES[name](store)
                except StoreError as error:
                    told[name] = type(error).__name__

            for name in WRITES:
                thread = threading.Thread(target=write, args=(name,))
                thread.start()
                wait_for(lambda: server.execute(CANCEL) != [])
                thread.join(10)
            assert told == dict.fromkeys(WRITES, "OutcomeUnknown")
            assert store.stats()["in_use"] == 0
            server.wait_for_standby(False)
            assert store.tasks.get("single") and store.tasks.get("transaction")  # as the message says


def test_other_notices_of_a_commit_are_no_doubt(url: str) -> None:
    with store_at(url) as store:
        execute(url, NOISY)
        execute(url, "CREATE CONSTRAINT TRIGGER noisy AFTER INSERT ON tasks INITIALLY DEFERRED FOR EACH ROW "
                     "EXECUTE FUNCTION noisy()")  # fmt: skip
        store.tasks.add(task("single"))
        in_transaction(store)
    assert task_ids(url) == {"single", "transaction"}


NOISY = """
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'a warning' USING DETAIL = 'of a trigger'; RAISE NOTICE 'a notice'; RETURN NULL; END $$
"""


# --- an error of COMMIT that does not tell whether the rows are stored ---------------------------

# A coordinator of Citus answers XX000 to the COMMIT of a write if it loses the node that stores the rows.
FAILING_COMMIT = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'failure on connection marked as essential' USING ERRCODE = '{state}'; END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION fail();
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON correlations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION fail()
"""


@pytest.mark.parametrize(
    ("state", "kind"),
    [("XX000", OutcomeUnknown), ("58030", OutcomeUnknown), ("23505", AlreadyExists), ("53100", StorageFull)],
)
def test_an_error_of_commit_without_a_certain_meaning_is_unknown(url: str, state: str, kind: type[StoreError]) -> None:
    with store_at(url) as store:
        execute(url, FAILING_COMMIT.format(state=state))
        for write in (in_transaction, WRITES["copy"]):
            with pytest.raises(StoreError) as caught:
                write(store)
            assert type(caught.value) is kind
        assert store.stats()["in_use"] == 0
    assert task_ids(url) == set()


# --- a cluster whose COPY does not tell why it fails ----------------------------------------------

VAGUE_COPY = """
CREATE FUNCTION vague() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF current_query() ILIKE 'COPY%' AND EXISTS (SELECT 1 FROM tasks WHERE task_id = NEW.task_id) THEN
        RAISE 'duplicate key' USING ERRCODE = 'XX000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vague BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION vague()
"""


@pytest.fixture
def distributed(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store that takes its server for a part of a cluster."""
    with store_at(url):
        pass  # the tables, since a server that is no part of a cluster cannot say where to make them
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(PostgresSession, "distributed", always, raising=False)
    return url


def test_a_copy_that_fails_for_a_reason_is_not_repeated(url: str, distributed: str) -> None:
    with store_at(distributed) as store:
        store.tasks.add_many([task("a"), task("b")])
        execute(url, VAGUE_COPY.replace("XX000", "P0001"))
        with pytest.raises(DatabaseError, match="P0001"):
            store.tasks.add_many([task("c"), task("b")])
    assert task_ids(url) == {"a", "b"}


@pytest.mark.parametrize("inside", [False, True])
def test_a_copy_that_fails_without_a_reason_is_repeated_as_insert(url: str, distributed: str, inside: bool) -> None:
    with store_at(distributed) as store:
        execute(url, VAGUE_COPY)
        store.tasks.add_many([task("a"), task("b")])

        def again(tx: Store | Transaction) -> None:
            with pytest.raises(AlreadyExists, match="a task of one of these ids already exists"):
                tx.tasks.add_many([task("c"), task("b")])

        store.run(again) if inside else again(store)
        store.tasks.add_many([task("d"), task("e")])
    assert task_ids(url) == {"a", "b", "d", "e"}


# --- timeouts of the server -----------------------------------------------------------------------


def test_a_timeout_before_commit_is_a_certain_no(url: str) -> None:
    with store_at(url) as store:
        execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET idle_in_transaction_session_timeout = '100ms'")
        execute(url, KILL)
        with pytest.raises(Unavailable, match="nothing was done"), store.transaction() as tx:
            tx.tasks.add(task("t"))
            wait_for(lambda: execute(url, IDLE_INSIDE) == [(0,)])
    assert task_ids(url) == set()


IDLE_INSIDE = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"


def test_a_connection_that_was_idle_for_too_long_is_replaced(url: str) -> None:
    execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET idle_session_timeout = '100ms'")
    with store_at(url) as store:
        for number in range(3):
            store.tasks.add(task(f"t{number}"))
            time.sleep(0.2)
    assert len(task_ids(url)) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg2.OperationalError, OutcomeUnknown),
        (psycopg2.InternalError, OutcomeUnknown),
        (psycopg2.DatabaseError, OutcomeUnknown),
        (psycopg2.Error, OutcomeUnknown),
        (psycopg2.InterfaceError, Unavailable),
    ],
)
def test_an_error_of_commit_that_is_no_certain_no_is_unknown(error: type[Exception], kind: type[StoreError]) -> None:
    assert type(translate(error("said nothing"), committing=True)) is kind  # type: ignore[arg-type]


def test_notices_of_statements_within_do_not_pile_up(url: str) -> None:
    with store_at(url) as store:
        execute(url, NOISY)
        execute(url, "CREATE TRIGGER noisy AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION noisy()")

        def many(tx: Transaction) -> None:
            for number in range(20):
                tx.tasks.add(task(f"t{number}"))

        store.run(many)
    assert len(task_ids(url)) == 20
