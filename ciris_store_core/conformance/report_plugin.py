"""Pytest plugin that reports on a test module of your own, with your own harness.

Example::

    pytest -p ciris_store_core.conformance.report_plugin --conformance-json report.json test_acme.py

The levels are printed at the end. ``ciris-store matrix`` shows several reports side by side. One backend per run.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from ciris_store_core import __version__
from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.recorder import Recorder, parse_waivers
from ciris_store_core.conformance.results import BackendInfo, Report, Status, to_json
from ciris_store_core.conformance.todo import todo
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
from ciris_store_core.errors import InvalidArgument

UNKNOWN_BACKEND = BackendInfo("unknown", "", "", "", "")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("conformance", "conformance of a CIRIS Store backend")
    group.addoption("--conformance-json", metavar="FILE", help="write the report as JSON")
    group.addoption(
        "--waive", action="append", default=[], metavar="CLAUSE=REASON", help="accept that a clause does not run"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder and the reporter."""
    try:
        waivers = parse_waivers(config.getoption("--waive"))
    except InvalidArgument as error:
        raise pytest.UsageError(str(error)) from None
    recorder = Recorder(waivers=waivers)
    config.pluginmanager.register(recorder)
    config.pluginmanager.register(Reporter(config, recorder))


class Reporter:
    """Reporter of a run."""

    def __init__(self, config: pytest.Config, recorder: Recorder) -> None:
        """Use the outcomes of the recorder."""
        self._file: str | None = config.getoption("--conformance-json")
        self._recorder = recorder
        self._backend = UNKNOWN_BACKEND
        self._capabilities: frozenset[Capability] = frozenset()
        self._started, self._clock = datetime.now(UTC), perf_counter()

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Take the capabilities and the description from the first harness and backend that a test uses."""
        given: Mapping[str, Any] = getattr(item, "funcargs", {})
        if isinstance(given.get("harness"), Harness) and not self._capabilities:
            self._capabilities = given["harness"].capabilities
        if isinstance(given.get("backend"), Backend) and self._backend is UNKNOWN_BACKEND:
            opened = given["backend"]
            self._backend = BackendInfo(opened.name, opened.name.lower(), "", "", "", dict(opened.info()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the levels, and write the report file."""
        report = self._report()
        terminalreporter.section(f"conformance of {report.backend.name}")
        for line in _lines(report):
            terminalreporter.line(line)
        if self._file is not None:
            Path(self._file).write_text(to_json([report]), encoding="utf-8")

    def _report(self) -> Report:
        return Report(
            backend=self._backend,
            capabilities=tuple(each for each in Capability if each in self._capabilities),
            clauses=tuple(self._recorder.results(self._capabilities)),
            contract_version=CONTRACT_VERSION,
            suite_version=__version__,
            python=platform.python_version(),
            platform=platform.platform(terse=True),
            started_at=self._started.isoformat(timespec="seconds"),
            seconds=round(perf_counter() - self._clock, 2),
            selection="as pytest selected",
            waivers=self._recorder.waivers,
            problem="\n".join(self._recorder.problems[:1]),
        )


def _lines(report: Report) -> list[str]:
    levels = [
        f"{each.level:<15} {each.verdict:<15} {each.counts[Status.PASSED]}/{each.required}" for each in report.levels
    ]
    waived = [f"{each.id}: {each.why}" for each in report.clauses if each.status == Status.WAIVED]
    return [*levels, *waived, *todo(report), report.summary]
