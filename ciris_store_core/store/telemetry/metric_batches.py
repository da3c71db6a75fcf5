"""Checks of measurements; a batch holds many that are alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import Metric
from ciris_store_core.models.ids import uuid7
from ciris_store_core.validation.json_values import plain_number
from ciris_store_core.validation.validator import Validator, moment

GREATEST = sys.float_info.max


def checked_metrics(
    check: Validator, metrics: Iterable[Metric], now: datetime
) -> tuple[list[Metric], list[Mapping[str, str]]]:
    """Return the measurements, completed and checked (each series once), and all their tags and units."""
    names: dict[str, str] = {}
    units: dict[str | None, str | None] = {None: None}
    known: dict[tuple[Any, ...], Mapping[str, str]] = {}
    ready = []
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise InvalidArgument(f"expected a Metric, not {type(metric).__name__}. Write Metric(name, value, tags).")
        name, value, tags, timestamp, unit, metric_id = metric
        try:
            if name not in names:
                names[name] = check.ident(name, "name")
            series = tuple(tags.items())
            if series not in known:
                known[series] = check.tags(tags, "tags")
            if unit is not None and unit not in units:
                units[unit] = check.text(unit, "unit")
        except (AttributeError, TypeError):  # tags are no dict, or hold a value that is not hashable
            raise InvalidArgument("a Metric has a text as name, and a dict of text to text as tags") from None
        ready.append(
            Metric(
                names[name],
                _value(value),
                known[series],
                moment(timestamp, "timestamp") or now,
                units[unit],
                uuid7() if metric_id is None else check.ident(metric_id, "metric_id"),
            )
        )
    return ready, [*known.values(), *({"unit": unit} for unit in units.values() if unit)]


def _value(value: object) -> float:
    if type(value) is float and isfinite(value):
        return value + 0.0  # -0.0 becomes 0.0
    number = plain_number(value)
    if number is None or not -GREATEST <= number <= GREATEST:
        raise InvalidArgument(f"value: expected a finite number, not {ascii(value)[:80]}. Leave the measurement out.")
    return number + 0.0  # an integer becomes a float
