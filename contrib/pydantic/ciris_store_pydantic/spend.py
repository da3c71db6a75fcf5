"""Spend counters of the harness, one document for each window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

from pydantic_ai_harness.spend import SpendEntry, Spent

from ciris_store_core import AsyncStore, Document, NewDocument, Store, Transaction
from ciris_store_core.models.documents import DocumentKey
from ciris_store_pydantic.base import OnStore

_DIGITS = 40


class CirisSpendStore(OnStore):
    """Counters that all workers share. The windows of a response are counted together, and a token once.

    >>> agent = Agent("test", capabilities=[SpendLimits(budgets, store=CirisSpendStore(store))])
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        dedup_retain: timedelta | None = timedelta(hours=1),
        namespace: Sequence[str] = ("pydantic", "spend"),
    ) -> None:
        """Work on an open store, which the caller closes.

        Args:
            store: The store.
            dedup_retain: How long the token of a counted response is remembered, but no longer than its window; None
                counts every response.
            namespace: Of all that this writes.
        """
        super().__init__(store, namespace)
        self._retain = dedup_retain

    async def get(self, key: str) -> Spent:
        """Return what one window has accumulated."""
        return (await self.get_many([key]))[key]

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Spent]:
        """Return what each window has accumulated; one that was never written, or has expired, is zero."""
        found = await self._store.documents.get_many([self._counter(key) for key in keys])
        return {key: _spent(found.get(self._counter(key))) for key in keys}

    async def add(
        self, key: str, *, usd: Decimal, tokens: int, requests: int, unpriced: int, ttl: timedelta | None
    ) -> Spent:
        """Add to one window and return its total."""
        entry = SpendEntry(key=key, usd=usd, tokens=tokens, requests=requests, unpriced=unpriced, ttl=ttl)
        return (await self.add_many([entry]))[key]

    async def add_many(self, entries: Sequence[SpendEntry]) -> Mapping[str, Spent]:
        """Add to all windows or to none, and return their totals. An entry whose token was counted adds nothing."""
        return await self._run(self._add, list(entries)) if entries else {}

    def _add(self, tx: Transaction, entries: list[SpendEntry]) -> dict[str, Spent]:
        # In one order, so that two callers with the same windows don't wait for one another.
        keys = sorted({entry.key for entry in entries})
        counters = tx.documents.get_many([self._counter(key) for key in keys], for_update=True)
        # After the locks: a response that was counted meanwhile is found.
        counted = set(tx.documents.get_many([self._token(each) for each in entries if self._tells(each)]))
        totals = {key: _spent(counters.get(self._counter(key))) for key in keys}
        changed: dict[str, SpendEntry] = {}
        new: list[NewDocument] = []
        for entry in entries:
            if self._tells(entry):
                if self._token(entry) in counted:
                    continue
                counted.add(self._token(entry))
                new.append(NewDocument(*self._token(entry), True, ttl=self._remembered(entry)))
            totals[entry.key] = _sum(totals[entry.key], entry)
            changed[entry.key] = entry
        for key, entry in changed.items():
            value, place = _value(totals[key]), self._counter(key)
            ttl = None if entry.ttl is None else entry.ttl.total_seconds()
            new.append(NewDocument(*place, value, ttl=ttl, insert=place not in counters))
        tx.documents.put_many(new, secrets="plain")
        return totals

    def _tells(self, entry: SpendEntry) -> bool:
        return entry.token is not None and self._retain is not None

    def _remembered(self, entry: SpendEntry) -> float:
        retain = self._retain or timedelta(0)
        return (retain if entry.ttl is None else min(retain, entry.ttl)).total_seconds()

    def _counter(self, key: str) -> DocumentKey:
        return DocumentKey((*self._root, "window"), key)

    def _token(self, entry: SpendEntry) -> DocumentKey:
        return DocumentKey((*self._root, "token", entry.key), entry.token or "")


def _sum(spent: Spent, entry: SpendEntry) -> Spent:
    # The caller's own precision must not round money.
    with localcontext() as context:
        context.prec = _DIGITS
        return Spent(
            usd=spent.usd + entry.usd,
            tokens=spent.tokens + entry.tokens,
            requests=spent.requests + entry.requests,
            unpriced_requests=spent.unpriced_requests + entry.unpriced,
        )


def _value(spent: Spent) -> dict[str, Any]:
    return {
        "usd": str(spent.usd), "tokens": spent.tokens, "requests": spent.requests,
        "unpriced_requests": spent.unpriced_requests,
    }  # fmt: skip


def _spent(document: Document | None) -> Spent:
    if document is None:
        return Spent()
    return Spent(**{**document.value, "usd": Decimal(document.value["usd"])})
