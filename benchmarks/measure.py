"""Measurement of contenders in turns, so that other load of the machine affects all of them.

A round is a turn of each contender. The time of a turn is the median of its calls, and the time of a contender the
median of its turns, so that a disk that stalls now and then decides nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median, quantiles
from time import perf_counter

from benchmarks.contender import Contender, can
from benchmarks.workloads import Workload

ROUND_SECONDS = 0.02
"""How long one turn of the first contender should take: long to the clock, short to the machine's moods."""
MOST_CALLS = 200


@dataclass(frozen=True)
class Ratio:
    """Ratio of two times: the median over rounds, and the middle half of them."""

    value: float
    low: float
    high: float

    @property
    def noisy(self) -> bool:
        """True if the middle half spreads over more than a quarter of the median."""
        return self.high - self.low > self.value / 4


class Series:
    """Seconds that one call took in each round, by contender."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = seconds

    def median(self, name: str) -> float:
        """Seconds of one call."""
        return median(self.seconds[name])

    def ratio(self, name: str, base: str) -> Ratio:
        """Of the two in each round, which ran within moments of each other."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return spread([ours / theirs for ours, theirs in pairs])


def spread(ratios: Sequence[float]) -> Ratio:
    """The median and the middle half."""
    if len(ratios) < 2:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return Ratio(median(ratios), low, high)


_numbers = count(1)
"""No number is used twice, so that every id that is added is new."""


def run(contenders: Sequence[Contender], workload: Workload, rounds: int) -> Series:
    """Let every contender that can do the workload do it, in turns."""
    able = [contender for contender in contenders if can(contender, workload.name)]
    turns = {contender.name: _turn(contender, workload.name) for contender in able}
    calls = _calls(turns[able[0].name])
    if workload.consumes:  # a filled store holds so many pending tasks, and some turns are not counted
        calls = max(1, min(calls, able[0].size // 2 // (rounds + 4)))
    for turn in turns.values():
        turn(calls)  # statements prepared, caches warm
    return in_turns(turns, rounds, calls)


def in_turns(turns: dict[str, Callable[[int], float]], rounds: int, calls: int) -> Series:
    """Return the time of one call in each turn, round by round; who begins changes."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for place in range(rounds):
        gc.collect()
        start = place % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(turns[name](calls))
    return Series(seconds)


def _turn(contender: Contender, workload: str) -> Callable[[int], float]:
    method = getattr(contender, workload)
    prepare = getattr(contender, f"prepare_{workload}", None)

    def call() -> float:
        number = next(_numbers)
        if prepare is not None:
            prepare(number)
        start = perf_counter()
        method(number)
        return perf_counter() - start

    return lambda calls: median([call() for _ in range(calls)])


def _calls(turn: Callable[[int], float]) -> int:
    seconds = min(turn(1), turn(3))
    return max(1, min(MOST_CALLS, int(ROUND_SECONDS / seconds)))
