"""Streams, as users hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, InvalidArgument
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamEntry, StreamKey
from ciris_store_core.secrets.crypto import is_check, keep, resolve_references
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import DELETE_BATCH, drop
from ciris_store_core.store.documents.names import AnyNamespace, name_of
from ciris_store_core.store.documents.stream_reads import LAST_POSITION, StreamReads, place_of
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    identical,
    refuse_repeats,
)
from ciris_store_core.validation.payloads import value_of
from ciris_store_core.validation.validator import whole

Positions = list[int]


@dataclass(slots=True)
class NewEntry:
    """One entry to append, where it has more than a value."""

    value: Any
    kind: str = ""
    id: str | None = None
    media_type: str | None = None


class Streams(StreamReads):
    """Append-only sequences of entries, such as conversations and the events of runs [cap: streams].

    A stream is known by its namespace and name; the first append makes it. Values come back exactly as they were
    written. No call costs more for a long stream, or for many.
    """

    __slots__ = ()

    # --- appending --------------------------------------------------------------------------------

    def append(
        self,
        namespace: AnyNamespace,
        name: str,
        entries: Iterable[Any],
        *,
        expected_position: int | None = None,
        secrets: SecretsMode | None = None,
    ) -> Positions:
        """Append entries, all or none, and return their positions.

        Positions are 1, 2, 3, … without gaps, in the order of commits: no reader sees a position without those before
        it. Appenders to one stream wait for one another, and for no other stream's.

        Args:
            namespace: 1 to 32 texts, as for documents.
            name: The name within the namespace.
            entries: JSON values, bytes, or ``NewEntry`` for an entry with a kind, an id or a media type. An entry whose
                id the stream has is not appended again: its position is returned.
            expected_position: Append only if this is the position of the newest entry; 0: only to an empty stream.
            secrets: Treatment of secrets in the values; ``SecretsConfig.documents`` goes before this.

        Raises:
            RevisionMismatch: The newest entry is not at ``expected_position``.
            Conflict: An id is stored with another value. Nothing was written.
            InvalidArgument: A part cannot be stored. Nothing was written.
        """
        stream = self._key(namespace, name)
        if isinstance(entries, str | bytes | dict):
            raise InvalidArgument("entries: expected several, not one value", hint="Put it into a list.")
        if expected_position is not None:
            whole(expected_position, "expected_position", 0, LAST_POSITION)
        now, extracted = self._ctx.clock.now(), ExtractedSecrets()
        mode = self._coder.mode(stream.namespace, secrets)
        ready = [self._entry(stream, given, mode, now, extracted) for given in entries]
        if not ready:
            return []
        ids = [each.id for each in ready if each.id is not None]
        refuse_repeats(ids, "the id of an entry")

        def fn(session: Session) -> Positions:
            written = [self._encrypted(session, stream, each) for each in ready] if mode == "encrypt" else ready
            stored = session.streams.append(stream, written, now, expected_position)
            if ids:
                for wanted, found in zip(ready, stored, strict=True):
                    self._refuse_difference(session, stream, wanted, found, extracted)
            if extracted:
                # Not those of an entry that was stored before: its secrets are, too.
                used = {ref for each in stored for ref in each.payload.secret_refs}
                keep(session, [secret for secret in extracted if is_check(secret) or secret.secret_id in used])
            return [each.position for each in stored]

        return self._x.write("streams.append", fn, single=not (ids or extracted))

    def _entry(
        self, stream: StreamKey, given: Any, mode: SecretsMode, now: datetime, extracted: ExtractedSecrets
    ) -> StoredEntry:
        new = given if isinstance(given, NewEntry) else NewEntry(given)
        check = self._ctx.check
        media_type = None if new.media_type is None else check.ident(new.media_type, "media_type")
        payload, _ = self._coder.prepare(place_of(stream), new.value, media_type, mode, now, extracted)
        return StoredEntry(
            payload,
            now,
            None if new.id is None else name_of(new.id, "id"),
            check.ident(new.kind, "kind") if new.kind else "",
        )

    def _encrypted(self, session: Session, stream: StreamKey, entry: StoredEntry) -> StoredEntry:
        return replace(entry, payload=self._coder.encrypted(session, place_of(stream), entry.payload))

    def _refuse_difference(
        self, session: Session, stream: StreamKey, wanted: StoredEntry, found: StoredEntry, extracted: ExtractedSecrets
    ) -> None:
        """Raise ``Conflict`` if an id is stored with another kind or value."""
        if wanted.id is None or (found.kind == wanted.kind and self._same(session, stream, wanted, found, extracted)):
            return
        raise Conflict(
            f"stream {stream.name!r} has an entry {wanted.id!a} with another value",
            kind="entry",
            key=(*stream, wanted.id),
            hint="Use another id.",
        )

    def _same(
        self, session: Session, stream: StreamKey, wanted: StoredEntry, found: StoredEntry, extracted: ExtractedSecrets
    ) -> bool:
        if found.payload == wanted.payload:
            return True
        place, stored = place_of(stream), found.payload
        if stored.format == "encrypted":
            stored = self._coder.decrypted(place, stored, session)
        if (stored.format, stored.media_type) != (wanted.payload.format, wanted.payload.media_type):
            return False
        ours, theirs = value_of(wanted.payload), value_of(stored)
        if stored.secret_refs and self._ctx.crypto.has_keys:
            known = [s for s in session.secrets.get(stored.secret_refs) if s.metadata.get("owner") == place.owner]
            ours = resolve_references(self._ctx.crypto, ours, extracted)
            theirs = resolve_references(self._ctx.crypto, theirs, known)
        return identical(ours, theirs)

    # --- removing and copying ---------------------------------------------------------------------

    def pop(self, namespace: AnyNamespace, name: str) -> StreamEntry | None:
        """Remove the newest entry and return it, or None. The next entry gets its position; no two callers get it."""
        stream, now = self._key(namespace, name), self._ctx.clock.now()

        def fn(session: Session) -> StoredEntry | None:
            popped = session.streams.pop(stream, now)
            if popped is not None and self._ctx.crypto.has_keys:
                drop(session, [(place_of(stream).owner, popped.payload.secret_refs)])
            return popped

        found = self._x.write("streams.pop", fn, single=not self._ctx.crypto.has_keys)
        return None if found is None else self._read(stream, found)

    def truncate(
        self, namespace: AnyNamespace, name: str, *, before: int | None = None, after: int | None = None
    ) -> int:
        """Delete the entries at positions below ``before``, or above ``after``; return how many.

        After ``before``, all positions stay, and the stream goes on behind its newest one. After ``after``, the next
        entry follows the newest that is left. Outside a transaction, a long stream is truncated in batches, each a
        transaction of its own.
        """
        if (before is None) == (after is None):
            raise InvalidArgument("truncate takes one bound. Pass either before or after.")
        bound = whole(after if before is None else before, "the position", 0, LAST_POSITION)  # type: ignore[arg-type]
        stream, now = self._key(namespace, name), self._ctx.clock.now()

        def fn(session: Session) -> int:
            going = self._referring(session, stream, bound, below=before is not None)
            count = session.streams.truncate(
                stream, bound if after is None else None, bound if before is None else None, now, DELETE_BATCH
            )
            drop(session, going)
            return count

        total = 0
        while True:
            count = self._x.write("streams.truncate", fn, single=not self._ctx.crypto.has_keys)
            total += count
            if count < DELETE_BATCH:
                return total

    def _referring(
        self, session: Session, stream: StreamKey, bound: int, *, below: bool
    ) -> list[tuple[list[str], Sequence[str]]]:
        """Return the secrets of the entries that the next batch of ``truncate`` deletes."""
        if not self._ctx.crypto.has_keys:
            return []
        found = session.streams.read(stream, EntryQuery(DELETE_BATCH, reverse=not below))
        owner = place_of(stream).owner
        return [
            (owner, each.payload.secret_refs)
            for each in found.items
            if each.payload.secret_refs and (each.position < bound if below else each.position > bound)
        ]

    def fork(
        self,
        source: tuple[AnyNamespace, str],
        target: tuple[AnyNamespace, str],
        *,
        up_to: int | None = None,
    ) -> int:
        """Make a new stream with the entries of another, up to a position; return how many.

        The entries keep positions, ids and times; both streams go on independently.

        Raises:
            NotFound: There is no such source.
            AlreadyExists: There is such a target.
        """
        old, new = self._key(*source), self._key(*target)
        if up_to is not None:
            whole(up_to, "up_to", 0, LAST_POSITION)
        if old == new:
            raise InvalidArgument("a stream cannot be forked into itself", hint="Give the target another name.")
        now = self._ctx.clock.now()

        def fn(session: Session) -> int:
            count = session.streams.fork(old, new, up_to, now)
            if self._ctx.crypto.has_keys:
                self._bind_anew(session, old, new, now)
            return count

        return self._x.write("streams.fork", fn, single=not self._ctx.crypto.has_keys)

    def _bind_anew(self, session: Session, old: StreamKey, new: StreamKey, now: datetime) -> None:
        """Encrypt the values and secrets of a forked stream again: they are bound to the stream that they are in."""
        query = EntryQuery(SCAN_SIZE)
        while True:
            found = session.streams.read(new, query)
            for entry in found.items:
                if entry.payload.format == "encrypted" or entry.payload.secret_refs:
                    session.streams.reencrypt(new, entry, self._bound_anew(session, old, new, entry, now))
            if found.next_after is None:
                return
            query = replace(query, after=found.next_after[0])

    def _bound_anew(
        self, session: Session, old: StreamKey, new: StreamKey, entry: StoredEntry, now: datetime
    ) -> Payload:
        if entry.payload.format == "encrypted":
            plain = self._coder.decrypted(place_of(old), entry.payload, session)
            return self._coder.encrypted(session, place_of(new), plain)
        own = place_of(old).owner
        known = [s for s in session.secrets.get(entry.payload.secret_refs) if s.metadata.get("owner") == own]
        value = resolve_references(self._ctx.crypto, value_of(entry.payload), known)
        extracted = ExtractedSecrets()
        payload, _ = self._coder.prepare(place_of(new), value, entry.payload.media_type, "detect", now, extracted)
        keep(session, extracted)
        return payload

    def delete(self, namespace: AnyNamespace, name: str) -> int:
        """Delete a stream with all its entries; return 1, or 0 if there was none."""
        return self.delete_many([(namespace, name)])

    def delete_many(self, streams: Iterable[tuple[AnyNamespace, str]]) -> int:
        """Delete the streams of these (namespace, name) with all their entries; return how many there were."""
        keys = list(dict.fromkeys(self._key(*stream) for stream in streams))

        def fn(session: Session) -> int:
            if self._ctx.crypto.has_keys:
                for key in keys:
                    self._drop_secrets(session, key)
            return session.streams.delete(keys)

        return self._x.write("streams.delete", fn, single=not self._ctx.crypto.has_keys) if keys else 0

    def _drop_secrets(self, session: Session, stream: StreamKey) -> None:
        query = EntryQuery(SCAN_SIZE)
        while True:
            found = session.streams.read(stream, query)
            drop(session, [(place_of(stream).owner, ref) for each in found.items if (ref := each.payload.secret_refs)])
            if found.next_after is None:
                return
            query = replace(query, after=found.next_after[0])
