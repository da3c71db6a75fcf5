"""Documents and streams: the store, and the raw drivers on its tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module

from benchmarks.contender import Contender
from benchmarks.databases import Place
from benchmarks.fill import path_of
from benchmarks.measure import run
from benchmarks.payload_contenders import (
    RawPostgresPayloads,
    RawSqlitePayloads,
    WithDetectingPayloads,
    WithPayloads,
)
from benchmarks.payload_values import SHORT, Content, fill
from benchmarks.report import BASE, Result
from benchmarks.workloads import Workload

PARTS = {
    "documents": (
        Workload("document_put", "put 1 kB, new", None),
        Workload("document_change", "put 1 kB, compare and set", None),
        Workload("document_get", "get 1 kB by key", None),
        Workload("documents_put", "put 100 of 1 kB", None, rounds=15),
        Workload("documents_list", "list the 100 of a namespace", None),
        Workload("bytes_put", "put 1 MB of bytes", None, rounds=10),
        Workload("bytes_get", "get 1 MB of bytes", None, rounds=10),
    ),
    "streams": (
        Workload("entry_append", "append an entry of 1 kB", None),
        Workload("entries_append", "append 50 entries of 1 kB", None, rounds=15),
        Workload("entries_tail", "tail 50 of a long stream", None),
    ),
}

GOALS = {
    "sqlite": {
        "document_put": 1.5, "document_change": 1.5, "document_get": 2.0, "documents_put": 1.4, "bytes_put": 1.2,
        "bytes_get": 1.2, "entry_append": 1.5, "entries_append": 1.3, "entries_tail": 2.0,
    },
    "postgres": {
        "document_put": 1.15, "document_change": 1.15, "document_get": 1.25, "documents_put": 1.3, "bytes_put": 1.2,
        "bytes_get": 1.2, "entry_append": 1.15, "entries_append": 1.3, "entries_tail": 2.0,
    },
}  # fmt: skip
"""Times the raw driver, at most."""

LEVEL = {
    "documents": (Workload("documents_list", "list 100 among 10 thousand and among many", None, rounds=20), 1.5),
    "streams": (Workload("entries_tail", "tail 50 of 100 entries and of many", None, rounds=20), 1.2),
}
"""Operations that may cost no more on a large store, and how much more, at most."""

OTHERS = {"payload_langgraph": "WithLangGraphPayloads", "payload_keyvalue": "WithKeyValuePayloads"}
"""Contenders of other packages, by module."""

SINGLE = Content(documents=10_000, entries=100_000)
SMALL = Content(documents=10_000, entries=SHORT, text=100)
LARGE = Content(documents=1_000_000, entries=1_000_000, text=100)
QUICK = Content(documents=2000, entries=2000)
QUICK_LARGE = Content(documents=50_000, entries=50_000, text=100)


def measure(place: Place, parts: Sequence[str], *, quick: bool) -> list[Result]:
    """Measure the operations of these parts, and whether lists and tails stay level as the store grows."""
    results: list[Result] = []
    with ExitStack() as stack:
        stack.enter_context(place.apart())
        contenders = [_made(stack, place, make, QUICK if quick else SINGLE) for make in _makers(place)]
        if "documents" in parts:
            contenders += _others(stack, place, QUICK if quick else SINGLE)
        for part in parts:
            results += [_single(place, part, workload, contenders, quick) for workload in PARTS[part]]
        sizes = {"small": SMALL, "large": QUICK_LARGE if quick else LARGE}
        stores = [_made(stack, place, WithPayloads, content, name) for name, content in sizes.items()]
        results += [_level(place, *LEVEL[part], stores) for part in parts]
    return results


def _makers(place: Place) -> Sequence[Callable[[str], Contender]]:
    raw: Callable[[str], Contender] = RawPostgresPayloads
    if place.name == "sqlite":
        raw = _raw_sqlite
    return (raw, WithPayloads, WithDetectingPayloads)


def _raw_sqlite(url: str) -> Contender:
    return RawSqlitePayloads(path_of(url))


def _made(
    stack: ExitStack, place: Place, make: Callable[[str], Contender], content: Content, name: str = ""
) -> Contender:
    """Return a contender on a filled database of its own."""
    _say(f"filling {place.name} with {content.documents:,} documents and {content.entries:,} entries")
    url = place.new_url()
    fill(url, content)
    contender = make(url)
    contender.size = content.documents
    contender.name = name or contender.name
    stack.callback(contender.close)
    return contender


def _others(stack: ExitStack, place: Place, content: Content) -> list[Contender]:
    """Return the stores of other packages, with as many items; name those that are not installed."""
    found: list[Contender] = []
    for module, name in OTHERS.items():
        try:
            kind = getattr(import_module(f"benchmarks.{module}"), name)
        except ImportError as error:
            _say(f"left out, for want of {error.name}: {module}")
            continue
        contender = kind(place.new_url())
        stack.callback(contender.close)
        contender.fill(content.documents, content.text)
        contender.size = content.documents
        found.append(contender)
    return found


def _single(place: Place, part: str, workload: Workload, contenders: Sequence[Contender], quick: bool) -> Result:
    _say(f"{place.name}: {workload.title}")
    series = run(contenders, workload, 3 if quick else workload.rounds)
    return Result(
        section=part,
        database=place.name,
        name=workload.name,
        title=workload.title,
        seconds={who: series.median(who) for who in series.seconds},
        ratios={who: series.ratio(who, BASE) for who in series.seconds if who != BASE},
        judged="store",
        goal=GOALS[place.name].get(workload.name),
    )


def _level(place: Place, workload: Workload, goal: float, stores: Sequence[Contender]) -> Result:
    _say(f"{place.name}: {workload.title}")
    series = run(stores, workload, workload.rounds)
    small, large = (store.name for store in stores)
    return Result(
        section="level",
        database=place.name,
        name=workload.name,
        title=workload.title,
        seconds={who: series.median(who) for who in series.seconds},
        ratios={large: series.ratio(large, small)},
        judged=large,
        goal=goal,
    )


def _say(text: str) -> None:
    print(text, "...", file=sys.stderr, flush=True)
