from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import ciris_store_core
from ciris_store_core import (
    CONTRACT_VERSION,
    Capability,
    Conflict,
    InvalidArgument,
    ManualClock,
    RetryPolicy,
    Store,
    Task,
    Unavailable,
    open_store,
)
from ciris_store_core.clock import SystemClock
from ciris_store_core.errors import MigrationRequired, StoreClosed, TransactionError, UnknownScheme
from ciris_store_core.store.context import ServerTime
from tests.support.factories import task

# --- opening and closing ------------------------------------------------------------------------


def test_a_store_shows_what_it_is(store: Store) -> None:
    assert repr(store).startswith("Store('")
    info = store.info()
    assert info["contract_version"] == CONTRACT_VERSION and info["backend"]
    assert info["capabilities"] == sorted(map(str, store.capabilities))
    assert isinstance(store.stats(), dict)


def test_a_closed_store_refuses_every_call(opened: Callable[..., Store]) -> None:
    with opened() as store:
        store.tasks.add(task())
    store.close()
    for call in (lambda: store.tasks.get("t"), lambda: store.tasks.add(task("u")), store.info):
        with pytest.raises(StoreClosed):
            call()
    with pytest.raises(StoreClosed), store.transaction():
        pass


def test_the_password_is_never_shown() -> None:
    with pytest.raises(UnknownScheme) as caught:
        open_store("nosuchdb://me:hunter2@host/db")
    frame = caught.tb
    while frame is not None:
        shown = repr(
            {
                name: value
                for name, value in frame.tb_frame.f_locals.items()
                if "ciris_store" in frame.tb_frame.f_code.co_filename
            }
        )
        assert "hunter2" not in shown
        frame = frame.tb_next  # type: ignore[assignment]
    assert "hunter2" not in str(caught.value)


def test_a_new_database_is_not_made_where_that_was_not_allowed() -> None:
    with pytest.raises(MigrationRequired):
        open_store("memory://", create=False)


@pytest.mark.parametrize("options", [{"occurrence_id": "__shared__"}, {"occurrence_id": ""}, {"text_errors": "drop"}])
def test_bad_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        open_store("memory://", **options)


def test_bad_text_is_replaced_where_asked_for(opened: Callable[..., Store]) -> None:
    store = opened(text_errors="replace")
    store.tasks.add(Task(task_id="a\0b", channel_id="c", description="\ud800"))
    found = store.tasks.get("a\0b")
    assert found is not None and (found.task_id, found.description) == ("a\ufffdb", "\ufffd")


def test_the_stores_own_occurrence_is_the_default_owner(opened: Callable[..., Store]) -> None:
    store = opened(occurrence_id="occurrence_1")
    assert store.tasks.add(task()).agent_occurrence_id == "occurrence_1"
    assert store.tasks.get("t") is not None
    assert store.tasks.get("t", occurrence_id="default") is None


