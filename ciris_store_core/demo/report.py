"""The results of a run, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ciris_store_core import Store
from ciris_store_core.demo import text_charts
from ciris_store_core.demo.results import Needed, Results, RunTimeline, WorkerResult
from ciris_store_core.demo.run_plan import RunPlan

_MIB = 2**20


class ConsoleWatcher:
    """A watcher that prints the events of the demo and draws a progress bar if the console is a terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare the output on a console."""
        self._console = console
        self._bar = Progress(
            TextColumn("  inspections"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("inspections", total=None)

    def __enter__(self) -> ConsoleWatcher:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()

    def begun(self, plan: RunPlan, store: Store) -> None:
        """Print the store and the number of processes."""
        info = store.info()
        self._console.print(Text.assemble(("CIRIS Store demo", "bold"), f"  run {plan.run}"))
        self._console.print(Text(f"  on {info.get('server_version', info['backend'])}"))
        self._console.print(Text(f"  {info['url']}", style="cyan", overflow="fold"))

    def told(self, what: str) -> None:
        """Print one event."""
        self._console.print(Text.assemble(("  • ", "dim"), what))

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total)


def draw(results: Results) -> Group:
    """Return all results, for a terminal of 80 columns or more."""
    return Group(*_sections(results))


def _sections(results: Results) -> Iterator[RenderableType]:
    yield _heading("Real input: the Python distributions installed here")
    yield _places(results.places)
    yield _heading("Who did what")
    yield _workers(results.workers)
    yield _heading("Most depended on, by a query over the graph")
    yield _most_needed(results.most_needed)
    yield _heading("The run over time, from the stored metrics")
    yield _timeline(results.timeline, results.workers)
    yield _heading("Configuration learned from what was seen")
    yield _learned(results)
    yield _heading("Proof counts, each read back from the store")
    yield _proofs(results)
    yield _verdict(results)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    for column in columns:
        numeric = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if numeric else "left", overflow="fold")
    return table


def _places(places: Mapping[str, int]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", min_width=6)
    grid.add_column(overflow="fold")
    for place, count in places.items():
        grid.add_row(str(count), Text(f"from {_short(place)}"))
    return grid


def _short(path: str) -> str:
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path.startswith(f"{home}/") else path


def _workers(workers: list[WorkerResult]) -> Table:
    table = _table("occurrence", ">process", ">claimed", ">finished", ">rescued", "")
    for worker in workers:
        numbers = (worker.pid, worker.claimed, worker.finished, worker.rescued)
        table.add_row(worker.occurrence, *map(str, numbers), _note(worker))
    totals = [sum(getattr(worker, name) for worker in workers) for name in ("claimed", "finished", "rescued")]
    table.add_section()
    table.add_row("all", "", *map(str, totals), "")
    return table


def _note(worker: WorkerResult) -> Text:
    notes = [("won start-up", "green")] if worker.won_startup else []
    notes += [("killed", "red")] if worker.killed else []
    return Text(", ").join(Text(text, style=style) for text, style in notes)


def _most_needed(needed: list[Needed]) -> Table:
    table = _table("distribution", ">needed by", ">maybe also by", "version", ">files", ">MiB")
    for one in needed:
        counts = (str(one.needed_by), str(one.maybe_needed_by))
        table.add_row(one.name, *counts, one.version, str(one.files), f"{one.size / _MIB:.1f}")
    return table


def _timeline(timeline: RunTimeline, workers: list[WorkerResult]) -> Text:
    text = _host(timeline)
    text.append(f"\n  inspections finished, per {timeline.bucket_seconds:g} s\n", style="dim")
    highest = max((value or 0 for series in timeline.inspections.values() for value in series.values), default=0)
    sparks = Text("\n").join(_spark(timeline, worker, highest) for worker in workers)
    return text.append(sparks).append(f"\n{_axis(timeline, '')}", style="dim")


def _host(timeline: RunTimeline) -> Text:
    host = timeline.host
    known = [value for value in host.values if value is not None]
    facts = f", mean {sum(known) / len(known):.0f}, peak {max(known):.0f}" if known else ""
    text = Text(f"  {host.name} in {host.unit}{facts}\n", style="dim")
    top = 100.0 if host.unit == "%" else text_charts.ceiling(host.values)
    for row in text_charts.bars(host.values, top):
        text.append(f"{row}\n", style="cyan")
    return text.append(f"{_axis(timeline, '0')}\n", style="dim")


def _axis(timeline: RunTimeline, label: str) -> str:
    return text_charts.time_axis(label, len(timeline.host.values), timeline.bucket_seconds)


def _spark(timeline: RunTimeline, worker: WorkerResult, highest: float) -> Text:
    values = timeline.inspections[worker.occurrence].values
    if not worker.killed:
        return Text(text_charts.spark(worker.occurrence, values, highest), style="green")
    lived = int(timeline.killed_at / timeline.bucket_seconds) + 1
    line = Text(text_charts.spark(worker.occurrence, values[:lived], highest), style="green")
    return line.append("✗ killed", style="red")


def _learned(results: Results) -> Table:
    grid = Table(box=None, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("tool_preferences", Text(_counts(results.tool_preferences)))
    grid.add_row("filter_config", Text(f"compiled code in: {_counts(results.filter_config)}"))
    return grid


def _counts(counts: Mapping[str, int], most: int = 6) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in [*counts.items()][:most])
    more = len(counts) - most
    return (f"{shown} and {more} more" if more > 0 else shown) or "none"


def _proofs(results: Results) -> Table:
    table = _table("", "check", ">expected", ">found")
    for proof in results.proofs:
        mark = Text("✓", style="green") if proof.ok else Text("✗", style="bold red")
        expected = f"≥ {proof.expected}" if proof.at_least else str(proof.expected)
        table.add_row(mark, proof.what, expected, str(proof.found), style="" if proof.ok else "red")
    return table


def _verdict(results: Results) -> Text:
    failed = sum(not proof.ok for proof in results.proofs)
    if failed:
        return Text(f"\n{failed} of {len(results.proofs)} checks FAILED ({results.seconds:.1f} s)", style="bold red")
    sentence = f"\nAll {len(results.proofs)} checks hold: nothing was lost, nothing was done twice."
    return Text.assemble((sentence, "bold green"), f" ({results.seconds:.1f} s)")
