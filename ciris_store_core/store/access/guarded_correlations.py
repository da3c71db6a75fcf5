"""Correlations of a writing transaction: audit events are chained when they are stored, and never change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.errors import AccessDenied, InvalidArgument
from ciris_store_core.models.correlations import Correlation, CorrelationChanges, CorrelationQuery, Metric
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.store.access.approval_gate import ApprovalGate, pass_on
from ciris_store_core.store.audit.chain import is_audit
from ciris_store_core.store.audit.store_identity import STORE_CHAIN


class GuardedCorrelations:
    """Correlation store that chains audit events and refuses to change or delete them.

    It has every method of the contract by name. A method that it doesn't name cannot be called.
    """

    __slots__ = ("_chain", "_gate", "_inner", "_ordinary")

    def __init__(
        self, inner: CorrelationStore, gate: ApprovalGate, chain: Callable[[Sequence[Correlation]], None]
    ) -> None:
        """Guard the correlations of one transaction. ``chain`` appends the entries of stored audit events."""
        self._inner = inner
        self._gate = gate
        self._chain = chain
        # Ids of correlations that this transaction read and found to be no audit events. A correlation never changes
        # its type, so no later write has to read it again.
        self._ordinary: set[str] = set()

    def forget(self) -> None:
        """Forget the correlations that an earlier transaction read."""
        self._ordinary.clear()

    find = pass_on("find")
    count = pass_on("count")
    points = pass_on("points")
    aggregate = pass_on("aggregate")
    percentiles = pass_on("percentiles")
    metric_names = pass_on("metric_names")
    # An audit event has no expiry, so this deletes none.
    delete_expired = pass_on("delete_expired")

    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store correlations, and chain the audit events among them."""
        events = [each for each in correlations if is_audit(each)]
        if not events:
            self._inner.add(correlations)
            return
        if any(event.ttl_seconds is not None for event in events):
            raise InvalidArgument("an audit event stays until store.audit.prune removes it. Leave ttl_seconds out.")
        if any(event.agent_occurrence_id == STORE_CHAIN for event in events):
            raise InvalidArgument(f"{STORE_CHAIN} is the store's own chain. Give agent_occurrence_id another id.")
        self._gate.need_transaction()
        # The insert comes first: an id that exists is refused before the head of the chain is locked.
        self._inner.add(correlations)
        self._chain(events)

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        """Store measurements. A template that is an audit event is refused, as ``add`` alone writes the chain."""
        if is_audit(like):
            raise InvalidArgument("a measurement is no audit event. Store audit events with add.")
        self._inner.add_metrics(metrics, like)

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Return correlations, and remember the ordinary ones."""
        return self._remember(self._inner.get(correlation_ids))

    def lock(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Lock correlations, and remember the ordinary ones."""
        return self._remember(self._inner.lock(correlation_ids))

    def find_locked(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        """Lock a page of correlations, and remember the ordinary ones."""
        page = self._inner.find_locked(query)
        self._remember(page.items)
        return page

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        """Change a correlation that is no audit event."""
        self._refuse_audit([correlation_id], "changed")
        return self._inner.update(correlation_id, changes, now)

    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        """Delete correlations, none of which is an audit event."""
        self._refuse_audit(correlation_ids, "deleted")
        return self._inner.delete(correlation_ids, now)

    def _remember(self, found: list[Correlation]) -> list[Correlation]:
        self._ordinary.update(each.correlation_id for each in found if not is_audit(each))
        return found

    def _refuse_audit(self, ids: Sequence[str], done: str) -> None:
        unknown = [each for each in ids if each not in self._ordinary]
        if not unknown:
            return
        self._gate.need_transaction()
        for found in self.get(unknown):
            if is_audit(found):
                raise AccessDenied(
                    f"correlation {ascii(found.correlation_id)[:80]} is an audit event, which cannot be {done}. "
                    "Remove old ones with store.audit.prune."
                )
