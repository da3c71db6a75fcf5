"""``python -m benchmarks``: measure, show, and say whether the goals are met."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import logging
import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import concurrent, databases, growth, payloads, report, startup
from benchmarks.contenders import all_contenders
from benchmarks.databases import PLACES, Place
from benchmarks.measure import Series, run
from benchmarks.report import BASE, Result
from benchmarks.workloads import WORKLOADS

SIZE = 10_000
"""Tasks, nodes and metrics that every database holds before it is measured."""
QUICK_SIZE = 2000
PACKAGES = (
    "ciris-store-core", "pydantic", "psycopg2-binary", "psycopg", "SQLAlchemy", "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres", "procrastinate", "py-key-value-aio",
)  # fmt: skip
STARTS = {
    "cold-new": ("cold start: import, open, make the schema", startup.cold_start_new),
    "cold": ("cold start: import, open, read", startup.cold_start),
}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [*(w.name for w in WORKLOADS), *concurrent.CROWDS, *STARTS, *payloads.PARTS, "memory", "import", "growth"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds on small stores: to see that it works")
    parser.add_argument("--only", action="append", default=[], choices=names, help="only this; may be repeated")
    parser.add_argument("--database", action="append", choices=list(PLACES), help="only this; may be repeated")
    parser.add_argument("--growth", action="store_true", help="also stores of up to a million rows of each kind")
    parser.add_argument("--ten-million", action="store_true", help="with --growth, also ten million correlations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables between the marks of that page")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing: show the figures of that JSON file")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the results there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; 0 if every goal is met, else 1."""
    options = _arguments(argv)
    results, facts = report.read_json(options.show) if options.show else _measure_all(options)
    _show(results, facts, options)
    line, met = report.summary(results)
    print(line)
    return 0 if met else 1


def _measure_all(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    logging.disable(logging.WARNING)
    facts: dict[str, Any] = _facts()
    results: list[Result] = []
    for name in options.database or list(PLACES):
        place = PLACES[name]()
        try:
            results += _measure(place, options, facts)
        finally:
            place.remove()
    return results, facts


def _measure(place: Place, options: argparse.Namespace, facts: dict[str, Any]) -> list[Result]:
    size = QUICK_SIZE if options.quick else SIZE
    results = [*_single(place, size, options), *_many(place, size, options), *_start(place, options)]
    if parts := [part for part in payloads.PARTS if _wanted(part, options)]:
        results += payloads.measure(place, parts, quick=options.quick)
    if _wanted("memory", options):
        for name, taken in startup.memory(place, 5).items():
            facts[f"memory of one more open {place.name} connection or store, {name}"] = f"{taken / 1024:,.0f} KiB"
    if _wanted("import", options) and "import ciris_store_core" not in facts:
        seconds, light = startup.light_import(5)
        loads = "neither pydantic nor a driver" if light else "pydantic or a driver"
        facts["import ciris_store_core"] = f"{seconds * 1000:.1f} ms, loading {loads}"
    if options.growth or "growth" in options.only:
        largest = (growth.LARGEST,) if options.ten_million else ()
        sizes = growth.SMALL if options.quick else (*growth.SIZES, *largest)
        results += growth.growth(place, sizes, options.only, 5 if options.quick else growth.ROUNDS)
    return results


def _wanted(name: str, options: argparse.Namespace) -> bool:
    return not options.only or name in options.only


def _single(place: Place, size: int, options: argparse.Namespace) -> list[Result]:
    wanted = [workload for workload in WORKLOADS if _wanted(workload.name, options)]
    if not wanted:
        return []
    results: list[Result] = []
    with place.apart(), all_contenders(place, size) as contenders:
        gc.freeze()
        for workload in wanted:
            _say(f"{place.name}: {workload.title}")
            series = run(contenders, workload, max(3, workload.rounds // 6) if options.quick else workload.rounds)
            results.append(_result("single", place, workload.name, workload.title, series, workload.goal(place.name)))
    return results


def _many(place: Place, size: int, options: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    for name, (title, measure) in concurrent.CROWDS.items():
        if _wanted(name, options):
            _say(f"{place.name}: {title}")
            series = measure(place, size, 3 if options.quick else 12)
            results.append(_result("many", place, name, title, series, None))
    return results


def _start(place: Place, options: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    for name, (title, measure) in STARTS.items():
        if _wanted(name, options):
            _say(f"{place.name}: {title}")
            series = measure(place, 2 if options.quick else 7)
            results.append(_result("start", place, name, title, series, None))
    return results


def _result(section: str, place: Place, name: str, title: str, series: Series, goal: float | None) -> Result:
    return Result(
        section=section,
        database=place.name,
        name=name,
        title=title,
        seconds={who: series.median(who) for who in series.seconds},
        ratios={who: series.ratio(who, BASE) for who in series.seconds if who != BASE},
        judged="store",
        goal=goal,
    )


def _facts() -> dict[str, Any]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    disk = databases.disk()
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "disk": f"{disk['file_system']}, {disk['sync_us']} microseconds to make 4 KiB durable",
        "versions": f"SQLite {sqlite3.sqlite_version}, {versions}",
    }


def _show(results: Sequence[Result], facts: dict[str, Any], options: argparse.Namespace) -> None:
    console = Console(width=None if sys.stdout.isatty() else report.WIDTH)
    report.show(console, results)
    report.show_facts(console, facts)
    if options.json:
        options.json.write_text(report.as_json(results, facts))
    if options.markdown:
        report.write_markdown(options.markdown, results, facts)
    if options.pictures:
        from benchmarks.picture import draw  # heavy

        for path in draw(results, options.pictures):
            print(f"drawn: {path}")


def _say(text: str) -> None:
    print(text, "...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
