"""These tests run on every backend too, with a key unless they say otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ciris_store_core import KeyRing, ManualClock, SecretsConfig, Store
from ciris_store_core.secrets.keys import new_key
from tests.store.conftest import clock, opened, url

__all__ = ["clock", "opened", "url"]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CIRIS_SECRETS_KEY", "CIRIS_SECRETS_KEY_FILE", "CIRIS_DETECT_SECRETS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing(new_key())


@pytest.fixture
def store(opened: Callable[..., Store], keys: KeyRing, clock: ManualClock) -> Store:
    return opened(secrets=SecretsConfig(keys=keys))
