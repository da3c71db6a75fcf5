"""A run with 100 secrets, after which none is found in clear: not in files, logs, errors or what is shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ciris_store_core import (
    Correlation,
    KeyRing,
    SecretsConfig,
    Store,
    StoreError,
    Task,
    Thought,
    open_store,
)
from ciris_store_core.secrets.keys import new_key
from tests.secrets.corpus import TOKENS, Maker
from tests.support.factories import concept
from tests.support.pgserver import PostgresServer

#: Everything that a session does is logged, with the values that it binds.
TALKATIVE = """
log_statement = 'all'
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
"""


class Planted:
    """100 secrets, and all that was shown to anybody meanwhile."""

    def __init__(self) -> None:
        make, kinds = Maker(7), list(TOKENS.values())
        self.secrets = [kinds[n % len(kinds)](make) for n in range(100)]
        self.shown: list[str] = []

    def pieces(self) -> list[str]:
        """Texts that must not be found: whole secrets, and each line of those that have several."""
        return [
            line for secret in self.secrets for line in secret.split("\n") if len(line) > 8 and "PRIVATE" not in line
        ]

    def refused(self, call: Callable[[], object]) -> None:
        with pytest.raises(StoreError) as caught:
            call()
        # Return the text of the exception in a log, causes and notes included.
        self.shown.append("".join(traceback.format_exception(caught.value)))

    def found_in(self, *texts: str) -> list[str]:
        return [piece for piece in self.pieces() if any(piece in text for text in texts)]


def write_them(store: Store, plant: Planted) -> None:
    """All hundred, twenty to each kind of record; then everything changes once and a part of it goes."""
    for n, secret in enumerate(plant.secrets[:40]):
        store.graph.put(concept(f"n{n}", note=f"it was {secret} then", deep=[{"x": secret}]))
        store.graph.put(concept(f"n{n}", more=f"and {secret} again", api_key=secret))
    for n, secret in enumerate(plant.secrets[40:60]):
        store.tasks.add(Task(task_id=f"t{n}", channel_id="c", description=secret))
        store.tasks.update(f"t{n}", description=f"use {secret}", metadata={"why": secret})
    for n, secret in enumerate(plant.secrets[60:80]):
        store.thoughts.add(Thought(thought_id=f"th{n}", source_task_id="t1", content=secret, context={"seen": secret}))
    for n, secret in enumerate(plant.secrets[80:]):
        names = {"correlation_id": f"c{n}", "service_type": "s", "handler_name": "h", "action_type": "a"}
        store.correlations.add(Correlation(**names, log_level="INFO", log_message=f"got {secret}", tags={"t": secret}))
        store.audit.append("seen", "me", {"text": secret})
    store.graph.delete_many([(f"n{n}", "local") for n in range(10)])
    store.tasks.delete_many(f"t{n}" for n in range(5))


def go_wrong(store: Store, plant: Planted, url: str) -> None:
    """Make the store refuse, in every way there is, records that hold secrets."""
    secret, other = plant.secrets[50], plant.secrets[51]
    plant.refused(lambda: store.tasks.add(Task(task_id="t9", channel_id="c", description=secret)))
    plant.refused(lambda: store.tasks.add(Task(task_id="t9", channel_id="c", description=other), exist_ok=True))
    plant.refused(lambda: store.graph.put(concept("n20", note=secret), insert=True))
    plant.refused(lambda: store.graph.put(concept("n20", note=secret), expected_revision=99))
    plant.refused(lambda: store.graph.put(concept("n", note=f"{secret}\0")))
    plant.refused(lambda: store.graph.put(concept("n", **{f"see {secret}": object()})))
    plant.refused(lambda: store.graph.put(concept("n", inner=[{f"see {secret}": {1: 2}}])))
    plant.refused(lambda: Task(task_id="t", channel_id="c", description=[secret]))
    plant.refused(lambda: Task(task_id="t", channel_id="c", description="x", password=secret))
    plant.refused(lambda: store.tasks.update("t9", description=[secret]))
    plant.refused(lambda: Task.from_json('{"task_id": "t", "description": ["' + secret[:60].replace("\n", " ") + '"]}'))
    with open_store(url) as without:
        plant.refused(lambda: without.graph.put(concept("n", note=secret)))
        plant.refused(lambda: without.graph.put(concept("n", **{f"see {secret}": 1})))
        found = store.graph.get("n20", "local")
        plant.refused(lambda: without.secrets.resolve(found, action="tool", accessor="me"))
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.graph.put(concept("n20", note=secret))
        _ = 1 / 0


def show(store: Store, plant: Planted) -> None:
    """Texts that people and programs look at."""
    plant.shown += [repr(store), str(store.info()), str(store.stats()), str(store.secrets.check())]
    plant.shown += [str(store.secrets.find(limit=1000).items), str(store.secrets.access_log(limit=1000).items)]
    plant.shown += [str(store.graph.find().items), str([*store.tasks.scan()]), str([*store.correlations.scan()])]


def run(url: str, plant: Planted, records: pytest.LogCaptureFixture, look: Callable[[], list[str]]) -> None:
    records.set_level(logging.DEBUG)
    key = new_key()
    with open_store(url, secrets=SecretsConfig(keys=KeyRing(key))) as store:
        write_them(store, plant)
        go_wrong(store, plant, url)
        show(store, plant)
        searched = look()  # While it is open: a log that is written ahead is still there.
        assert url.startswith("postgresql:") or any(Path(url.removeprefix("sqlite:///")).parent.glob("*.db-wal"))
        assert sum(text.count("{SECRET:") for text in searched) > 100, "the search does not see what is stored"
        assert plant.found_in(*searched, *plant.shown, records.text) == []
        assert not any(key in text for text in (*searched, *plant.shown, records.text))
        known = store.graph.get("n20", "local")
        assert known is not None
        resolved = store.secrets.resolve(known, action="tool", accessor="me").attributes
        assert plant.secrets[20] in str(resolved)
    assert plant.found_in(*look(), records.text) == []
    size, texts = sum(map(len, searched)), len(plant.shown)
    print(f"\n{url.partition(':')[0]}: 100 secrets looked for in {size:,} bytes and {texts} texts: none found")


def files_of(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        if file.is_file():
            yield file.read_bytes().decode("latin-1")


def test_sqlite(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(f"sqlite:///{tmp_path}/store.db", Planted(), caplog, lambda: list(files_of(tmp_path)))


@pytest.mark.postgres
def test_postgres(caplog: pytest.LogCaptureFixture) -> None:
    with PostgresServer(fast=True, settings=TALKATIVE) as server:

        def look() -> list[str]:
            server.execute("CHECKPOINT")
            return list(files_of(server.folder))

        url = server.create_database()
        run(url, Planted(), caplog, look)
        assert "INSERT INTO" in server.log(), "the server does not log what it is told"


def test_the_search_finds_what_was_stored_in_clear(tmp_path: Path) -> None:
    plant = Planted()
    with open_store(f"sqlite:///{tmp_path}/store.db", secrets=False) as store:
        write_them(store, plant)
        assert len(plant.found_in(*files_of(tmp_path))) > 95
