"""Line charts of braille dots, for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from rich.text import Text

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_MARGIN = 10

Line = Sequence[tuple[datetime, float]]


def chart(series: Mapping[str, Line], start: datetime, end: datetime, *, width: int, height: int) -> list[Text]:
    """Return a chart of lines by time, with both axes and, if there are several lines, a legend."""
    values = [value for line in series.values() for _, value in line]
    low, high = _bounds(values)
    columns, rows = max(width - _MARGIN - 3, 20), max(height, 4)
    cells: dict[tuple[int, int], tuple[int, str]] = {}
    for colour, line in zip(_cycle(len(series)), series.values(), strict=True):
        dots = [_dot(point, start, end, low, high, columns * 2, rows * 4) for point in line]
        for x, y in _joined(dots):
            bits = cells.get((y // 4, x // 2), (0, colour))[0] | _DOTS[y % 4][x % 2]
            cells[(y // 4, x // 2)] = (bits, colour)
    lines = [_row(cells, row, columns, _label(row, rows, low, high)) for row in range(rows)]
    lines += _time_axis(start, end, columns)
    return lines + (_legend(series) if len(series) > 1 else [])


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - 1, high + 1
    # An axis from 0 makes heights comparable, and is used if it costs little space.
    return (0.0, high) if 0 <= low < high / 2 else (low, high)


def _dot(
    point: tuple[datetime, float], start: datetime, end: datetime, low: float, high: float, width: int, height: int
) -> tuple[int, int]:
    x = (point[0] - start) / (end - start) * (width - 1)
    y = (high - point[1]) / (high - low) * (height - 1)
    return min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)


def _joined(dots: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Return the dots, and those on the straight lines between them."""
    found = list(dots[:1])
    for (x0, y0), (x1, y1) in pairwise(dots):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        found += [(round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)) for i in range(1, steps + 1)]
    return found


def _row(cells: Mapping[tuple[int, int], tuple[int, str]], row: int, columns: int, label: str) -> Text:
    text = Text(f"{label:>{_MARGIN}} ┤" if label else f"{'':>{_MARGIN}} │")
    for column in range(columns):
        bits, colour = cells.get((row, column), (0, ""))
        text.append(chr(0x2800 + bits) if bits else " ", style=colour)
    return text


def _label(row: int, rows: int, low: float, high: float) -> str:
    if row in (0, rows - 1) or row == rows // 2:
        return f"{high - (high - low) * row / (rows - 1):.4g}"
    return ""


def _time_axis(start: datetime, end: datetime, columns: int) -> list[Text]:
    form = (
        "%H:%M"
        if end - start <= timedelta(days=2)
        else "%m-%d %H:%M"
        if end - start <= timedelta(days=14)
        else "%Y-%m-%d"
    )
    count = max(columns // 24, 1)
    axis, labels = ["─"] * columns, [" "] * (columns + 12)
    for number in range(count + 1):
        column = round(number * (columns - 1) / count)
        axis[column] = "┬"
        text = f"{start + (end - start) * number / count:{form}}"
        at = min(max(column - len(text) // 2, 0), columns - len(text))
        labels[at : at + len(text)] = text
    margin = " " * _MARGIN
    return [Text(f"{margin} └{''.join(axis)}"), Text(f"{margin}  {''.join(labels).rstrip()}", style="dim")]


def _legend(series: Mapping[str, Line]) -> list[Text]:
    text = Text(" " * (_MARGIN + 2))
    for colour, name in zip(_cycle(len(series)), series, strict=True):
        text.append("── ", style=colour).append(f"{name}   ")
    return [text]


def _cycle(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]
