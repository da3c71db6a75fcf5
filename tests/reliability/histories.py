"""Histories of list-append transactions, and what in them no isolated store can have done.

A transaction reads lists and appends elements, each of which is appended once in all time. Since a list shows in which
order its elements came, the final lists say which transaction wrote before which, and every read says what it saw.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

Key = str
Element = int


@dataclass
class Done:
    """One transaction, as it was told to its caller."""

    number: int
    reads: dict[Key, list[Element]] = field(default_factory=dict)
    """Content of each list before the transaction appended to it."""
    appends: dict[Key, list[Element]] = field(default_factory=dict)
    committed: bool = True


@dataclass
class Anomalies:
    """Count of each finding."""

    lost: int = 0
    """Elements of committed transactions that are in no list."""
    repeated: int = 0
    aborted: int = 0
    """Elements of transactions that were rolled back, in a list or seen in one."""
    intermediate: int = 0
    """Reads that end between two appends of one transaction."""
    incompatible: int = 0
    """Reads that are no beginning of the list as it is in the end."""
    lost_updates: int = 0
    """Two transactions that saw the same list, and both appended to it."""
    cycles: int = 0
    """1 if some transactions depend on one another in a circle, by what they wrote and saw (G0, G1c)."""
    skews: int = 0
    """1 if so by what they did not see, too (G2): READ COMMITTED allows it, serializability does not."""

    def wrong(self, *, serializable: bool) -> int:
        """Number of histories that break the promise."""
        found = self.lost + self.repeated + self.aborted + self.intermediate + self.incompatible
        return found + self.lost_updates + self.cycles + (self.skews if serializable else 0)


def check(transactions: Iterable[Done], final: Mapping[Key, Sequence[Element]]) -> Anomalies:
    """Look for what must not be, given all transactions and the lists as they are in the end."""
    history = list(transactions)
    writer = {element: done for done in history for elements in done.appends.values() for element in elements}
    found = Anomalies()
    _check_appends(history, writer, final, found)
    _check_reads(history, writer, final, found)
    known = _edges(history, writer, final, unseen=False)
    found.cycles = int(_circular(known))
    if not found.cycles:
        found.skews = int(_circular(_edges(history, writer, final, unseen=True)))
    return found


def _check_appends(
    history: list[Done], writer: dict[Element, Done], final: Mapping[Key, Sequence[Element]], found: Anomalies
) -> None:
    times = Counter(element for elements in final.values() for element in elements)
    found.repeated = sum(count - 1 for count in times.values())
    found.aborted = sum(element not in writer or not writer[element].committed for element in times)
    found.lost = sum(
        element not in times
        for done in history
        if done.committed
        for elements in done.appends.values()
        for element in elements
    )


def _check_reads(
    history: list[Done], writer: dict[Element, Done], final: Mapping[Key, Sequence[Element]], found: Anomalies
) -> None:
    seen_by_writers: Counter[tuple[Key, int]] = Counter()
    for done in history:
        for key, seen in done.reads.items():
            whole = final.get(key, ())
            found.aborted += any(each not in writer or not writer[each].committed for each in seen)
            found.incompatible += list(whole[: len(seen)]) != seen
            if seen and seen[-1] in writer and writer[seen[-1]] is not done:
                found.intermediate += writer[seen[-1]].appends[key][-1] != seen[-1]
            if done.committed and key in done.appends:
                seen_by_writers[key, len(seen)] += 1
    found.lost_updates = sum(count - 1 for count in seen_by_writers.values())


def _edges(
    history: list[Done], writer: dict[Element, Done], final: Mapping[Key, Sequence[Element]], *, unseen: bool
) -> dict[int, set[int]]:
    """For each committed transaction those that come before it; ``unseen``: also those that did not see its writes."""
    before: dict[int, set[int]] = defaultdict(set)

    def precedes(first: Done | None, second: Done | None) -> None:
        if first is not None and second is not None and first is not second and first.committed and second.committed:
            before[second.number].add(first.number)

    for elements in final.values():
        for one, next_one in pairwise(elements):
            precedes(writer.get(one), writer.get(next_one))
    for done in history:
        for key, seen in done.reads.items():
            if seen:
                precedes(writer.get(seen[-1]), done)
            whole = final.get(key, ())
            if unseen and len(whole) > len(seen):
                precedes(done, writer.get(whole[len(seen)]))
    return before


def _circular(before: dict[int, set[int]]) -> bool:
    try:
        TopologicalSorter(before).prepare()
    except CycleError:
        return True
    return False
