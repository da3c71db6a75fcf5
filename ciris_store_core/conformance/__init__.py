"""Conformance suite: tests that verify a backend against the contract.

A test module that runs the suite on a backend of your own::

    import pytest
    from ciris_store_core.conformance import UrlHarness
    from ciris_store_core.conformance.suite import *

    pytest_plugins = ["ciris_store_core.conformance.plugin"]

    @pytest.fixture
    def harness(tmp_path):
        harness = UrlHarness(f"acme:///{tmp_path}/store")
        yield harness
        harness.cleanup()

Each test needs an empty store of its own, so the fixture returns a new harness for each test.
"""

from ciris_store_core.conformance.harness import Harness, UrlHarness
from ciris_store_core.conformance.levels import Clause, Level, clause

__all__ = ["Clause", "Harness", "Level", "UrlHarness", "clause"]
