"""Progress bars on standard error, if it is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ciris_store_core.cli.output import errors

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ciris_store_core.transfer import TransferStep
    from ciris_store_core.transfer.store_copier import OnStep


@contextmanager
def showing(silent: bool) -> Iterator[OnStep]:
    """Yield a function that draws a progress bar for each phase and kind, or does nothing if there is no terminal."""
    screen = errors()
    if silent or not screen.is_terminal:
        yield lambda step: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._ids: dict[tuple[str, str], TaskID] = {}

    def __call__(self, step: TransferStep) -> None:
        key = (step.phase, step.kind)
        if key not in self._ids:
            for other in self._ids.values():
                self._bars.stop_task(other)
            self._ids[key] = self._bars.add_task(f"{step.phase} {step.kind.replace('_', ' ')}", total=step.total)
        self._bars.update(self._ids[key], completed=step.done, total=step.total)
