"""Rotation of keys for encrypted documents and stream entries, and a look at each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt, StoreError
from ciris_store_core.models.payloads import Payload
from ciris_store_core.secrets.rotation import Progress, SecretsReport
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.documents.payload_coder import PayloadCoder, Place
from ciris_store_core.store.execution import Executor

T = TypeVar("T")

_BATCH = 200
Found = tuple[Place, Payload, Callable[[Session, Payload], bool]]
"""Place and payload of an encrypted value, and what replaces its payload."""


class EncryptedValues:
    """All encrypted documents and stream entries of a store."""

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Take the executor that reads and writes them."""
        self._x = executor
        self._ctx = ctx
        self._coder = PayloadCoder(executor, ctx)

    def reencrypt(self, key_ids: list[str], progress: Progress) -> int:
        """Encrypt what is under these keys again, under the active one, in small transactions; return how many.

        A value that cannot be decrypted stays as it is; ``survey`` names it.
        """
        moved = 0
        for key_id in key_ids:
            for batch in self._batches(key_id):
                moved += self._x.write("secrets.rotate", partial(self._move, batch), single=False)
                progress(moved)
        return moved

    def _move(self, batch: list[Found], session: Session) -> int:
        count = 0
        for place, payload, replace in batch:
            try:
                plain = self._coder.decrypted(place, payload, session)
            except Corrupt:
                continue
            count += replace(session, self._coder.encrypted(session, place, plain))
        return count

    def survey(self, key_ids: list[str], report: SecretsReport) -> None:
        """Decrypt every value that is under one of these keys, and add it to the report."""
        for key_id in key_ids:
            for batch in self._batches(key_id):
                for place, payload, _ in batch:
                    try:
                        self._coder.plain(place, payload)
                    except StoreError:
                        report.corrupt.append(f"{place.kind} {'/'.join(place.namespace)}/{place.name}")
                    else:
                        report.by_key[key_id] += 1

    def _batches(self, key_id: str) -> Iterator[list[Found]]:
        if Capability.DOCUMENTS in self._ctx.capabilities:
            yield from self._pages(lambda session, after: _documents(session, key_id, after))
        if Capability.STREAMS in self._ctx.capabilities:
            yield from self._pages(lambda session, after: _entries(session, key_id, after))

    def _pages(self, find: Callable[[Session, Any], tuple[list[Found], Any]]) -> Iterator[list[Found]]:
        after = None
        while True:
            found, after = self._x.read("secrets.find_encrypted", lambda session, after=after: find(session, after))  # type: ignore[misc]
            if found:
                yield found
            if len(found) < _BATCH:
                return


def _documents(session: Session, key_id: str, after: Any) -> tuple[list[Found], Any]:
    stored = session.documents.find_encrypted(key_id, after, _BATCH)
    found: list[Found] = [
        (
            Place("document", *each.id),
            each.payload,
            lambda session, payload, each=each: session.documents.reencrypt(each, payload),  # type: ignore[misc]
        )
        for each in stored
    ]
    return found, stored[-1].id if stored else None


def _entries(session: Session, key_id: str, after: Any) -> tuple[list[Found], Any]:
    stored = session.streams.find_encrypted(key_id, after, _BATCH)
    found: list[Found] = [
        (
            Place("stream", *stream),
            entry.payload,
            lambda session, payload, stream=stream, entry=entry: session.streams.reencrypt(stream, entry, payload),  # type: ignore[misc]
        )
        for stream, entry in stored
    ]
    return found, (stored[-1][0], stored[-1][1].position) if stored else None