def test_importing_the_package_is_light_and_every_name_loads() -> None:
    code = (
        "import sys, ciris_store_core; print([m for m in ('pydantic', 'pluggy', 'pytest', 'rich') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    unwanted = "[m for m in ('pytest', 'rich', 'typer', 'psycopg2', 'sqlite3') if m in sys.modules]"
    code = f"import sys\nfrom ciris_store_core import *\nopen_store('memory://').close()\nprint({unwanted})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert all(hasattr(ciris_store_core, name) for name in ciris_store_core.__all__)
    assert set(ciris_store_core.__all__) <= set(dir(ciris_store_core))
    with pytest.raises(AttributeError):
        ciris_store_core.nonsense  # noqa: B018


# --- transactions -------------------------------------------------------------------------------


def test_a_transaction_commits_on_success(store: Store) -> None:
    with store.transaction() as tx:
        tx.tasks.add(task())
        assert tx.tasks.get("t") is not None
    assert store.tasks.get("t") is not None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_transaction_rolls_back_on_any_exception(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.transaction() as tx:
        tx.tasks.add(task())
        raise error
    assert store.tasks.get("t") is None
    with store.transaction() as tx:
        tx.tasks.add(task())


def test_a_savepoint_is_undone_alone(store: Store) -> None:
    if Capability.SAVEPOINTS not in store.capabilities:
        pytest.skip("no savepoints")
    with store.transaction() as tx:
        tx.tasks.add(task("kept"))
        with pytest.raises(ValueError), tx.savepoint():
            tx.tasks.add(task("undone"))
            raise ValueError
    assert store.tasks.get("kept") is not None and store.tasks.get("undone") is None


def test_compound_work_in_a_transaction_is_undone_alone(store: Store) -> None:
    if Capability.SAVEPOINTS not in store.capabilities:
        pytest.skip("no savepoints")
    store.tasks.add(Task(task_id="b", channel_id="c", description="other"))
    with store.transaction() as tx:
        with pytest.raises(Conflict, match="description"):
            tx.tasks.add_many([task("a"), task("b")], exist_ok=True)
        tx.tasks.add(task("z"))
    assert set(store.tasks.get_many(["a", "b", "z"])) == {"b", "z"}


def test_the_stores_own_methods_are_refused_inside_a_transaction(store: Store) -> None:
    with store.transaction() as tx:
        for call in (
            lambda: store.tasks.get("t"),
            lambda: store.tasks.add(task()),
            lambda: store.transaction().__enter__(),
        ):
            with pytest.raises(TransactionError, match="Use the transaction's handle"):
                call()
        tx.tasks.add(task())
    assert store.tasks.get("t") is not None


def in_thread(call: Callable[[], object]) -> object:
    result: list[object] = []

    def run() -> None:
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return result[0]


def test_a_transaction_belongs_to_its_thread_and_ends_with_its_block(store: Store) -> None:
    with store.transaction() as tx:
        assert isinstance(in_thread(lambda: tx.tasks.get("t")), TransactionError)
        assert in_thread(lambda: store.tasks.get("t")) is None  # another thread may use the store meanwhile
    for call in (lambda: tx.tasks.get("t"), lambda: tx.tasks.add(task()), lambda: tx.savepoint().__enter__()):
        with pytest.raises(TransactionError, match="over"):
            call()


def test_a_shared_transaction_takes_calls_of_every_thread_and_commits_them_together(store: Store) -> None:
    with store.transaction(shared=True) as tx:
        in_thread(lambda: tx.tasks.add(task("a")))
        threads = [threading.Thread(target=lambda n=n: tx.tasks.add(task(f"t{n}"))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert tx.tasks.count() == 9 and in_thread(tx.tasks.count) == 9
        assert in_thread(store.tasks.count) == 0
    assert store.tasks.count() == 9


def test_a_shared_transaction_rolls_the_calls_of_every_thread_back(store: Store) -> None:
    with pytest.raises(ValueError), store.transaction(shared=True) as tx:
        in_thread(lambda: tx.tasks.add(task()))
        assert tx.tasks.get("t") is not None
        raise ValueError
    assert store.tasks.get("t") is None


def test_a_shared_transaction_undoes_a_failed_call_of_another_thread_alone(store: Store) -> None:
    if Capability.SAVEPOINTS not in store.capabilities:
        pytest.skip("no savepoints")
    store.tasks.add(Task(task_id="b", channel_id="c", description="other"))
    with store.transaction(shared=True) as tx:
        failed = in_thread(lambda: tx.tasks.add_many([task("a"), task("b")], exist_ok=True))
        assert isinstance(failed, Conflict)
        in_thread(lambda: tx.tasks.add(task("z")))
    assert set(store.tasks.get_many(["a", "b", "z"])) == {"b", "z"}


def test_a_shared_transaction_ends_with_its_block_in_every_thread(store: Store) -> None:
    with store.transaction(shared=True) as tx:
        assert in_thread(lambda: tx.tasks.get("t")) is None
        with pytest.raises(TransactionError, match="Use the transaction's handle"):
            store.tasks.get("t")
    for result in (in_thread(lambda: tx.tasks.get("t")), in_thread(lambda: tx.tasks.add(task()))):
        assert isinstance(result, TransactionError) and "over" in str(result)


# --- retries ------------------------------------------------------------------------------------


class Waits:
    def __init__(self) -> None:
        self.waited: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def monotonic(self) -> float:
        return sum(self.waited)

    def policy(self, **options: float) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, monotonic=self.monotonic, **options)  # type: ignore[arg-type]


def test_run_repeats_the_whole_transaction_after_retryable_errors(opened: Callable[..., Store]) -> None:
    waits, seen = Waits(), []
    store = opened(retry=waits.policy())

    def work(tx: ciris_store_core.Transaction, name: str) -> str:
        seen.append(tx.tasks.get(name))
        tx.tasks.add(task(name))
        if len(seen) < 3:
            raise Unavailable("busy")
        return name

    assert store.run(work, "t") == "t"
    assert seen == [None, None, None] and store.tasks.count() == 1
    assert len(waits.waited) == 2 and 0.01 <= waits.waited[0] <= 0.02 and 0.02 <= waits.waited[1] <= 0.04


def test_run_gives_up_after_the_attempts_and_within_the_budget(opened: Callable[..., Store]) -> None:
    waits, runs = Waits(), []
    store = opened(retry=waits.policy(attempts=4))

    def work(tx: ciris_store_core.Transaction) -> None:
        runs.append(1)
        raise Unavailable("busy")

    with pytest.raises(Unavailable):
        store.run(work)
    assert len(runs) == 4
    slow = Waits()
    with pytest.raises(Unavailable):
        slow.policy(attempts=1000, first_delay=1.0, longest_delay=1.0).again(lambda: work(None), Unavailable("x"))  # type: ignore[arg-type]
    assert 9 <= sum(slow.waited) <= 10


def test_run_does_not_repeat_other_errors(opened: Callable[..., Store]) -> None:
    store, runs = opened(retry=Waits().policy()), []

    def work(tx: ciris_store_core.Transaction) -> None:
        runs.append(1)
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.run(work)
    assert len(runs) == 1


def test_single_calls_are_repeated_too(opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits()
    store = opened(retry=waits.policy())
    original, failures = store._backend.session, [Unavailable("busy"), Unavailable("busy")]

    def session(**options: bool) -> object:
        if failures:
            raise failures.pop()
        return original(**options)

    monkeypatch.setattr(store._backend, "session", session)
    store.tasks.add(task())
    assert store.tasks.get("t") is not None and len(waits.waited) == 2


def test_a_policy_that_never_runs_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        RetryPolicy(attempts=0)


# --- time ---------------------------------------------------------------------------------------


def test_records_get_the_clocks_time_and_the_server_its_own(opened: Callable[..., Store]) -> None:
    clock, server = ManualClock(), ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    store = opened(clock=clock, server_clock=server)
    assert store.clock is clock and store.server_now() == server.now()
    assert store.tasks.add(task()).created_at == clock.now()
    assert store.occurrences.register("o").started_at == server.now()


def test_the_servers_time_is_asked_once_in_ten_seconds() -> None:
    now, asked = [100.0], []
    start = datetime(2025, 1, 1, tzinfo=UTC)

    def ask() -> datetime:
        asked.append(1)
        return start + timedelta(seconds=now[0] - 100)

    time = ServerTime(ask, SystemClock(), lambda: now[0])
    assert time.now() == start
    now[0] += 9
    assert time.now() == start + timedelta(seconds=9) and len(asked) == 1
    now[0] += 1
    assert time.now() == start + timedelta(seconds=10) and len(asked) == 2


def test_an_injected_clock_is_asked_every_time() -> None:
    clock = ManualClock()
    time = ServerTime(clock.now, clock)
    assert time.now() == clock.now()
    clock.advance(hours=1)
    assert time.now() == clock.now()
