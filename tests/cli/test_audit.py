from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ciris_store_core import AccessConfig, AccessDenied, GraphNode, SigningKey, approved, open_store
from ciris_store_core.store import Approval
from tests.cli.conftest import Command
from tests.support.tampering import delete, entries_of, past_the_store, rewrite


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with three audit events."""
    made = f"sqlite:///{tmp_path}/agent.db"
    with open_store(made) as store:
        for number in range(3):
            store.audit.append("step", "ada", {"n": number})
    return made


def tampered(url: str) -> None:
    with open_store(url) as store, past_the_store(store) as session:
        rewrite(session, entries_of(session, "default")[2], actor="eve")


def test_verify(command: Command, url: str) -> None:
    assert command("audit", "verify", url) == 8 and "hashes only" in command.out
    assert command("audit", "verify", url, "--json") == 8
    report = json.loads(command.out)
    assert (report["ok"], report["verdict"], report["problems"]) == (False, "hashes only", [])
    assert command("audit", "verify", url, "--unsigned") == 0
    tampered(url)
    assert command("audit", "verify", url) == 1
    assert "CHANGED" in command.out
    assert "changed: chain 'default', entry 2: it is not as it was written" in command.out
    assert command("audit", "verify", url, "--json") == 1
    report = json.loads(command.out)
    assert (report["ok"], report["entries"], report["problems"][0]["sequence"]) == (False, 3, 2)


def test_tail(command: Command, url: str) -> None:
    assert command("audit", "tail", url, "-n", "2") == 0
    assert command.out.count("step") == 2 and "{'n': 2}" in command.out
    assert command("audit", "tail", url, "--json") == 0
    assert [entry["sequence"] for entry in json.loads(command.out)] == [1, 2, 3]


def test_an_export_shows_later_what_was_cut_off(command: Command, url: str, tmp_path: Path) -> None:
    assert command("audit", "export", url) == 0
    lines = [json.loads(line) for line in command.out.splitlines()]
    assert [next(iter(line)) for line in lines] == ["entry"] * 3 + ["checkpoint"]
    assert lines[0]["entry"]["payload"] == {"n": 0}
    kept = tmp_path / "trail.jsonl"
    assert command("audit", "export", url, "-o", str(kept)) == 0
    assert command("audit", "verify", url, "--checkpoint", str(kept)) == 8
    with open_store(url) as store, past_the_store(store) as session:
        session.correlations.delete([entries_of(session, "default")[3].entry_id])
        delete(session, "default", 3)
    assert command("audit", "verify", url) == 8
    assert command("audit", "verify", url, "--checkpoint", str(kept)) == 1
    assert "cut_off" in command.out
    assert command("audit", "verify", url, "--checkpoint", "nothing") != 0 and "cannot be read" in command.err
    pipe = kept.with_name("pipe")
    os.mkfifo(pipe)
    assert command("audit", "verify", url, "--checkpoint", str(pipe)) != 0 and "no regular file" in command.err
    long = kept.with_name("long")
    long.write_bytes(b"{" * 17 * 2**20)
    assert command("audit", "verify", url, "--checkpoint", str(long)) != 0 and "no checkpoint" in command.err
    kept.write_bytes(b"x" * 2**20 + b"\n" + kept.read_bytes())
    assert command("audit", "verify", url, "--checkpoint", str(kept)) == 1
    assert command("audit", "export", url, "-o", str(kept)) != 0 and "File exists" in command.err


def test_signed(command: Command, url: str) -> None:
    key = SigningKey.generate()
    with open_store(url, access=AccessConfig(audit_key=key)) as store:
        store.audit.append("step", "ada")
    assert command("audit", "verify", url) == 8 and "hashes only" in command.out
    assert command("audit", "verify", url, "--public-key", key.public_key) == 1
    assert command("audit", "verify", url, "--public-key", key.public_key, "--unsigned") == 0


def test_cut(command: Command, url: str) -> None:
    assert command("audit", "prune", url, "--before", "2000-01-01T00:00:00Z", "--json") == 0
    assert json.loads(command.out) == {"removed": 0}
    assert command("audit", "prune", url, "--before", "2999-01-01T00:00:00Z") == 2
    assert "lies in the future" in command.err
    now = datetime.now(UTC).isoformat()
    assert command("audit", "prune", url, "--before", now, "--json") == 0
    assert json.loads(command.out) == {"removed": 3}
    assert command("audit", "verify", url, "--unsigned") == 0
    assert command("audit", "prune", url, "--before", "2999-01-01") == 2


def test_authorities(command: Command, url: str, tmp_path: Path) -> None:
    made = []
    for name in ("wanda", "otto"):
        assert command("authority", "new", f"{name}.pem", "--json") == 0
        made.append(json.loads(command.out))
        assert (tmp_path / f"{name}.pem").stat().st_mode & 0o777 == 0o600
    wanda, otto = made
    assert command("authority", "bootstrap", wanda["public_key"], url, "--name", "Wanda") == 0
    assert command("authority", "bootstrap", otto["public_key"], url, "--name", "Otto") == 6
    assert "authorities already" in command.err
    assert command("authority", "register", otto["public_key"], url, "--name", "Otto", "--key", "otto.pem") == 6
    assert "not registered as an authority" in command.err
    assert command("authority", "register", otto["public_key"], url, "--name", "Otto", "--key", "wanda.pem") == 0
    assert command("authority", "revoke", wanda["key_id"], url, "--key", "otto.pem") == 0
    assert command("authority", "list", url, "--json") == 0
    assert sorted((each["name"], each["revoked"]) for each in json.loads(command.out)) == [
        ("Otto", False),
        ("Wanda", True),
    ]
    assert command("authority", "list", url) == 0 and "revoked" in command.out


def test_an_approval_by_command(command: Command, url: str, tmp_path: Path) -> None:
    assert command("authority", "new", "wanda.pem", "--json") == 0
    public = json.loads(command.out)["public_key"]
    node = GraphNode(id="self", type="identity", scope="identity", attributes={"name": "Ada"})
    with open_store(url) as store:
        store.authorities.bootstrap(public, "Wanda")
        with pytest.raises(AccessDenied) as caught:
            store.graph.put(node)
        Path("request.json").write_text(caught.value.request.to_json())
        assert command("authority", "approve", "request.json", "--key", "wanda.pem", "--yes") == 0
        assert '"name": "Ada"' in command.err, "what is signed is shown"
        with approved(Approval.from_json(command.out)):
            assert store.graph.put(node).revision == 1
    assert command("authority", "approve", "none.json", "--key", "wanda.pem", "--yes") != 0
    assert "cannot be read" in command.err
