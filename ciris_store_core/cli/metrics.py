"""The commands ``ciris-store metrics ...``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ciris_store_core.cli.options import (
    Html,
    Json,
    Png,
    Since,
    Tag,
    Url,
    format_span,
    open_existing,
    parse_span,
    parse_tags,
)
from ciris_store_core.cli.output import console, line, say_json
from ciris_store_core.cli.terminal_charts import chart
from ciris_store_core.errors import InvalidArgument

if TYPE_CHECKING:
    from ciris_store_core.cli.terminal_charts import Line
    from ciris_store_core.models.correlations import AggregatePoint
    from ciris_store_core.store import Store

metrics = typer.Typer(help="Inspect metrics.", no_args_is_help=True)

Function = Literal["avg", "sum", "min", "max", "count", "last"]
_SHOWN: tuple[Function, ...] = ("count", "min", "avg", "max", "last")
_EVER = timedelta(days=200_000)
_COLUMNS = 160

Name = Annotated[str, typer.Argument(help="Name of the metric.", show_default=False)]
By = Annotated[list[str] | None, typer.Option("--by", help="One line for each value of this tag; may be repeated.")]
Bucket = Annotated[str | None, typer.Option(help="Length of the buckets, as in 30s, 5m, 1h or 7d; by default to fit.")]


@metrics.command("list")
def list_metrics(url: Url = None, as_json: Json = False) -> None:
    """List all metrics with number of samples, first time, and newest value."""
    with open_existing(url) as store:
        found = [_described(store, name) for name in store.correlations.metric_names()]
    if as_json:
        say_json(found)
        return
    table = Table("metric", "samples", "first", "newest", "value", box=SIMPLE_HEAD, show_edge=False)
    for column in (1, 4):
        table.columns[column].justify = "right"
    for row in found:
        unit = f" {row['unit']}" if row["unit"] else ""
        table.add_row(
            line(row["name"]), f"{row['samples']:,}", _minute(row["first"]), _minute(row["newest"]),
            line(f"{row['value']:g}{unit}"),
        )  # fmt: skip
    console().print(table if found else Text("no metrics are stored"))


@metrics.command()
def show(
    name: Name,
    url: Url = None,
    hours: Since = 24,
    bucket: Bucket = None,
    by: By = None,
    tag: Tag = None,
    as_json: Json = False,
) -> None:
    """Show a metric as a table: count, minimum, mean, maximum and newest value of each time bucket."""
    with open_existing(url) as store:
        span, start, end = _window(store, hours, bucket, 24)
        points = {function: _points(store, name, function, span, start, end, by, tag) for function in _SHOWN}
    rows = [_row(each, by or []) for each in zip(*points.values(), strict=True)]
    if as_json:
        say_json(rows)
        return
    table = Table("from", *(by or []), *_SHOWN, "resolution", box=SIMPLE_HEAD, show_edge=False)
    for row in rows:
        tags = [line(row["tags"][key] or "—") for key in by or []]
        numbers = [f"{row[function]:g}" for function in _SHOWN]
        table.add_row(_minute(row["start"]), *tags, *numbers, row["resolution"])
    console().print(table if rows else Text(f"no samples of {name} in these {hours:g} hours"))


@metrics.command()
def plot(
    name: Name,
    url: Url = None,
    hours: Since = 24,
    function: Annotated[str, typer.Option(help=f"What of each bucket: {', '.join(get_args(Function))}.")] = "avg",
    bucket: Bucket = None,
    by: By = None,
    tag: Tag = None,
    html: Html = None,
    png: Png = None,
    as_json: Json = False,
) -> None:
    """Draw a metric over time, one line for each value of the tags in --by."""
    if function not in get_args(Function):
        raise InvalidArgument(f"--function must be one of {', '.join(get_args(Function))}, not {function!r}")
    with open_existing(url) as store:
        span, start, end = _window(store, hours, bucket, _COLUMNS)
        points = _points(store, name, function, span, start, end, by, tag)
    lines = _lines(points, by or [], span)
    title = f"{function} of {name}, each {format_span(span)}"
    if html or png:
        from ciris_store_core.cli.picture_files import plot_series  # imports matplotlib, an optional package

        plot_series(title, lines, html, png)
    if as_json:
        say_json([{"tags": _tags(point, by or []), "start": point.start, "value": point.value} for point in points])
    elif not points:
        console().print(Text(f"no samples of {name} in these {hours:g} hours"))
    else:
        screen = console()
        screen.print(Text(title, style="bold"))
        for line in chart(lines, start, end, width=min(screen.width, 140), height=12):
            screen.print(line, no_wrap=True, crop=True)


def _described(store: Store, name: str) -> dict[str, Any]:
    samples = store.correlations.aggregate("count", _EVER, metric_name=name)
    [first] = store.correlations.find(metric_name=name, limit=1)
    [newest] = store.correlations.recent(1, metric_name=name)
    assert newest.metric_data is not None
    return {
        "name": name, "samples": sum(point.count for point in samples), "first": first.timestamp,
        "newest": newest.metric_data.last_timestamp or newest.timestamp, "value": newest.metric_value,
        "unit": newest.metric_data.metric_unit,
    }  # fmt: skip


def _window(store: Store, hours: float, bucket: str | None, parts: int) -> tuple[timedelta, datetime, datetime]:
    """Return the bucket length (by default a round one for about ``columns`` buckets) and the time span."""
    end = store.server_now()
    span = timedelta(hours=hours)
    sizes = [timedelta(seconds=s) for s in (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 86400, 604800)]
    fitting = next((size for size in sizes if span / size <= parts), sizes[-1])
    return parse_span(bucket) if bucket else fitting, end - span, end


def _points(
    store: Store, name: str, function: Any, span: timedelta, start: datetime, end: datetime,
    by: list[str] | None, tag: list[str] | None,
) -> list[AggregatePoint]:  # fmt: skip
    return store.correlations.aggregate(
        function, span, group_by=by or [], metric_name=name, tags=parse_tags(tag), time_from=start, time_to=end
    )


def _tags(point: AggregatePoint, by: list[str]) -> dict[str, str | None]:
    return dict(zip(by, point.group, strict=True))


def _row(points: Sequence[AggregatePoint], by: list[str]) -> dict[str, Any]:
    first = points[0]
    values: dict[str, float] = {function: point.value for function, point in zip(_SHOWN, points, strict=True)}
    return {"start": first.start, "tags": _tags(first, by), **values, "resolution": first.resolution.value}


def _lines(points: Sequence[AggregatePoint], by: list[str], span: timedelta) -> dict[str, Line]:
    """Return one line for each group, through the middles of its buckets."""
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for point in points:
        name = ", ".join(
            f"{key}={value}" if value is not None else f"no {key}" for key, value in _tags(point, by).items()
        )
        lines.setdefault(name, []).append((point.start + span / 2, point.value))
    return dict(sorted(lines.items()))


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
