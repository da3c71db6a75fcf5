"""Random scripts: calls of all aggregates, in transactions, as the text of a Python function.

A script is a list of steps, each a call or a mark that opens or closes a block. Any list is a script: a mark without a
matching block is ignored. So a failing script can be shortened by removing steps in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ciris_store_core.conformance.random_calls import READS, WRITES
from ciris_store_core.conformance.random_payload_calls import PAYLOAD_READS, PAYLOAD_WRITES


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script."""

    kind: str
    """``call``, ``write``, ``read``, ``savepoint``, ``end``, ``undo`` or ``reopen``."""
    text: str = ""
    """A call: ``session.tasks.get(['a'], None)``."""
    reads: bool = True
    """True for a call that only reads, which may run in a read transaction."""

    def __repr__(self) -> str:
        """Return a short text, for Hypothesis."""
        return self.text or self.kind


WAITING_FOR_READERS = ("session.documents.create_index(", "session.documents.drop_index(")
"""Calls that may wait for open readers. Beside one in the same script they would wait for ever."""

_WRITES, _READS = (*WRITES, *PAYLOAD_WRITES), (*READS, *PAYLOAD_READS)
MARKS = ("end", "write", "undo", "write", "savepoint", "savepoint", "read", "read", "end", "reopen")


def random_step(random: Random) -> Step:
    """Return a random step, more often a call than a mark."""
    number = random.randint(0, 99)
    if number < 45:
        return Step("call", random.choice(_WRITES)(random), reads=False)
    if number < 80:
        return Step("call", random.choice(_READS)(random))
    return Step(MARKS[number % len(MARKS)])


_BEGINNING = (
    "graph.put_nodes([put(node('a')), put(node('b')), put(node('A', expires_at=at(10))), put(node('\\xe9'))], T0)",
    "graph.put_edges([edge('a', 'b'), edge('b', 'a'), edge('A', 'a', 'likes'), edge('b', '\\xe9')])",
    "tasks.add([task('a'), task('b', priority=5), task('A', parent_task_id='a'), task('\\xe9', priority=5)])",
    "thoughts.add([thought('a', 'a'), thought('b', 'a', status=ThoughtStatus.FAILED), thought('A', 'A')])",
    "correlations.add([metric('a', 1.0), metric('b', 2.5, 1, tags={'h': 'x'}), correlation('A', tags={'h': 'x'})])",
)

BEGINNING = tuple(Step("call", f"session.{text}", reads=False) for text in _BEGINNING)
"""Steps that store records on which later steps act."""


def random_script(random: Random, steps: int) -> list[Step]:
    """Return a script of that many steps. Half of the scripts begin with stored records."""
    beginning = BEGINNING if random.randrange(2) else ()
    return [*beginning, *(random_step(random) for _ in range(steps))]


def source(steps: Sequence[Step]) -> str:
    """Return the body of a function of ``store`` that runs the steps and then compares all stored records."""
    writer = _Writer()
    for step in steps:
        writer.add(step)
    return writer.finish()


class _Writer:
    """Writer of the lines of steps. It tracks the open blocks."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open: list[tuple[str, int]] = []
        """Kind of each open block, and the index of the line that opened it."""

    def add(self, step: Step) -> None:
        """Append the lines of a step, if it is valid here."""
        if step.kind == "call":
            self._call(step)
        elif step.kind in ("end", "undo"):
            self._close(undo=step.kind == "undo")
        elif step.kind == "reopen":
            if not self._open:
                self._line("store.reopen()")
        elif self._fits(step.kind):
            self._begin(step.kind)

    def finish(self) -> str:
        """Close the open blocks and return the text."""
        while self._open:
            self._close(undo=False)
        self._line("compare(store)")
        return "\n".join(self._lines) + "\n"

    def _fits(self, kind: str) -> bool:
        kinds = [opened for opened, _ in self._open]
        if kind == "savepoint":
            return "write" in kinds and "read" not in kinds and len(kinds) < 5
        # A read transaction may run beside a write transaction, and ends before it.
        return "read" not in kinds and (kind == "read" or not kinds)

    def _begin(self, kind: str) -> None:
        name = "reader" if kind == "read" else "session"
        opening = "session.savepoint()" if kind == "savepoint" else f"store.session(write={kind == 'write'}) as {name}"
        self._line(f"with {opening}:")
        self._open.append((kind, len(self._lines) - 1))

    def _call(self, step: Step) -> None:
        kinds = [opened for opened, _ in self._open]
        if not kinds:
            # ``pages`` makes several calls, so ``single`` would be wrong.
            single = "" if step.text.startswith("pages(") else ", single=True"
            self._line(f"with store.session(write={not step.reads}{single}) as session:")
            self._line(f"    {step.text}")
        elif step.reads and "read" in kinds:
            self._line(step.text.replace("session.", "reader.", 1))
        elif "write" in kinds and not ("read" in kinds and step.text.startswith(WAITING_FOR_READERS)):
            self._line(step.text)

    def _close(self, *, undo: bool) -> None:
        if not self._open:
            return
        opened = self._open[-1][1]
        if undo:
            self._line("raise Stop")
            self._lines[opened] = self._lines[opened].replace("with ", "with suppress(Stop), ", 1)
        elif opened == len(self._lines) - 1:
            self._line("pass")
        self._open.pop()

    def _line(self, text: str) -> None:
        self._lines.append("    " * (len(self._open) + 1) + text)
