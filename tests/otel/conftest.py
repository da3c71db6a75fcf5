"""These tests run on every backend too."""

from __future__ import annotations

from tests.api.conftest import clock, opened, store, url

__all__ = ["clock", "opened", "store", "url"]
