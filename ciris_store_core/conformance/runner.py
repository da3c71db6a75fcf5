"""Runs the suite on the store of a URL, with no code of the caller's."""

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
from ciris_store_core.conformance.results import Backend, Report
from ciris_store_core.conformance.targets import CannotEmpty, Place, place_for
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
"""The caller's plugins and options for tests of their own have no say here."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chooses."""

    selection: Selection = field(default_factory=Selection)
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Reasons for which clauses that do not run are disregarded."""
    progress: Callable[[Progress], None] | None = None


class _Fixtures:
    """The harness of each test, from the place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @pytest.fixture
    def harness_of_the_run(self) -> Iterator[Harness]:
        """An empty store."""
        try:
            made = self._place.harness()
        except CannotEmpty as reason:
            pytest.skip(str(reason))
        yield made
        made.cleanup()


def run(url: str | None, options: Options | None = None, registry: Registry | None = None) -> Report:
    """Run the suite on an empty store and return what it found.

    Args:
        url: Of the store, as ``places`` describes; by default that of ``CIRIS_DB_URL``.
        options: What to run; by default everything.
        registry: Where to look the backend up; by default among what is installed. With one there are no tests of
            several processes, as others cannot see it.

    Raises:
        InvalidArgument: There are records in the store, or a waiver names no clause.
        StoreError: The store cannot be opened at all.
    """
    options = options or Options()
    started, clock = datetime.now(UTC), time.perf_counter()
    recorder = Recorder(options.selection, options.waivers, options.progress)
    with place_for(url, registry) as place:
        backend, capabilities = _described(place)
        problem = _run_pytest(place, recorder)
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


def _described(place: Place) -> tuple[Backend, tuple[Capability, ...]]:
    """What the backend says of itself, and which capabilities it declares."""
    try:
        harness = place.harness()
    except CannotEmpty as reason:
        raise Unavailable(str(reason)) from reason
    try:
        with closing(harness.open(SystemClock())) as opened:
            name, info = opened.name, dict(opened.info())
        declared = harness.capabilities
    finally:
        harness.cleanup()
    found = {plugin.distribution: plugin.version for plugin in Registry().installed()}
    distribution = place.spec.distribution
    version = found.get(distribution, "")
    backend = Backend(name, place.url.scheme, distribution, version, str(place.url), info)
    return backend, tuple(each for each in Capability if each in declared)


def _run_pytest(place: Place, recorder: Recorder) -> str:
    """Run what was selected; returns why it could not be run to its end, if so."""
    with _folder() as folder, _environment(), _silenced() as output:
        module, config = folder / "test_conformance.py", folder / "pytest.ini"
        module.write_text(MODULE)
        config.write_text("[pytest]\n")
        arguments = [*ARGUMENTS, "-c", str(config), "--rootdir", str(folder), str(module)]
        code = pytest.main(arguments, plugins=[recorder, _Fixtures(place)])
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
