"""The same operations on stores of growing size."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks.contender import Contender
from benchmarks.databases import Place
from benchmarks.fill import fill
from benchmarks.measure import run
from benchmarks.report import Result
from benchmarks.with_store import WithStore
from benchmarks.workloads import GROWTH_GOAL, WORKLOADS, Workload

ROUNDS = 20


@dataclass(frozen=True)
class Size:
    """Size of a store."""

    label: str
    rows: int
    """Tasks, and nodes."""
    points: int


SIZES = (Size("10 thousand", 10**4, 10**4), Size("100 thousand", 10**5, 10**5), Size("1 million", 10**6, 10**6))
LARGEST = Size("10 million", 10**6, 10**7)
"""Ten million correlations beside a million tasks and nodes."""
SMALL = (Size("2 thousand", 2000, 10**4), Size("20 thousand", 20_000, 20_000))
"""For a quick look at whether it works."""


def growth(place: Place, sizes: Sequence[Size], only: Sequence[str], rounds: int) -> list[Result]:
    """Every operation on every size, in turns; ratios are those to the smallest."""
    with ExitStack() as stack:
        stack.enter_context(place.apart())
        stores: list[Contender] = []
        for size in sizes:
            print(f"filling {place.name} with {size.label} of each kind ...", file=sys.stderr)
            url = place.new_url()
            fill(url, size.rows, size.points)
            store = WithStore(url, size.rows)
            store.name = size.label
            stack.callback(store.close)
            stores.append(store)
        wanted = [w for w in WORKLOADS if w.grows and (not only or w.name in only or "growth" in only)]
        return [_result(place, replace(workload, rounds=rounds), stores) for workload in wanted]


def _result(place: Place, workload: Workload, stores: Sequence[Contender]) -> Result:
    series = run(stores, workload, workload.rounds)
    names = [store.name for store in stores]
    return Result(
        section="growth",
        database=place.name,
        name=workload.name,
        title=workload.title,
        seconds={name: series.median(name) for name in names},
        ratios={name: series.ratio(name, names[0]) for name in names[1:]},
        judged=names[-1],
        goal=GROWTH_GOAL if workload.level else None,
    )
