"""Keys: where they come from, what a wrong one does, and how they change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import Corrupt, GraphNode, InvalidArgument, KeyRing, SecretsConfig, Store, StoreError, open_store
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import SecretKeyError
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.secrets import SecretRecord
from ciris_store_core.secrets.cipher import decrypt, encrypt
from ciris_store_core.secrets.key_files import add_to_key_file
from ciris_store_core.secrets.keys import new_key

SECRET = "Tr0ub4dor&3"


def put(store: Store, id: str = "n", password: str = SECRET) -> GraphNode:
    return store.graph.put(GraphNode(id=id, type="user", scope="local", attributes={"password": password}))


def password_of(store: Store, id: str = "n") -> Any:
    found = store.graph.get(id, "local")
    assert found is not None
    return store.secrets.resolve(found, action="tool", accessor="me").attributes["password"]


def at(url: str, *keys: str, **more: Any) -> Store:
    return open_store(url, secrets=SecretsConfig(keys=KeyRing(keys)) if keys else None, **more)


@pytest.fixture
def url(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    """One store that several handles share; in memory it lives as long as one of them is open."""
    name = f"memory://{abs(hash(request.node.name))}" if url.startswith("memory:") else url
    with open_store(name):
        yield name


# --- the ring ---------------------------------------------------------------------------------------


def test_a_ring_never_shows_its_keys() -> None:
    keys = [new_key(), new_key()]
    ring = KeyRing(keys)
    for shown in (repr(ring), str(ring), repr(SecretsConfig(keys=ring)), str(vars(ring).keys())):
        assert not any(key in shown for key in keys)
    with pytest.raises(TypeError):
        import pickle

        pickle.dumps(ring)


@pytest.mark.parametrize("bad", ["", "short", "é" * 32, "A" * 43, b"x" * 31, "!" * 44, "A" * 88])
def test_what_is_no_key_is_refused_and_not_shown(bad: Any) -> None:
    with pytest.raises(SecretKeyError, match="ciris-store key new") as caught:
        KeyRing([bad])
    assert not bad or str(bad) not in str(caught.value)


def test_text_with_several_keys() -> None:
    first, second, third = new_key(), new_key(), new_key()
    ring = KeyRing.from_text(f"# the keys\n{first} # of May\n\n {second},{third}\n{first}\n")
    assert ring.ids == (*KeyRing(first).ids, *KeyRing(second).ids, *KeyRing(third).ids)
    with pytest.raises(SecretKeyError, match="no key"):
        KeyRing.from_text("# none\n")


def test_where_keys_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    add_to_key_file(tmp_path / "keys", second)
    for config, variables, expected in (
        (SecretsConfig(keys=KeyRing(first)), {"CIRIS_SECRETS_KEY": second}, first),
        (SecretsConfig(keys=lambda: [first, second]), {}, first),
        (SecretsConfig(keys=lambda: KeyRing(second)), {}, second),
        (None, {"CIRIS_SECRETS_KEY": f"{first},{second}"}, first),
        (None, {"CIRIS_SECRETS_KEY_FILE": str(tmp_path / "keys")}, second),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            with open_store("memory://", secrets=config) as store:
                put(store)
                assert store.secrets.check().active_key == KeyRing(expected).active
    monkeypatch.setenv("CIRIS_SECRETS_KEY", first)
    monkeypatch.setenv("CIRIS_SECRETS_KEY_FILE", "x")
    with pytest.raises(SecretKeyError, match="both"):
        open_store("memory://")
    monkeypatch.delenv("CIRIS_SECRETS_KEY_FILE")
    monkeypatch.setenv("CIRIS_SECRETS_KEY", "")
    with pytest.raises(SecretKeyError, match="no key"):
        open_store("memory://")
    monkeypatch.setenv("CIRIS_DETECT_SECRETS", "maybe")
    monkeypatch.delenv("CIRIS_SECRETS_KEY")
    with pytest.raises(InvalidArgument, match="on or off"):
        open_store("memory://")


# --- one secret ---------------------------------------------------------------------------------------


def made(keys: KeyRing, plaintext: str, **fields: Any) -> SecretRecord:
    owner = {"owner": ["task", "t"]}
    bare = {
        "secret_id": uuid7(),
        "description": "x",
        "sensitivity": "high",
        "key_id": "",
        "ciphertext": b"",
        "metadata": owner,
    }
    return encrypt(keys, SecretRecord(**{**bare, **fields}), plaintext)


@pytest.mark.parametrize("plaintext", ["", "x", "é\u0000\U0001f511", "a" * 100_000])
def test_encrypted_values_are_decrypted(keys: KeyRing, plaintext: str) -> None:
    secret = made(keys, plaintext)
    assert decrypt(keys, secret) == plaintext
    # A short text may stand in random bytes by chance.
    assert plaintext.encode() not in secret.ciphertext or len(plaintext) < 2
    assert made(keys, plaintext, secret_id=secret.secret_id).ciphertext != secret.ciphertext


def test_every_flipped_bit_and_every_cut_is_noticed(keys: KeyRing) -> None:
    secret = made(keys, SECRET)
    extracted = secret.ciphertext
    damaged = [
        bytes([*extracted[:i], extracted[i] ^ 1 << bit, *extracted[i + 1 :]])
        for i in range(len(extracted))
        for bit in range(8)
    ]
    damaged += [extracted[:length] for length in range(len(extracted))] + [
        extracted + b"\0",
        b"",
        b"123456789012",
        extracted[1:],
    ]
    for ciphertext in damaged:
        with pytest.raises(Corrupt, match=secret.secret_id):
            decrypt(keys, secret.replaced(ciphertext=ciphertext))


@pytest.mark.parametrize(
    "change",
    [
        {"secret_id": "another"}, {"sensitivity": "low"}, {"metadata": {"owner": ["task", "u"]}}, {"metadata": {}},
        {"metadata": {"owner": ["task", "t"], "json": True}}, {"key_id": "0" * 16},
    ],
)  # fmt: skip
def test_a_ciphertext_is_bound_to_its_row(keys: KeyRing, change: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        decrypt(keys, SecretRecord(**{**made(keys, SECRET).__dict__, **change}))


def test_another_key_opens_nothing(keys: KeyRing) -> None:
    with pytest.raises(SecretKeyError, match=keys.active):
        decrypt(KeyRing(new_key()), made(keys, SECRET))


# --- at a store -----------------------------------------------------------------------------------------


def test_a_wrong_key_is_an_error_at_open_and_loses_nothing(url: str) -> None:
    right, wrong = new_key(), new_key()
    with at(url, right) as store:
        put(store)
        with pytest.raises(SecretKeyError, match="behind the one for new secrets") as caught:
            at(url, wrong)
        assert wrong not in str(caught.value)
        with at(url) as without:
            assert without.graph.get("n", "local").attributes["password"].startswith("{SECRET:")
            with pytest.raises(SecretKeyError, match="ciris-store key new"):
                password_of(without)
            with pytest.raises(InvalidArgument, match="ciris-store key new"):
                put(without, "m")
        with at(url, wrong, right) as both:
            put(both, "m", "an0ther!")
            assert (password_of(both, "m"), password_of(both)) == ("an0ther!", SECRET)
        with pytest.raises(SecretKeyError):
            at(url, right)
        assert password_of(store) == SECRET
        denied = [entry for entry in store.secrets.access_log().items if not entry.granted]
        assert [entry.metadata["denied"] for entry in denied] == ["SecretKeyError"]


def test_rows_that_were_tampered_with_fail_closed(url: str) -> None:
    with at(url, new_key()) as store:
        nodes = [put(store, "a", "an0ther!"), put(store, "b")]
        ids = [node.secret_refs[0] for node in nodes]

        def swap(session: Session) -> None:
            first, second = sorted(session.secrets.get(ids), key=lambda secret: ids.index(secret.secret_id))
            session.secrets.reencrypt(ids[0], first.ciphertext, first.key_id, second.ciphertext)

        store._x.write("test", swap, single=False)
        with pytest.raises(Corrupt, match=ids[0]):
            password_of(store, "a")
        assert password_of(store, "b") == SECRET
        assert store.secrets.check().corrupt == [ids[0]]
        assert [entry.granted for entry in store.secrets.access_log(ids[0]).items] == [False]
        report = store.secrets.rotate()
        assert not report.rotated and report.corrupt == [ids[0]]


def test_rotation(url: str) -> None:
    old, new = new_key(), new_key()
    with at(url, old) as running:
        for number in range(450):
            put(running, f"n{number}", f"pw-{number}")
        put(running, "gone")
        with at(url, new, old) as store:
            seen: list[int] = []
            report = store.secrets.rotate(seen.append)
            assert report.rotated and report.total == report.moved == 451 == seen[-1] and len(seen) > 2
            assert set(report.by_key) == {KeyRing(new).active}
            assert password_of(store, "n449") == "pw-449"
            again = store.secrets.rotate()
            assert again.rotated and again.moved == 0
        with pytest.raises(StoreError, match="was retired by a rotation"):
            put(running, "late")
        assert running.graph.get("late", "local") is None
    with at(url, new) as store:
        assert password_of(store, "n7") == "pw-7"
        put(store, "more")
    with pytest.raises(SecretKeyError):
        at(url, old)
    with at(url, old, new) as store:  # And back.
        assert store.secrets.rotate().rotated
        assert put(store, "back").secret_refs
    with at(url, old) as store:
        assert store.secrets.check().total == 453


def test_a_key_that_is_dropped_before_the_rotation_is_done_is_missed_at_open(url: str) -> None:
    old, new = new_key(), new_key()
    with at(url, old) as store:
        for number in range(250):
            put(store, f"n{number}")
    with at(url, new, old) as store:

        def stop(moved: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.secrets.rotate(stop)
        report = store.secrets.check()
        assert len(report.by_key) == 2 and not report.rotated
        with pytest.raises(SecretKeyError, match=KeyRing(old).active):
            at(url, new)
        assert store.secrets.rotate().moved == 50
    with at(url, new) as store:
        assert store.secrets.check().rotated


def test_rotating_what_holds_no_secret(url: str) -> None:
    with at(url, new_key()) as store:
        report = store.secrets.rotate()
        assert (report.total, report.moved, report.rotated) == (0, 0, True)


# --- killed on the way ------------------------------------------------------------------------------------

ROTATE = """
import sys
from ciris_store_core import open_store
with open_store(sys.argv[1]) as store:
    report = store.secrets.rotate(lambda moved: print(moved, flush=True))
    print("done", report.moved, report.rotated, flush=True)
