"""Store of correlations, where DuckDB's arithmetic is not exact enough."""

from __future__ import annotations

from ciris_store_core.contract import CorrelationStore
from ciris_store_core.models.correlations import AggregatePoint, AggregateQuery
from ciris_store_core.sql.correlations import SqlCorrelationStore

INEXACT = ("sum", "avg")


class DuckCorrelationStore(SqlCorrelationStore):
    """Store of correlations that adds up in Python: DuckDB's sums, ``fsum`` included, lose 1 between 1e16 and -1e16."""

    def aggregate(self, query: AggregateQuery) -> list[AggregatePoint]:
        if query.function in INEXACT:
            return CorrelationStore.aggregate(self, query)
        return super().aggregate(query)
