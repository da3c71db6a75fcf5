"""Memory files of the harness, as documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pydantic_ai_harness.memory import (
    MemoryConflictError,
    MemoryFile,
    MemoryMutation,
    MemoryOperation,
    MemoryOperationConflictError,
    MemorySearchMatch,
    MemorySearchResult,
)

from ciris_store_core import AsyncStore, Document, Store, Transaction
from ciris_store_pydantic.base import Key, OnStore

_SEGMENT = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_MOST_METADATA = 4096


class CirisMemoryStore(OnStore):
    """Memory files with versions, write metadata and search. A change and the receipt of its operation are one commit.

    >>> agent = Agent("test", capabilities=[Memory(store=CirisMemoryStore(store))])
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        receipts: timedelta = timedelta(days=30),
        namespace: Sequence[str] = ("pydantic", "memory"),
    ) -> None:
        """Work on an open store, which the caller closes.

        Args:
            store: The store.
            receipts: How long the operations that were applied are remembered.
            namespace: Of all that this writes.
        """
        super().__init__(store, namespace)
        self._ttl = receipts.total_seconds()

    async def read(self, path: str, *, max_chars: int) -> MemoryFile | None:
        """Return a file, its content cut at ``max_chars``, or None."""
        if max_chars <= 0:
            raise ValueError("max_chars must be positive")
        found = await self._store.documents.get(*self._file(path))
        if found is None:
            return None
        content = found.value["content"]
        return MemoryFile(
            content=content[:max_chars],
            version=found.value["version"],
            operation_id=found.value["operation"],
            truncated=len(content) > max_chars,
            metadata=found.value["metadata"],
        )

    async def get_operation(self, operation: MemoryOperation) -> MemoryMutation | None:
        """Return the result of an operation that was applied, or None."""
        return _replayed(await self._store.documents.get(*self._receipt(operation)), operation)

    async def write(
        self, path: str, content: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Write a file if its version is ``expected_version``, None for a new one."""
        return await self._run(self._change, path, {"content": content, "metadata": None}, expected_version, operation)

    async def write_with_metadata(
        self,
        path: str,
        content: str,
        *,
        expected_version: str | None,
        metadata: Mapping[str, str] | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Write a file, and facts about this write."""
        value = {"content": content, "metadata": _checked(metadata)}
        return await self._run(self._change, path, value, expected_version, operation)

    async def delete(
        self, path: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Delete a file if its version is ``expected_version``."""
        return await self._run(self._change, path, None, expected_version, operation)

    def _change(
        self,
        tx: Transaction,
        path: str,
        value: dict[str, Any] | None,
        expected: str | None,
        operation: MemoryOperation | None,
    ) -> MemoryMutation:
        place = self._file(path)
        # The lock first: an operation that another caller applies at the same time has left its receipt by then.
        stored = tx.documents.get(*place, for_update=True)
        if operation is not None:
            done = _replayed(tx.documents.get(*self._receipt(operation)), operation)
            if done is not None:
                return done
        if (stored.value["version"] if stored else None) != expected:
            raise MemoryConflictError(f"memory path {path!r} changed before it could be changed")
        version = None if value is None else uuid4().hex
        if value is None:
            tx.documents.delete(*place)
        else:
            full = {**value, "version": version, "operation": operation.id if operation else None}
            tx.documents.put(*place, full, insert=stored is None, secrets=self._mode)
        if operation is not None:
            receipt = {"fingerprint": operation.fingerprint, "version": version, "existed": stored is not None}
            tx.documents.put(*self._receipt(operation), receipt, insert=True, ttl=self._ttl, secrets="plain")
        return MemoryMutation(version=version, replayed=False, existed=stored is not None)

    async def list_paths(self, prefix: str = "", *, limit: int) -> list[str]:
        """Return the paths that begin with a prefix, in order."""
        if limit <= 0:
            raise ValueError("limit must be positive")
        return [each.key for each in await self._below(prefix, limit)]

    async def search(
        self, prefix: str, query: str, *, limit: int, max_files: int, max_chars: int, max_file_chars: int
    ) -> MemorySearchResult:
        """Return the files directly below a prefix in which words of the query occur, those with most of them first.

        At most ``max_files`` are read, in the order of their paths.
        """
        terms = query.lower().split()
        if not terms or min(limit, max_files, max_chars, max_file_chars) <= 0:
            return MemorySearchResult(matches=[], scanned=0, truncated=False)
        files = await self._below(prefix, max_files + 1, direct=True)
        truncated = len(files) > max_files
        scored = []
        for each in files[:max_files]:
            content, name = each.value["content"], each.key.removeprefix(prefix)
            truncated |= len(content) > max_file_chars
            content = content[:max_file_chars]
            score = sum(content.lower().count(term) + 2 * name.lower().count(term) for term in terms)
            if score:
                scored.append((-score, each.key, name, content))
        matches: list[MemorySearchMatch] = []
        left = max_chars
        for score, path, name, content in sorted(scored)[:limit]:
            if left <= len(name):
                break
            snippet = _snippet(content, terms, left - len(name))
            matches.append(MemorySearchMatch(path=path, snippet=snippet, score=float(-score)))
            left -= len(name) + len(snippet)
        return MemorySearchResult(
            matches=matches, scanned=min(len(files), max_files), truncated=truncated or len(matches) < len(scored)
        )

    async def _below(self, prefix: str, limit: int, *, direct: bool = False) -> list[Document]:
        if prefix:
            _check(prefix.removesuffix("/"))
        found: list[Document] = []
        async for each in self._store.documents.scan((*self._root, "file"), key_prefix=prefix or None):
            if not direct or "/" not in each.key.removeprefix(prefix):
                found.append(each)
                if len(found) == limit:
                    break
        return found

    def _file(self, path: str) -> Key:
        _check(path)
        return (*self._root, "file"), path

    def _receipt(self, operation: MemoryOperation) -> Key:
        return (*self._root, "operation"), operation.id


def _check(path: str) -> None:
    """Raise ``ValueError`` for a path that the harness's own stores refuse."""
    if not all(_SEGMENT.fullmatch(part) and ".." not in part and part != "." for part in path.split("/")):
        raise ValueError(f"invalid memory path: {path!r}")


def _checked(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    if not metadata:
        return None
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()):
        raise TypeError("memory metadata keys and values must be strings")
    if (size := len(json.dumps(dict(metadata), ensure_ascii=False))) > _MOST_METADATA:
        raise ValueError(f"memory metadata has {size} characters as JSON, and {_MOST_METADATA} is the most")
    return dict(metadata)


def _replayed(receipt: Document | None, operation: MemoryOperation) -> MemoryMutation | None:
    if receipt is None:
        return None
    if receipt.value["fingerprint"] != operation.fingerprint:
        raise MemoryOperationConflictError(f"operation id {operation.id!r} was reused with different arguments")
    return MemoryMutation(version=receipt.value["version"], replayed=True, existed=receipt.value["existed"])


def _snippet(content: str, terms: Sequence[str], most: int) -> str:
    """Return the surroundings of the first word that occurs, at most so many characters."""
    lower = content.lower()
    first = min((at for term in terms if (at := lower.find(term)) >= 0), default=0)
    start = max(0, min(first - most // 3, len(content) - most))
    return content[start : start + most]