"""


@pytest.mark.parametrize(
    ("count", "kills"), [(1200, 3), pytest.param(10_000, 10, marks=[pytest.mark.soak])], ids=["quick", "soak"]
)
def test_a_rotation_that_is_killed_goes_on_where_it_was(url: str, count: int, kills: int) -> None:
    if url.startswith("memory:"):
        pytest.skip("a process cannot be killed without its memory")
    old, new = new_key(), new_key()
    with at(url, old) as store:
        for start in range(0, count, 500):
            store.graph.put_many(
                GraphNode(id=f"n{n}", type="user", scope="local", attributes={"password": f"pw-{n}"})
                for n in range(start, min(start + 500, count))
            )
    moved = [_rotate_and_kill(url, new, old, after=max(1, count // 200 // (kills + 2))) for _ in range(kills)]
    done = _rotating(url, new, old).communicate(timeout=100)[0].split()
    print(f"\n{url.partition(':')[0]}: {count} secrets; moved before each kill: {moved}; the last run: {done[-2:]}")
    assert done[-1] == "True" and all(moved)
    with at(url, new) as store:
        report = store.secrets.check()
        assert (report.total, report.corrupt, dict(report.by_key)) == (count, [], {KeyRing(new).active: count})
        assert password_of(store, "n7") == "pw-7"
    with pytest.raises(SecretKeyError):
        at(url, old)
    with at(url, new) as store:  # None of the rows opens under the old key, whatever it says of itself.
        ring, old_id = KeyRing(old), KeyRing(old).active
        for secret in store._x.read("test", _all_secrets, single=False):
            assert secret.key_id != old_id
            with pytest.raises(StoreError):
                decrypt(ring, secret)


def _all_secrets(session: Session) -> list[SecretRecord]:
    from ciris_store_core.models.paging import PageRequest

    found, page = [], PageRequest(1000)
    while True:
        slice_ = session.secrets.find(page, None)
        found += slice_.items
        if slice_.next_after is None:
            return found
        page = PageRequest(1000, slice_.next_after)


def _rotating(url: str, new: str, old: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "CIRIS_SECRETS_KEY": f"{new},{old}"}
    return subprocess.Popen([sys.executable, "-c", ROTATE, url], env=variables, stdout=subprocess.PIPE, text=True)


def _rotate_and_kill(url: str, new: str, old: str, after: int) -> int:
    """Kill a rotation once it has said so often how far it is; returns how far that was."""
    process = _rotating(url, new, old)
    assert process.stdout is not None
    moved = 0
    for _ in range(after):
        moved = int(process.stdout.readline())
    time.sleep(0.001 * (moved % 7))  # Not always at the same place between two batches.
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return moved


# --- the command ------------------------------------------------------------------------------------------


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ciris_store_core.cli", "key", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CIRIS_")}
    return subprocess.run(command, env={**clean, **variables}, capture_output=True, text=True, timeout=60)


def test_the_commands(tmp_path: Path) -> None:
    printed = run("new")
    key = printed.stdout.strip()
    assert KeyRing(key).active in printed.stderr and key not in printed.stderr
    url, file = f"sqlite:///{tmp_path}/s.db", tmp_path / "keys"
    with at(url, key) as store:
        put(store)
    found = json.loads(run("check", url, "--json", CIRIS_SECRETS_KEY=key).stdout)
    assert found == {
        "active_key": KeyRing(key).active,
        "secrets": 1,
        "by_key": {KeyRing(key).active: 1},
        "corrupt": [],
    }
    file.write_text(key)
    file.chmod(0o600)
    made = run("new", "--file", str(file))
    assert made.returncode == 0 and not made.stdout
    wrong = run("check", url, CIRIS_SECRETS_KEY=new_key())
    assert wrong.returncode == 1 and "Give that key too" in wrong.stderr and "Traceback" not in wrong.stderr
    done = run("rotate", url, "--json", CIRIS_SECRETS_KEY_FILE=str(file))
    assert done.returncode == 0 and json.loads(done.stdout)["rotated"] is True
    shown = run("check", url, CIRIS_SECRETS_KEY_FILE=str(file))
    assert shown.returncode == 0 and "secrets" in shown.stdout and SECRET not in shown.stdout
    assert run("check", url).returncode == 1
