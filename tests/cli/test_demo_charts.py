"""Charts of the demo."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ciris_store_core.demo import text_charts
from ciris_store_core.demo.run import DemoOptions


def test_bars_fill_from_the_bottom() -> None:
    lines = [line.split("│")[1] for line in text_charts.bars([100, 50, None, 0, 5], 100)]
    assert lines == ["█    ", "█    ", "█▄   ", "██   ", "██  ▂"]


def test_a_spark_shows_the_least_there_is() -> None:
    assert text_charts.spark("w", [0, 1, 50, 100, None], 100).endswith("│ ▁▄█ ")


def test_ticks_of_the_time_axis_stand_over_their_seconds() -> None:
    line, seconds = text_charts.time_axis("0", 25, 0.1).split("\n")
    assert [index for index, mark in enumerate(line) if mark == "┬"] == [text_charts.MARGIN + at for at in (0, 10, 20)]
    assert [seconds.index(text) for text in ("0 s", "1 s", "2 s")] == [text_charts.MARGIN + at for at in (0, 10, 20)]


def test_a_ceiling_is_round() -> None:
    assert [text_charts.ceiling(values) for values in ([], [0.0], [3.0, None], [5.0], [0.07], [1234.0])] == [
        1.0, 1.0, 5.0, 5.0, pytest.approx(0.1), 2000.0,
    ]  # fmt: skip


def test_a_lease_is_long_against_its_heartbeats() -> None:
    from ciris_store_core.demo.heartbeats import SAMPLE_SECONDS, SAMPLES_PER_BEAT

    assert timedelta(seconds=SAMPLE_SECONDS * SAMPLES_PER_BEAT * 4) < timedelta(seconds=DemoOptions().ttl_seconds)
