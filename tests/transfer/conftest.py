"""A store with everything in it, and empty ones of every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import Store, open_store
from ciris_store_core.conformance import factories as make
from ciris_store_core.contract.backend import Session
from ciris_store_core.models import GraphScope, MetricData, TaskContext, ThoughtStatus
from ciris_store_core.models.documents import DocumentWrite, StoredDocument
from ciris_store_core.models.graph import NodeWrite
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import StoredEntry, StreamKey
from ciris_store_core.validation.payloads import bytes_payload, json_payload
from tests.store.conftest import BACKENDS

T0, at = make.T0, make.at


def fill(store: Store, count: int = 20) -> None:
    """Records of all kinds, ``count`` of the frequent ones."""
    odd = {"é": "ü\n\t\\", "n": [1, 1.0, True, None, 1e22, -5], "a.b": {"z": 1, "a": {"y": 2}}}
    with store._backend.session(write=True) as session:
        nodes = [
            make.node(f"n{i}", attributes={**odd, "i": i}, revision=i + 1, updated_at=at(i // 3), expires_at=at(i + 9))
            for i in range(count)
        ]
        nodes += [make.node(f"n{i}", scope=scope, updated_by="me") for scope in GraphScope for i in range(-3, 0)]
        session.graph.put_nodes([NodeWrite(node, "restore") for node in nodes], T0)
        session.graph.put_edges([make.edge(f"n{i}", f"n{i // 2}", weight=0.25) for i in range(count)])
        session.graph.put_edges([make.edge("n-1", "n-2", scope=scope) for scope in GraphScope])
        context = TaskContext(correlation_id="c", metadata={"b": 1, "a": 2})
        session.tasks.add([make.task(f"t{i}", fence=i, context=context, created_at=at(i // 2)) for i in range(count)])
        session.tasks.add([make.task("claimed", claimed_by="w", claimed_at=at(3), claimed_from="default", fence=7)])
        session.thoughts.add([make.thought(f"h{i}", context=None if i % 2 else {}) for i in range(count)])
        session.thoughts.add([make.thought("failed", status=ThoughtStatus.FAILED, retry_count=2, ponder_notes=[])])
        metric = MetricData(metric_name="cpu", metric_value=1.0, labels={"b": "1", "a": "2"})
        session.correlations.add(
            [make.correlation(f"m{i}", metric_data=metric, timestamp=at(i // 4), tags={"k": "v"}) for i in range(count)]
        )
        session.coordination.put_occurrence(make.occurrence(metadata={"host": "h"}))
        session.coordination.add_leases([make.lease("l", fence=12)])
        session.secrets.add([make.secret("s1", ciphertext=b"\x00\xff\n"), make.secret("s2")])
        session.secrets.log_access([make.access("a1"), make.access("a2", granted=False)])
        session.audit.prune(make.anchor(3, "old"))
        session.audit.append([make.entry(i, "old") for i in range(4, 4 + count)])
        session.audit.append([make.entry(1, "new")])
        add_payloads(session, count)


def add_payloads(session: Session, count: int) -> None:
    """Documents, streams and entries with payloads of every format."""
    payloads = [
        json_payload({"b": 1, "a": [1.0, "\0", "\ud800é", 10**40, -0.0, None], "": {}})[0],
        json_payload("x")[0],
        bytes_payload(b"\x00\xff", "image/png"),
        Payload("encrypted", b"\x01" * 60, key_id="k"),
    ]
    documents = [
        StoredDocument(
            ("a", f"b{i % 3}"),
            f"d{i}",
            payloads[i % 4],
            at(i),
            at(i + 1),
            i + 1,
            at(i + 9),
            1.5,
            {"n": i} if i else None,
        )
        for i in range(count)
    ]
    documents.append(StoredDocument(("long" * 500,), "key" * 600, payloads[0], T0, T0))
    session.documents.put([DocumentWrite(each, "restore") for each in documents], T0)
    names = [f"s{i}" for i in range(count)] + ["name" * 500]
    for place, name in enumerate(names):
        given = [
            StoredEntry(payloads[i % 4], at(i), f"e{i}" if i % 2 else None, "k" * (i % 3)) for i in range(place % 5)
        ]
        stream = StreamKey(("é" * 1000, "t"), name)
        session.streams.append(stream, given or [StoredEntry(payloads[1], T0)], at(place), None)
        if place % 5 == 4:
            session.streams.truncate(stream, 3, None, at(9), 100)
        if not given:
            session.streams.pop(stream, at(9))


class Stores:
    """Opens stores of any backend, and closes them all at the end."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._stores: list[Store] = []

    def url(self, kind: str) -> str:
        """Of a new and empty store."""
        name = f"store{len(list(self._folder.iterdir()))}"
        (self._folder / name).mkdir()
        if kind == "sqlite":
            return f"sqlite:///{self._folder}/{name}/x.db?synchronous=normal"
        return f"memory://{name}" if kind == "memory" else BACKENDS[kind](self._request)

    def open(self, url: str, **options: Any) -> Store:
        """The store of a URL."""
        self._stores.append(open_store(url, **options))
        return self._stores[-1]

    def new(self, kind: str) -> Store:
        """A new and empty one."""
        return self.open(self.url(kind))

    def close(self) -> None:
        """All of them."""
        for store in self._stores:
            store.close()


@pytest.fixture
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    folder = tmp_path / "stores"
    folder.mkdir()
    made = Stores(request, folder)
    yield made
    made.close()


@pytest.fixture(params=list(BACKENDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    return str(request.param)


@pytest.fixture
def full(stores: Stores, kind: str) -> Store:
    """A store of each backend, with everything in it."""
    store = stores.new(kind)
    fill(store)
    return store


OnStep = Callable[[Any], None]


def stop_at(number: int) -> OnStep:
    """Interrupts at some step, as Ctrl-C does."""
    seen = 0

    def on_step(step: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise KeyboardInterrupt

    return on_step
