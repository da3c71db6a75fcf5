"""Metrics, logs and the graph, as people and programs see them."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ciris_store_core import Correlation, GraphEdge, GraphNode, Metric, Store, open_store
from ciris_store_core.cli.app import app
from ciris_store_core.cli.options import format_span, parse_span
from ciris_store_core.cli.terminal_charts import chart
from ciris_store_core.errors import InvalidArgument, NotFound, StoreError

Run = Callable[..., Result]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/see.db"
    with open_store(url) as store:
        fill(store)
    return url


def entry(level: str, message: str, at: datetime | None = None, tags: dict[str, str] | None = None) -> Correlation:
    return Correlation(
        correlation_type="log_entry", service_type="s", handler_name="h", action_type="log", tags=tags or {},
        timestamp=at or datetime.now(UTC),
        log_data={"log_level": level, "log_message": message, "logger_name": "agent"},
    )  # fmt: skip


def fill(store: Store) -> None:
    now = store.server_now()
    waves = [
        Metric("load", 5 + 4 * math.sin(m / 60 + shift), {"host": host}, now - timedelta(minutes=m), "%")
        for host, shift in (("a", 0), ("b", 2))
        for m in range(1, 600, 5)
    ]
    store.correlations.add_metrics([*waves, Metric("old", 7.0, {}, now - timedelta(days=40))])
    for number, level in enumerate(("INFO", "ERROR", "DEBUG", "WARNING")):
        tags = {"n": str(number)}
        store.correlations.add(entry(level, f"[red]message {number}[/red]", now - timedelta(seconds=60 - number), tags))
    for name, kind in (("ada", "user"), ("trains", "concept"), ("maps", "concept"), ("<far>", "concept")):
        store.graph.put(GraphNode(id=name, type=kind, scope="local", attributes={"of": name}))
    for source, target in (("ada", "trains"), ("maps", "ada"), ("trains", "maps"), ("maps", "<far>"), ("ada", "ada")):
        store.graph.put_edge(GraphEdge(source=source, target=target, relationship="to", scope="local", weight=0.5))


@pytest.fixture
def run(url: str) -> Run:
    def run_it(*arguments: str) -> Result:
        words = [url if word == "URL" else word for word in arguments]
        return CliRunner().invoke(app, words, env={"COLUMNS": "100"})

    return run_it


def told(result: Result) -> str:
    assert result.exception is None, result.exception
    return result.stdout


def test_metrics_are_listed(run: Run) -> None:
    text = told(run("metrics", "list", "URL"))
    assert "load" in text and "240" in text and "7" in text
    load, old = json.loads(told(run("metrics", "list", "URL", "--json")))
    assert (load["name"], load["samples"], load["unit"], old["value"]) == ("load", 240, "%", 7.0)


def test_a_metric_is_shown_as_a_table(run: Run) -> None:
    rows = json.loads(told(run("metrics", "show", "load", "URL", "--by", "host", "--bucket", "6h", "--json")))
    assert sum(row["count"] for row in rows) == 240 and {row["tags"]["host"] for row in rows} == {"a", "b"}
    assert all(row["min"] <= row["avg"] <= row["max"] for row in rows)
    text = told(run("metrics", "show", "load", "URL", "--tag", "host=a", "--by", "none", "--bucket", "30d"))
    assert "120" in text and "—" in text and "raw" in text
    assert "no samples" in told(run("metrics", "show", "old", "URL"))


def test_a_metric_is_drawn(run: Run, tmp_path: Path) -> None:
    text = told(run("metrics", "plot", "load", "URL", "--by", "host", "--hours", "10"))
    assert "avg of load" in text and "host=a" in text and "host=b" in text
    assert sum("\u2800" < each <= "\u28ff" for each in text) > 100 and max(map(len, text.splitlines())) <= 100
    points = json.loads(told(run("metrics", "plot", "load", "URL", "--function", "count", "--bucket", "7d", "--json")))
    assert sum(point["value"] for point in points) == 240
    assert "no samples" in told(run("metrics", "plot", "none", "URL"))


def test_pictures(run: Run, tmp_path: Path) -> None:
    for number, command in enumerate(
        (("metrics", "plot", "load", "URL", "--by", "host"), ("graph", "show", "ada", "URL"))
    ):
        png, page = tmp_path / f"{number}.png", tmp_path / f"{number}.html"
        told(run(*command, "--png", str(png), "--html", str(page)))
        assert png.read_bytes().startswith(b"\x89PNG") and len(png.read_bytes()) > 5000
        assert "<svg" in page.read_text() and "<script" not in page.read_text()


def test_the_log_is_shown(run: Run) -> None:
    lines = told(run("log", "tail", "URL", "-n", "3")).splitlines()
    assert [line.split("agent ")[1] for line in lines] == [f"[red]message {n}[/red]" for n in (1, 2, 3)]
    found = [json.loads(line) for line in told(run("log", "tail", "URL", "--level", "warning", "--json")).splitlines()]
    assert [each["level"] for each in found] == ["ERROR", "WARNING"]
    assert "message 2" in told(run("log", "tail", "URL", "--tag", "n=2"))


def test_the_log_is_followed(url: str) -> None:
    command = [Path(sys.executable).with_name("ciris-store"), "log", "tail", url, "-n", "1", "--json", "--follow"]
    with open_store(url) as store, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "message 3" in process.stdout.readline()
            store.correlations.add_many([entry("INFO", "first"), entry("INFO", "second")])
            assert [json.loads(process.stdout.readline())["message"] for _ in range(2)] == ["first", "second"]
            store.correlations.add(entry("INFO", "third"))
            assert json.loads(process.stdout.readline())["message"] == "third"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()


def test_a_node_is_drawn_with_what_is_around_it(run: Run) -> None:
    text = told(run("graph", "show", "ada", "URL"))
    assert text.splitlines()[0].startswith("ada user") and "<far> concept" in text and "↑" in text
    assert "<far>" not in told(run("graph", "show", "ada", "URL", "--depth", "1"))
    found = json.loads(told(run("graph", "show", "ada", "URL", "--json")))
    assert (len(found["nodes"]), len(found["edges"])) == (4, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("graph", "show", "nobody", "URL"), NotFound, "no node 'nobody'"),
        (("metrics", "plot", "load", "URL", "--function", "median"), InvalidArgument, "--function"),
        (("metrics", "show", "load", "URL", "--tag", "host"), InvalidArgument, "KEY=VALUE"),
        (("metrics", "show", "load", "URL", "--bucket", "0h"), InvalidArgument, "span"),
        (("log", "tail", "URL", "--level", "loud"), InvalidArgument, "min_log_level"),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], error: type[StoreError], said: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, error) and said in str(result.exception)


def test_spans_are_read_and_written() -> None:
    for text in ("1s", "90s", "5m", "1h", "7d"):
        assert format_span(parse_span(text)) == text
    for bad in ("", "1", "h", "-1h", "1.5h", "1w"):
        with pytest.raises(InvalidArgument):
            parse_span(bad)


def test_charts_of_flat_and_negative_lines() -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    lines: Any = {"flat": [(now, 3.0), (now + hour, 3.0)], "one": [(now, -2.0)]}
    for series in (lines, {"one": lines["one"]}):
        drawn = chart(series, now, now + hour, width=40, height=5)
        assert len(drawn) == 7 + (len(series) > 1) and all(len(line.plain) <= 45 for line in drawn)
