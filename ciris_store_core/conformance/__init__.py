"""The conformance suite: what shows that a backend keeps the contract.

A module of tests that runs it against a database of one's own::

    import pytest
    from ciris_store_core.conformance import UrlHarness
    from ciris_store_core.conformance.suite import *

    pytest_plugins = ["ciris_store_core.conformance.plugin"]

    @pytest.fixture
    def harness(tmp_path):
        harness = UrlHarness(f"acme:///{tmp_path}/store")
        yield harness
        harness.cleanup()

Each test needs an empty store of its own, so the fixture makes a harness for each.
"""

from ciris_store_core.conformance.harness import Harness, UrlHarness
from ciris_store_core.conformance.levels import Clause, Level, clause

__all__ = ["Clause", "Harness", "Level", "UrlHarness", "clause"]
