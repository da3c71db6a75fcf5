"""LangGraph's long-term store on the documents of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from ciris_store_core import Document, NewDocument, NotSupported, Store, Transaction, field
from ciris_store_core.integrations.frameworks import secrets_mode
from ciris_store_core.models.document_filters import AllOf, Filter
from ciris_store_core.models.documents import DocumentKey
from ciris_store_core.store import Documents
from ciris_store_core.words import node_words, search_terms
from ciris_store_langgraph.opening import Opened, Threads
from ciris_store_langgraph.paging import in_pages

Namespace = tuple[str, ...]
_OPERATORS = {"$eq": "eq", "$ne": "ne", "$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}


class CirisStore(BaseStore):
    """Items by namespace and key, as documents below one namespace of a store.

    The operations of one batch see the items as they were before it, and its writes are one transaction. Every method
    has one implementation; the async ones run it on threads. Without an index, ``query`` ranks by words.

    >>> graph = builder.compile(store=CirisStore(store))
    """

    supports_ttl = True

    def __init__(
        self,
        store: Store,
        *,
        ttl: TTLConfig | None = None,
        index: IndexConfig | None = None,
        namespace: Sequence[str] = ("langgraph", "store"),
    ) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of all documents that this store writes.

        Raises:
            NotSupported: An ``index`` is given.
        """
        if index is not None:
            raise NotSupported("CirisStore has no search by vectors yet: it ranks a query by words. Leave out index.")
        self._store = store
        self._root = tuple(namespace)
        self._documents: Documents = store.documents
        self._within: Transaction | None = None
        self._mode = secrets_mode(store, "LangGraph")
        self._threads = Threads()
        self.ttl_config = ttl

    @classmethod
    def from_conn_string(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        ttl: TTLConfig | None = None,
        index: IndexConfig | None = None,
        **options: Any,
    ) -> Opened[CirisStore]:
        """Return a store to use in ``with`` or ``async with``; ``url`` and ``options`` as for ``open_store``."""
        return Opened(url, lambda store: cls(store, ttl=ttl, index=index), options)

    def within(self, tx: Transaction) -> CirisStore:
        """Return a store whose calls are part of an open transaction, begun with ``transaction(shared=True)``."""
        bound = CirisStore(self._store, ttl=self.ttl_config, namespace=self._root)
        bound._documents, bound._within, bound._threads = tx.documents, tx, self._threads
        return bound

    def setup(self) -> None:
        """Do nothing: the store made its tables when it was opened."""

    def close(self) -> None:
        """End the threads of the async methods. The store stays open."""
        self._threads.close()

    def sweep_ttl(self) -> int:
        """Delete what has expired, and return how many; the store's maintenance does the same."""
        from ciris_store_core.services import DatabaseMaintenanceService

        return DatabaseMaintenanceService(self._store, archive_dir=None).run().expired_documents

    # --- batches ----------------------------------------------------------------------------------

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations and return their results in order. The last put of an item wins."""
        listed = list(ops)
        results: list[Result] = [None] * len(listed)
        self._get([(at, op) for at, op in enumerate(listed) if isinstance(op, GetOp)], results)
        for at, op in enumerate(listed):
            if isinstance(op, SearchOp):
                results[at] = self._search(op)
            elif isinstance(op, ListNamespacesOp):
                results[at] = self._namespaces(op)
        puts = {(op.namespace, op.key): op for op in listed if isinstance(op, PutOp)}
        if puts:
            self._put(list(puts.values()))
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See ``batch``."""
        return await self._threads.run(self.batch, list(ops))

    def _get(self, gets: list[tuple[int, GetOp]], results: list[Result]) -> None:
        keys = [DocumentKey(self._path(op.namespace), op.key) for _, op in gets]
        found = self._documents.get_many(keys)
        self._refresh(
            [each for key, (_, op) in zip(keys, gets, strict=True) if op.refresh_ttl and (each := found.get(key))]
        )
        for (at, _), key in zip(gets, keys, strict=True):
            document = found.get(key)
            results[at] = None if document is None else self._item(document)

    def _refresh(self, documents: Iterable[Document]) -> None:
        """Move the expiry of those that expire. Most never do, and are not written to."""
        if expiring := [(each.namespace, each.key) for each in documents if each.ttl is not None]:
            self._documents.get_many(expiring, refresh=True)

    def _put(self, puts: list[PutOp]) -> None:
        gone = [(self._path(op.namespace), op.key) for op in puts if op.value is None]
        new = [
            NewDocument(self._path(op.namespace), op.key, op.value, ttl=None if op.ttl is None else op.ttl * 60)
            for op in puts
            if op.value is not None
        ]
        if gone and new and self._within is None:
            self._store.run(lambda tx: self._write(tx.documents, new, gone))
        else:
            self._write(self._documents, new, gone)

    def _write(self, documents: Documents, new: list[NewDocument], gone: list[tuple[Namespace, str]]) -> None:
        if gone:
            documents.delete_many(gone)
        documents.put_many(new, secrets=self._mode)

    # --- searching --------------------------------------------------------------------------------

    def _search(self, op: SearchOp) -> list[SearchItem]:
        prefix, condition = self._path(op.namespace_prefix), _condition(op.filter)
        if self._mode == "encrypt":  # No database can look into encrypted values.
            everything = self._newest(prefix, None, None)
            found: Iterator[Document] = (each for each in everything if _meets(condition, each))
        else:
            found = self._newest(prefix, condition, None if op.query else op.offset + op.limit)
        if op.query:
            ranked = self._ranked(found, op.query)
            chosen = ranked[op.offset : op.offset + op.limit]
        else:
            chosen = [(each, None) for each in islice(found, op.offset, op.offset + op.limit)]
        if op.refresh_ttl:
            self._refresh(each for each, _ in chosen)
        return [
            SearchItem(each.namespace[len(self._root) :], each.key, each.value, each.created_at, each.updated_at, score)
            for each, score in chosen
        ]

    def _newest(self, prefix: Namespace, condition: Filter | None, first: int | None) -> Iterator[Document]:
        return in_pages(self._documents, prefix, first=first, filter=condition, order="updated", descending=True)

    @staticmethod
    def _ranked(found: Iterable[Document], query: str) -> list[tuple[Document, float | None]]:
        """Return the items that share a word with the query, those with most of its words first."""
        wanted = set(search_terms(query))
        scored = []
        for each in found:
            held = set(node_words("", each.value))
            score = len(wanted & held) / len(wanted) if wanted else 0.0
            scored.append((each, score))
        return sorted(scored, key=lambda each: -(each[1] or 0.0))

    def _namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        narrow = next((each.path for each in conditions if each.match_type == "prefix"), ())
        prefix = (*self._root, *(None if segment == "*" else segment for segment in narrow))
        found: dict[Namespace, None] = {}
        cursor = None
        while len(found) < op.offset + op.limit:
            page = self._documents.namespaces(prefix, limit=1000, cursor=cursor)
            for namespace in page:
                own = namespace[len(self._root) :]
                if own and all(_fits(own, each) for each in conditions):
                    found.setdefault(own[: op.max_depth])
            if (cursor := page.next_cursor) is None:
                break
        return list(found)[op.offset : op.offset + op.limit]

    # --- inside -----------------------------------------------------------------------------------

    def _path(self, namespace: Namespace) -> Namespace:
        return (*self._root, *namespace)

    def _item(self, document: Document) -> Item:
        return Item(
            value=document.value,
            key=document.key,
            namespace=document.namespace[len(self._root) :],
            created_at=document.created_at,
            updated_at=document.updated_at,
        )


def _condition(given: dict[str, Any] | None) -> Filter | None:
    """Return LangGraph's filter as a condition: top-level keys, each equal to a value or compared by operators."""
    parts: list[Filter] = []
    for key, wanted in (given or {}).items():
        part = field(key)
        if isinstance(wanted, dict) and any(name.startswith("$") for name in wanted):
            for name, operand in wanted.items():
                if name not in _OPERATORS:
                    raise ValueError(f"unknown operator {name!r}. Use one of {', '.join(_OPERATORS)}.")
                parts.append(getattr(part, _OPERATORS[name])(operand))
        else:
            parts.append(part.eq(wanted))
    return AllOf(tuple(parts)) if parts else None


def _meets(condition: Filter | None, document: Document) -> bool:
    from ciris_store_core.models.document_filters import matches

    return condition is None or matches(condition, document.value)


def _fits(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", segment) for wanted, segment in zip(path, part, strict=True))
