"""Other processes: what they are told to do, what they raise, how they end; and that the crash tests notice a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance import UrlHarness
from ciris_store_core.conformance.factories import T0, task
from ciris_store_core.conformance.peers import POOL, Peer, PeerDied, open_peer, together
from ciris_store_core.conformance.scripts import write_all
from ciris_store_core.conformance.suite.crashes import reopened
from ciris_store_core.conformance.support import writing
from ciris_store_core.errors import InvalidURL, StaleFence, UnknownScheme


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture
def peer(url: str) -> Iterator[Peer]:
    opened = open_peer(url)
    yield opened
    POOL.release(opened)


def test_a_script_answers(peer: Peer) -> None:
    assert peer.call("add_tasks", ids=["b", "a"]) is None
    assert peer.call("task_ids") == ["a", "b"]


def test_what_a_script_raises_arrives_with_its_type(peer: Peer) -> None:
    peer.call("add_tasks", ids=["t"])
    fence = peer.call("claim_one", me="w")
    with pytest.raises(StaleFence):
        peer.call("finish", id="t", fence=fence + 1)
    assert peer.call("finish", id="t", fence=fence) is True


@pytest.mark.parametrize(
    ("url", "error"), [("nonsense://x", UnknownScheme), ("sqlite:///no/such/folder/x", InvalidURL)]
)
def test_what_cannot_be_opened(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_peer(url)


def test_processes_begin_together(url: str) -> None:
    peers = [open_peer(url), open_peer(url)]
    together(peers, "add_tasks", [{"ids": ["a"]}, {"ids": ["b"]}])
    assert peers[0].call("task_ids") == ["a", "b"]
    for each in peers:
        POOL.release(each)


def test_a_process_that_was_killed_is_noticed(peer: Peer) -> None:
    peer.start("stop_before_commit")
    peer.until("stopped")
    peer.kill()
    with pytest.raises(PeerDied, match="ended"):
        peer.result()
    assert not peer.idle


def test_a_process_is_used_again_only_when_it_is_idle(url: str) -> None:
    first = open_peer(url)
    POOL.release(first)
    second = open_peer(url)
    assert second is first
    second.start("stop_before_commit")
    POOL.release(second)
    third = open_peer(url)
    assert third is not second
    POOL.release(third)


def test_a_backend_that_is_not_installed(url: str) -> None:
    peer = open_peer(url, factory="ciris_store_sqlite.plugin:open_backend")
    assert peer.call("task_ids") == []
    POOL.release(peer)


def test_half_a_transaction_is_noticed(url: str) -> None:
    harness = UrlHarness(url)
    with closing(harness.open(ManualClock(T0))) as backend, writing(backend) as session:
        write_all(session, 0)
        session.tasks.add([task("t1")])
    with pytest.raises(AssertionError, match="half a transaction"):
        reopened(harness, ManualClock(T0))
