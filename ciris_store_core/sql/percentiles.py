"""Percentiles computed by the database, which returns only the samples beside each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from ciris_store_core.contract.aggregation import interpolated
from ciris_store_core.models.correlations import PercentilePoint, PercentileQuery
from ciris_store_core.sql.rows import Row
from ciris_store_core.sql.statements import fill_in

# Of ``{samples}``: buckets ``b``, groups and ``metric_value``.
PERCENTILES = """
SELECT {keys}, n, place, metric_value FROM (
    SELECT {keys}, metric_value, row_number() OVER (PARTITION BY {keys} ORDER BY metric_value) - 1 AS place,
        count(*) OVER (PARTITION BY {keys}) AS n
    FROM ({samples}) r
) s
WHERE {beside} ORDER BY {key_order}, place
"""

# The samples at the two places around a fraction of the way from the first to the last.
BESIDE = "(place > ? * (n - 1) - 1 AND place < ? * (n - 1) + 1)"


def statement_of(samples: str, groups: Sequence[str], fractions: Sequence[float]) -> str:
    """Return the statement over samples; it binds each fraction twice."""
    beside = " OR ".join([BESIDE] * len(fractions))
    return fill_in(PERCENTILES, keys=keys_of(groups), samples=samples, beside=beside, key_order=ordered(groups))


def keys_of(groups: Sequence[str]) -> str:
    """Return the columns of bucket and groups."""
    return ", ".join(["b", *groups])


def ordered(groups: Sequence[str]) -> str:
    """Return an order by bucket, then group, None first."""
    return ", ".join(["b", *(f"{group} IS NOT NULL, {group}" for group in groups)])


def points_of(rows: Sequence[Row], query: PercentileQuery, time_out: Callable[[Any], Any]) -> list[PercentilePoint]:
    """Return the points that the rows of ``PERCENTILES`` make."""
    width = len(query.group_by) + 2
    points = []
    for (start, *group, count), found in groupby(rows, key=lambda row: row[:width]):
        value_at = {int(row[width]): float(row[width + 1]) for row in found}.__getitem__
        values = tuple(interpolated(fraction, int(count), value_at) for fraction in query.fractions)
        points.append(PercentilePoint(time_out(start), tuple(group), values, int(count)))
    return points
