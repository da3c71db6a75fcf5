"""These tests run on every backend too."""

from __future__ import annotations

from tests.aio.support import within
from tests.store.conftest import clock, url

__all__ = ["clock", "url", "within"]
