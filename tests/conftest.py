"""Fixtures for the tests of every folder."""

from __future__ import annotations

import signal

import pytest

from tests.support.pgserver import ExternalServer, shared_server

pytest_plugins = ["pytester"]

# A shell that runs tests in the background has them ignore it, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> ExternalServer:
    """The PostgreSQL server of this test run, started when a test first asks for it."""
    return shared_server()
