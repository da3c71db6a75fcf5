"""Runner of the suite on the store of a URL, without code of the caller."""

from __future__ import annotations

import io
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ciris_store_core import __version__
from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import SystemClock
from ciris_store_core.conformance.catalogue import Selection
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.recorder import Progress, Recorder
from ciris_store_core.conformance.results import BackendInfo, Report
from ciris_store_core.conformance.targets import CannotEmpty, Target, target_for
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidArgument, Unavailable

MODULE = """
import pytest
from ciris_store_core.conformance.suite import *

pytest_plugins = ["ciris_store_core.conformance.plugin"]

@pytest.fixture
def harness(harness_of_the_run):
    return harness_of_the_run
"""

ARGUMENTS = ("-p", "no:cacheprovider", "--import-mode=importlib", "--tb=short", "--capture=sys")

ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
"""Settings that keep the caller's own pytest plugins and options out of the run."""

LAST = frozenset(
    {
        "audit", "backends", "changes", "columns", "coordination", "costs", "crashes", "deadlocks", "deletes", "files",
        "injected", "interleaved_records", "interleavings", "lifecycle", "payload_interleavings", "processes",
        "records", "secrets", "transactions",
    }
)  # fmt: skip
"""Modules that leave leases, audit entries or entries of the access log, which the contract cannot delete.

A store that all tests share may not be usable after them, so that they run last.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run."""

    selection: Selection = field(default_factory=Selection)
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Clauses whose absence is accepted, each with the reason."""
    progress: Callable[[Progress], None] | None = None


class _Fixtures:
    """Pytest plugin that provides the harness of each test."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        """Move the tests of the modules ``LAST`` to the end."""
        items.sort(key=lambda item: item.function.__module__.rpartition(".")[2] in LAST)

    @pytest.fixture
    def harness_of_the_run(self) -> Iterator[Harness]:
        """Yield a harness over an empty store."""
        try:
            made = self._target.harness()
        except CannotEmpty as reason:
            pytest.skip(str(reason))
        yield made
        made.cleanup()


def run(url: str | None, options: Options | None = None, registry: Registry | None = None) -> Report:
    """Run the suite on an empty store and return the report.

    Args:
        url: URL of the store, as the module ``targets`` describes; by default that of ``CIRIS_DB_URL``.
        options: The selection; by default all tests.
        registry: Registry to look the backend up in; by default that of the installed plugins. Tests with several
            processes do not run with a registry, since other processes cannot see it.

    Raises:
        InvalidArgument: The store contains records, or a waiver names an unknown clause.
        StoreError: The store cannot be opened.
    """
    options = options or Options()
    started, clock = datetime.now(UTC), time.perf_counter()
    recorder = Recorder(options.selection, options.waivers, options.progress)
    with target_for(url, registry) as target:
        backend, capabilities = _describe(target)
        problem = _run_pytest(target, recorder)
    return Report(
        backend=backend,
        capabilities=capabilities,
        clauses=tuple(recorder.results(capabilities)),
        contract_version=CONTRACT_VERSION,
        suite_version=__version__,
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        started_at=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 2),
        selection=str(options.selection),
        waivers=dict(options.waivers),
        problem=problem,
    )


def _describe(target: Target) -> tuple[BackendInfo, tuple[Capability, ...]]:
    """Return the backend's description of itself and its declared capabilities."""
    try:
        harness = target.harness()
    except CannotEmpty as reason:
        raise Unavailable(str(reason)) from reason
    try:
        with closing(harness.open(SystemClock())) as opened:
            name, info = opened.name, dict(opened.info())
        declared = harness.capabilities
    finally:
        harness.cleanup()
    found = {plugin.distribution: plugin.version for plugin in Registry().installed()}
    distribution = target.spec.distribution
    version = found.get(distribution, "")
    backend = BackendInfo(name, target.url.scheme, distribution, version, str(target.url), info)
    return backend, tuple(each for each in Capability if each in declared)


def _run_pytest(target: Target, recorder: Recorder) -> str:
    """Run the selected tests. Return the reason if the run did not complete, else an empty text."""
    with _folder() as folder, _environment(), _silenced() as output:
        module, config = folder / "test_conformance.py", folder / "pytest.ini"
        module.write_text(MODULE)
        config.write_text("[pytest]\n")
        arguments = [*ARGUMENTS, "-c", str(config), "--rootdir", str(folder), str(module)]
        code = pytest.main(arguments, plugins=[recorder, _Fixtures(target)])
    return _problem(code, recorder, output.getvalue())


def _problem(code: int, recorder: Recorder, output: str) -> str:
    if code == pytest.ExitCode.USAGE_ERROR:
        raise InvalidArgument(output.rpartition("ERROR: ")[2].strip())
    if recorder.problems:
        return recorder.problems[0]
    if code == pytest.ExitCode.INTERRUPTED:
        return "interrupted"
    if code == pytest.ExitCode.INTERNAL_ERROR:
        return f"pytest failed: {output.strip()[-2000:]}"
    return ""


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ciris-conformance-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _silenced() -> Iterator[io.StringIO]:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        yield output
