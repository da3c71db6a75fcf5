"""A collector for Prometheus: the counters of an open store, and the latest values of stored metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ciris_store_core.models.correlations import TimeSeriesDataPoint
from ciris_store_core.store.store import Store

_MAX_SERIES = 1000
"""Latest points that are read of one metric: so many series of it can be told apart."""


class StoreCollector(Collector):
    """Collector of ``store.stats()`` as gauges ``ciris_store_*``, and of the latest value of each series of metrics.

    Register it once; the server of ``prometheus_client``, or ``generate_latest``, then shows current values::

        REGISTRY.register(StoreCollector(store, ["cpu.load"]))

    The names of metrics and tags become valid names of Prometheus: what is no letter or digit becomes ``_``. A failed
    read of the store is an error of the scrape.
    """

    def __init__(
        self, store: Store, metric_names: Iterable[str] = (), *, within: timedelta = timedelta(minutes=5)
    ) -> None:
        """Show these metrics, as far as they have a value no older than ``within``."""
        self._store, self._names, self._within = store, tuple(metric_names), within

    def describe(self) -> list[Metric]:
        """Return nothing: registration reads no store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the store."""
        for name, value in self._store.stats().items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield GaugeMetricFamily(f"ciris_store_{_valid(name)}", f"{name} of the open store", value=value)
        for name in self._names:
            yield self._latest(name)

    def _latest(self, name: str) -> Metric:
        family = GaugeMetricFamily(_valid(name), f"latest value of {name}")
        since = self._store.server_now() - self._within
        points = self._store.correlations.points(
            metric_name=name, time_from=since, descending=True, limit=_MAX_SERIES
        ).items
        latest: dict[tuple[tuple[str, str], ...], TimeSeriesDataPoint] = {}
        for point in points:  # newest first
            latest.setdefault(tuple(sorted((_valid(key), value) for key, value in point.tags.items())), point)
        for tags, point in sorted(latest.items()):
            family.add_sample(family.name, dict(tags), point.value)
        return family


def _valid(name: str) -> str:
    valid = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{valid}" if valid[:1].isdigit() or not valid else valid
