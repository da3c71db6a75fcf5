"""Charts drawn with characters.

Every function returns lines with equal axes: ``MARGIN`` columns, then the buckets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

MARGIN = 16
HEIGHT = 5

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL = MARGIN - 2
_TICK_COLUMNS = 10
_ROUND = (1.0, 2.0, 5.0, 10.0)

Values = Sequence[float | None]


def bars(values: Values, top: float) -> Iterator[str]:
    """Return a chart of ``HEIGHT`` lines from 0 to ``top``, labelled at both ends; unknown values stay blank."""
    eighths = [round((value or 0) / top * HEIGHT * 8) if top else 0 for value in values]
    for line in range(HEIGHT, 0, -1):
        label = f"{top:,.0f}" if line == HEIGHT else ""
        yield _labelled(label, "".join(_cell(filled - (line - 1) * 8) for filled in eighths))


def spark(label: str, values: Values, top: float) -> str:
    """Return one line with each bucket's height relative to ``top``; every value above 0 is visible."""
    return _labelled(label, "".join(_cell(math.ceil((value or 0) / top * 8) if top else 0) for value in values))


def time_axis(label: str, length: int, bucket_seconds: float) -> str:
    """Return the line below a chart with its ticks, and a second line with their seconds."""
    step = _step(bucket_seconds * _TICK_COLUMNS)
    ticks = {round(number * step / bucket_seconds): number * step for number in range(length)}
    line = "".join("┬" if column in ticks else "─" for column in range(length))
    labels = [" "] * (length + MARGIN)
    for column, seconds in ticks.items():
        if column < length:
            text = f"{seconds:g} s"
            labels[column : column + len(text)] = text
    return f"{label:>{_LABEL}} └{line}\n{' ' * MARGIN}{''.join(labels).rstrip()}"


def ceiling(values: Values) -> float:
    """Return a round number that no value exceeds."""
    highest = max((value for value in values if value is not None), default=0.0)
    return _step(highest) if highest > 0 else 1.0


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 and so on, and of their tenths, that is not less."""
    unit = 10.0 ** math.floor(math.log10(least))
    return next(unit * factor for factor in _ROUND if unit * factor >= least)


def _cell(eighths: int) -> str:
    return _EIGHTHS[min(max(eighths, 0), 8)]


def _labelled(label: str, line: str) -> str:
    return f"{label:>{_LABEL}} │{line}"
