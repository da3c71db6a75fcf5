"""Secrets: listing, arguments, detection switched off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ciris_store_core import (
    InvalidArgument,
    KeyRing,
    SecretPattern,
    Store,
)
from ciris_store_core.errors import SecretKeyError, TransactionError
from ciris_store_core.models import Sensitivity
from tests.secrets.test_use import KEY
from tests.support.factories import concept


def test_what_is_known_of_secrets_is_listed_without_values(store: Store, keys: KeyRing) -> None:
    store.graph.put_many(concept(f"n{number}", key=KEY) for number in range(5))
    first = store.secrets.find(limit=3)
    rest = store.secrets.find(limit=3, cursor=first.next_cursor)
    found = [*first.items, *rest.items]
    assert len(found) == 5 and rest.next_cursor is None
    assert found[0] == store.secrets.get(found[0].secret_id)
    assert {(each.description, each.sensitivity, each.key_id) for each in found} == {
        ("stripe key", Sensitivity.HIGH, keys.active)
    }
    assert sorted(each.owner[-1] for each in found) == [f"n{number}" for number in range(5)]
    assert KEY not in str(found)


def test_revealing_is_refused_where_the_log_could_be_rolled_back(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY))
    with store.transaction() as tx:
        with pytest.raises(TransactionError, match="outside"):
            tx.secrets.resolve(stored, action="tool", accessor="me")
        with pytest.raises(TransactionError):
            tx.secrets.disclose(stored.secret_refs[0], accessor="me", reason="x")
        assert tx.secrets.delete_many(stored.secret_refs) == 1


def test_bad_arguments(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY))
    with pytest.raises(InvalidArgument, match="speak, tool, memorize"):
        store.secrets.resolve(stored, action="shout", accessor="me")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="accessor"):
        store.secrets.resolve(stored, action="tool", accessor="")
    with pytest.raises(InvalidArgument, match="Resolve the records"):
        store.secrets.resolve(store.occurrences, action="tool", accessor="me")  # type: ignore[type-var]


def test_with_detection_off_texts_are_stored_as_they_are(opened: Callable[..., Store]) -> None:
    store = opened(secrets=False)
    assert store.graph.put(concept("ada", key=KEY)).attributes == {"key": KEY}
    with pytest.raises(SecretKeyError, match="ciris-store key new"):
        store.secrets.check()


@pytest.mark.parametrize(("said", "stored"), [("off", True), ("FALSE", True), ("on", False), ("1", False)])
def test_the_variable_switches_detection(
    opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, said: str, stored: bool
) -> None:
    monkeypatch.setenv("CIRIS_DETECT_SECRETS", said)
    store = opened()
    if stored:
        assert store.graph.put(concept("ada", key=KEY)).attributes == {"key": KEY}
    else:
        with pytest.raises(InvalidArgument, match=r"GraphNode\.attributes\.'key'.*stripe key"):
            store.graph.put(concept("ada", key=KEY))


def test_the_access_log_page_by_page(store: Store) -> None:
    store.graph.put_many([concept(name, key=f"{KEY}{name}") for name in "abc"], merge=False)
    ids = [secret.secret_id for secret in store.secrets.find().items]
    for accessor in ("one", "two"):
        for key in ids:
            store.secrets.disclose(key, accessor=accessor, reason="asked")
    for secret_id in (None, ids[1]):
        whole = store.secrets.access_log(secret_id)
        assert len(whole.items) == (6 if secret_id is None else 2) and whole.next_cursor is None
        found, cursor = [], None
        while page := store.secrets.access_log(secret_id, limit=1, cursor=cursor):
            found += page.items
            assert len(page.items) == 1
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == whole.items
        assert [entry.at for entry in found] == sorted(entry.at for entry in found)
    page = store.secrets.access_log(limit=4)
    assert len(page.items) == 4 and len(store.secrets.access_log(limit=4, cursor=page.next_cursor).items) == 2
    with pytest.raises(InvalidArgument):
        store.secrets.access_log(cursor=store.secrets.find(limit=1).next_cursor)


@pytest.mark.parametrize("given", ["critical", "CRITICAL", Sensitivity.CRITICAL])
def test_a_sensitivity_may_be_text(given: str) -> None:
    pattern = SecretPattern("employee_id", "E-[0-9]{6}", given)  # type: ignore[arg-type]
    assert pattern.sensitivity is Sensitivity.CRITICAL
    with pytest.raises(InvalidArgument, match="critical"):
        SecretPattern("employee_id", "E-[0-9]{6}", "very")  # type: ignore[arg-type]
