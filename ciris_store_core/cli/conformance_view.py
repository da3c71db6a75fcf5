"""The display of a run of the conformance suite in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ciris_store_core.cli.output import console
from ciris_store_core.conformance.recorder import Progress as Step
from ciris_store_core.conformance.results import ClauseResult, LevelResult, Report, Status, Verdict
from ciris_store_core.conformance.runner import Options, run
from ciris_store_core.conformance.todo import todo

STYLES = {
    Verdict.REACHED: ("reached", "bold green"),
    Verdict.FAILED: ("failed", "bold red"),
    Verdict.INCOMPLETE: ("incomplete", "yellow"),
    Verdict.NOT_RUN: ("not run", "dim"),
    Verdict.NOT_APPLICABLE: ("does not apply", "dim"),
}
LINES_OF_A_FAILURE = 12
NAMES_IN_A_ROW = 6
WIDTH_FOR_PROMISES = 130


def run_visibly(url: str | None, options: Options, *, silent: bool) -> Report:
    """Run the suite with a progress bar and print its report, or print nothing if ``silent``."""
    if silent:
        return run(url, options)
    report = _run_with_bar(url, options)
    show(report, console())
    return report


def _run_with_bar(url: str | None, options: Options) -> Report:
    # The stream itself, because pytest replaces the standard streams while it runs.
    screen = Console(file=sys.stderr, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("opening", total=None)

        def step(now: Step) -> None:
            failed = f" [red]{now.failed} failed[/red]" if now.failed else ""
            bar.update(task, completed=now.done, total=now.total, description=f"{now.clause:<40.40}{failed}")

        return run(url, replace(options, progress=step))


# --- the report -------------------------------------------------------------------------------


def show(report: Report, screen: Console) -> None:
    """Print a report."""
    screen.print(_title(report))
    screen.print(_levels(report, screen.width))
    screen.print(_capabilities(report))
    for clause in _with(report, Status.FAILED):
        screen.print(_failure(clause), soft_wrap=True)
    for line in _not_run(report):
        screen.print(line, soft_wrap=True)
    for clause in _with(report, Status.WAIVED):
        screen.print(Text.assemble(("waived ", "magenta"), clause.id, f": {clause.why.removeprefix('waived: ')}"))
    if report.retries:
        screen.print(_retries(report), soft_wrap=True)
    if report.problem:
        screen.print(Text(report.problem, style="red"), soft_wrap=True)
    for advice in todo(report):
        screen.print(Text(advice, style="cyan"), soft_wrap=True)
    screen.print(Text(report.summary, style="bold green" if report.ok else "bold red"))


def _title(report: Report) -> Text:
    backend = report.backend
    server = str(backend.info.get("server_version") or backend.name)
    versions = f"{backend.distribution} {backend.version}, contract {report.contract_version}"
    return Text.assemble((server, "bold"), f"  {backend.url}\n", (f"{versions}, suite {report.suite_version}", "dim"))


def _levels(report: Report, width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("level", "", "holds", "fails", "not run", "waived", "n/a"):
        table.add_column(name, justify="left" if name in ("level", "") else "right", no_wrap=True)
    if width >= WIDTH_FOR_PROMISES:
        table.add_column("promise", style="dim")
    for result in report.levels:
        table.add_row(*_level_row(result)[: len(table.columns)])
    return table


def _level_row(result: LevelResult) -> list[Text]:
    verdict, style = STYLES[result.verdict]
    counts = [(Status.PASSED, "green"), (Status.FAILED, "bold red"), (Status.NOT_RUN, "yellow")]
    counts += [(Status.WAIVED, "magenta"), (Status.NOT_APPLICABLE, "")]
    numbers = [Text(str(result.counts[status] or ""), style=color) for status, color in counts]
    return [
        Text(result.level.value.replace("_", "-")),
        Text(verdict, style=style),
        *numbers,
        Text(result.level.promise),
    ]


def _capabilities(report: Report) -> Text:
    line = Text("capabilities:")
    for result in report.capability_results():
        style = "red" if result.broken else "green" if result.declared else "dim strike"
        line.append(" ").append(result.capability.value, style=style)
        if result.declared:
            line.append(f" ({result.checked or 'not'} checked)", style="dim")
    return line.append("\n")


def _with(report: Report, status: Status) -> list[ClauseResult]:
    return [each for each in report.clauses if each.status == status]


def _failure(clause: ClauseResult) -> Text:
    found = [line for line in clause.why.splitlines() if line.startswith("E ")] or clause.why.splitlines()
    shown = "\n".join(f"    {line.removeprefix('E ').strip()}" for line in found[:LINES_OF_A_FAILURE])
    return Text.assemble(
        ("FAILED ", "bold red"), (clause.id, "bold"), f"  {clause.passed} of {clause.tests} tests pass\n",
        f"    {clause.loses}\n", (shown + "\n", "dim"),
    )  # fmt: skip


def _retries(report: Report) -> Text:
    most = sorted((each for each in report.clauses if each.retries), key=lambda each: -each.retries)
    names = ", ".join(f"{each.id} ({each.retries})" for each in most[:NAMES_IN_A_ROW])
    more = f" and {len(most) - NAMES_IN_A_ROW} more" if len(most) > NAMES_IN_A_ROW else ""
    return Text.assemble(f"{report.retries} transactions were run again: ", (names + more, "dim"))


def _not_run(report: Report) -> Iterable[Text]:
    """Yield the reasons why levels are incomplete, with their clauses."""
    begun = {each.level for each in report.levels if each.verdict == Verdict.INCOMPLETE}
    missing = [each for each in _with(report, Status.NOT_RUN) if each.level in begun]
    for why, group in groupby(sorted(missing, key=lambda each: (each.why, each.id)), key=lambda each: each.why):
        names = [each.id for each in group]
        more = f" and {len(names) - NAMES_IN_A_ROW} more" if len(names) > NAMES_IN_A_ROW else ""
        clauses = ", ".join(names[:NAMES_IN_A_ROW]) + more
        yield Text.assemble(("not run ", "yellow"), clauses, (f": {why}", "dim"))
