"""The display of ``ciris-store doctor`` in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ciris_store_core.cli.output import facts, size, table
from ciris_store_core.cli.output import line as line_of
from ciris_store_core.models.operations import Finding, Severity
from ciris_store_core.services.doctor import DoctorReport

SHOWN = 10
"""The number of tables shown, the largest ones."""

_MARKS = {Severity.ERROR: ("✖", "bold red"), Severity.WARNING: ("▲", "yellow"), Severity.INFO: ("•", "blue")}


def draw(report: DoctorReport) -> RenderableType:
    """Return the whole report."""
    names = ("url", "server_version", "schema_version", "contract_version")
    shown = {name: report.info[name] for name in names if report.info.get(name) is not None}
    return Group(facts({**shown, "checked_at": f"{report.checked_at:%Y-%m-%d %H:%M:%S} UTC"}), *_parts(report))


def _parts(report: DoctorReport) -> Iterator[RenderableType]:
    yield Padding(Group(*map(_finding, report.findings)), (1, 0)) if report.findings else Text()
    yield _verdict(report.findings)
    if any(growth.records for growth in report.growth.values()):
        rows = [(name, *(f"{n:,}" for n in (g.records, g.last_day, g.last_week))) for name, g in report.growth.items()]
        columns = ("records", "in all", "last day", "last week")
        yield Padding(table(columns, rows, numbers=columns[1:]), (1, 0, 0, 0))
    if report.tables:
        yield Padding(_tables(report), (1, 0, 0, 0))


def _finding(finding: Finding) -> RenderableType:
    mark, style = _MARKS[finding.severity]
    line = Table.grid(padding=(0, 1))
    line.add_column(style=style)
    line.add_column(overflow="fold")
    line.add_row(mark, line_of(finding.summary))
    if finding.fix:
        line.add_row("", line_of(finding.fix, style="dim"))
    return line


def _verdict(findings: list[Finding]) -> Text:
    counts = {severity: sum(f.severity == severity for f in findings) for severity in Severity}
    errors, warnings = counts[Severity.ERROR], counts[Severity.WARNING]
    if errors or warnings:
        style = "bold red" if errors else "bold yellow"
        return Text(f"{_many(errors, 'error')}, {_many(warnings, 'warning')}", style=style)
    return Text("✔ nothing is wrong", style="bold green")


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _tables(report: DoctorReport) -> Table:
    most = max(report.tables[0].bytes, 1)
    rows = [
        (each.name, size(each.bytes), size(each.index_bytes), "█" * max(1, round(24 * each.bytes / most)))
        for each in report.tables
        if each.bytes
    ]
    return table(("table", "size", "of that indexes", ""), rows[:SHOWN], numbers=("size", "of that indexes"))
