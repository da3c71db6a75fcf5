"""These tests run on every backend too."""

from __future__ import annotations

from ciris_store_core.models import Thought
from ciris_store_core.store import Store
from tests.store.conftest import clock, opened, store, url

__all__ = ["add_orphans", "clock", "opened", "store", "url"]


def add_orphans(store: Store, *thoughts: Thought) -> None:
    """Store thoughts whose task does not exist, as older programs and copies leave them."""
    now = store.clock.now()
    dated = [thought.replaced(created_at=now, updated_at=now) for thought in thoughts]
    store._x.write("test", lambda session: session.thoughts.add(dated))
