"""These tests run on every backend too."""

from __future__ import annotations

from tests.store.conftest import clock, opened, store, url

__all__ = ["clock", "opened", "store", "url"]
