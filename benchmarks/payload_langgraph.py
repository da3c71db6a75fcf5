"""LangGraph's store on documents. It has no compare-and-set, no bytes and no streams."""
# ruff: noqa: D102 - PayloadContender says what each workload is

from __future__ import annotations

from typing import Any

from langgraph.store.base import PutOp

from benchmarks import payload_values as content
from benchmarks.fill import settle
from benchmarks.payload_contenders import NEW, PayloadContender
from benchmarks.with_langgraph import BATCH, open_langgraph


class WithLangGraphPayloads(PayloadContender):
    """Its ``SqliteStore`` and ``PostgresStore``, filled with as many items."""

    name = "LangGraph store"
    only = frozenset({"document_put", "document_get", "documents_put", "documents_list"})

    def __init__(self, url: str) -> None:
        self.url = url
        self.store, self._connection = open_langgraph(url)

    def close(self) -> None:
        self._connection.close()

    def fill(self, documents: int, text: int) -> None:
        """Put as many items as the other contenders hold."""
        for first in range(0, documents, BATCH):
            numbers = range(first, min(first + BATCH, documents))
            self.store.batch([PutOp(*content.document_key(i), content.value(i, text), False) for i in numbers])
        settle(self.url)

    def document_put(self, number: int) -> Any:
        self.store.put(NEW, f"n{number}", content.value(number), index=False)

    def document_get(self, number: int) -> Any:
        return self.store.get(*self.chosen(number))

    def documents_put(self, number: int) -> Any:
        numbers = range(content.LISTED)
        self.store.batch([PutOp(NEW, f"m{number}-{i}", content.value(i), False) for i in numbers])

    def documents_list(self, number: int) -> Any:
        return self.store.search(self.chosen_user(number), limit=content.LISTED)
