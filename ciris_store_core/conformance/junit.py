"""JUnit XML of reports, for build servers: one suite for each backend, one case for each clause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, tostring

from ciris_store_core.conformance.results import ClauseResult, Report, Status

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(reports: Iterable[Report]) -> str:
    """Return the document."""
    root = Element("testsuites", name="ciris-store conformance")
    for report in reports:
        _add_suite(root, report)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_suite(root: Element, report: Report) -> None:
    counts = report.counts
    skipped = counts[Status.NOT_RUN] + counts[Status.NOT_APPLICABLE] + counts[Status.WAIVED]
    suite = SubElement(
        root,
        "testsuite",
        name=f"{report.backend.name} {report.backend.url}",
        tests=str(len(report.clauses)),
        failures=str(counts[Status.FAILED]),
        errors=str(int(bool(report.problem))),
        skipped=str(skipped),
        time=str(report.seconds),
        timestamp=report.started_at,
    )
    _add_properties(suite, report)
    for clause in report.clauses:
        _add_case(suite, report, clause)
    if report.problem:
        SubElement(SubElement(suite, "testcase", name="run"), "error", message=_clean(report.problem))


def _add_properties(suite: Element, report: Report) -> None:
    properties = SubElement(suite, "properties")
    facts = {
        "contract_version": report.contract_version,
        "suite_version": report.suite_version,
        "backend_version": report.backend.version,
        "capabilities": ", ".join(report.capabilities),
        **{f"level.{each.level}": each.verdict for each in report.levels},
        **{f"waived.{id}": reason for id, reason in report.waivers.items()},
    }
    for name, value in facts.items():
        SubElement(properties, "property", name=name, value=_clean(value))


def _add_case(suite: Element, report: Report, clause: ClauseResult) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=f"{report.backend.scheme}.{clause.module}",
        name=clause.id,
        time=str(clause.seconds),
    )
    if clause.status == Status.FAILED:
        SubElement(case, "failure", message=_clean(clause.loses)).text = _clean(clause.why)
    elif clause.status != Status.PASSED:
        SubElement(case, "skipped", message=_clean(clause.why))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
