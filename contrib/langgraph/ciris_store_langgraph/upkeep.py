"""Deletion, pruning and copying of threads, each within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from langgraph.checkpoint.base import CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol

from ciris_store_core import NewDocument
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.store import Documents
from ciris_store_langgraph.frames import unpack
from ciris_store_langgraph.layout import BLOBS, CHECKPOINTS, RUNS, Layout, Namespace, Place, Stored, key_prefix
from ciris_store_langgraph.paging import checkpoints_of

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Changes of whole threads of a saver, in the transaction of these documents."""

    documents: Documents
    layout: Layout
    serde: SerializerProtocol
    mode: SecretsMode

    # --- deleting ---------------------------------------------------------------------------------

    def delete_thread(self, thread: str) -> None:
        """Delete all documents of a thread."""
        root = self.layout.root
        if self.documents.namespaces((*root, RUNS), limit=1).items:
            self._delete_entries(
                stored
                for namespace in self._namespaces(thread)
                for stored in checkpoints_of(self.documents.scan(namespace, descending=True))
            )
        for kind in (CHECKPOINTS, BLOBS):
            self.documents.delete_matching((*root, kind, thread))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes."""
        touched: set[Place] = set()
        for run in dict.fromkeys(run_ids):
            path = self.layout.runs(run)
            for entry in list(self.documents.scan(path)):
                header, _ = unpack(entry.value)
                place = Place(*header["place"])
                touched.add(place)
                self._delete_checkpoint(place, header["id"])
            self.documents.delete_matching(path)
        for place in touched:
            self._delete_unused_blobs(place)

    def _namespaces(self, thread: str) -> list[Namespace]:
        return list(self.documents.namespaces((*self.layout.root, CHECKPOINTS, thread), limit=10_000))

    def _delete_entries(self, checkpoints: Iterable[Stored]) -> None:
        entries = [entry for each in checkpoints if (entry := self.layout.run_entry_of(each)) is not None]
        self.documents.delete_many([(entry.namespace, entry.key) for entry in entries])

    def _delete_checkpoint(self, place: Place, checkpoint_id: str) -> None:
        self.documents.delete_matching(self.layout.checkpoints(place), key_prefix=key_prefix(checkpoint_id))

    def _delete_unused_blobs(self, place: Place) -> None:
        used = {
            name
            for stored in checkpoints_of(self.documents.scan(self.layout.checkpoints(place), descending=True))
            for _, names in unpack(stored.document.value)[0].get("refs", {}).values()
            for name in names
        }
        path = self.layout.blobs(place)
        self.documents.delete_many([(path, each.key) for each in self.documents.scan(path) if each.key not in used])

    # --- pruning ----------------------------------------------------------------------------------

    def keep_latest(self, thread: str) -> None:
        """Delete all checkpoints of a thread but the newest of each namespace, and those that it needs."""
        for namespace in self._namespaces(thread):
            found = {each.id: each for each in checkpoints_of(self.documents.scan(namespace, descending=True))}
            kept = self._needed(found)
            going = [each for each in found.values() if each.id not in kept]
            self._delete_entries(going)
            place = Place(*namespace[-2:])
            for each in going:
                self._delete_checkpoint(place, each.id)
            self._delete_unused_blobs(place)

    def _needed(self, found: dict[str, Stored]) -> set[str]:
        """Return the newest checkpoint, and its ancestors down to the last whole value of each channel of changes."""
        at: str | None = max(found, default=None)
        if at is None:
            return set()
        facts = cast(CheckpointMetadata, self.serde.loads_typed(unpack(found[at].document.value)[1][1]))
        open_channels = set(facts.get("counters_since_delta_snapshot") or ())
        kept = set[str]()
        while at is not None and at in found:
            kept.add(at)
            header, (stored, _) = unpack(found[at].document.value)
            open_channels -= set(
                header["order"] if "order" in header else self.serde.loads_typed(stored)["channel_values"]
            )
            if not open_channels:
                break
            at = header["parent"]
        return kept

    # --- copying ----------------------------------------------------------------------------------

    def copy_thread(self, source: str, target: str) -> None:
        """Copy all documents of a thread to another."""
        at = len(self.layout.root) + 1
        for kind in (BLOBS, CHECKPOINTS):
            batch: list[NewDocument] = []
            for document in self.documents.scan((*self.layout.root, kind, source)):
                namespace = (*document.namespace[:at], target, *document.namespace[at + 1 :])
                batch.append(NewDocument(namespace, document.key, document.value))
                if len(batch) >= _BATCH:
                    self.documents.put_many(batch, secrets=self.mode)
                    batch = []
            self.documents.put_many(batch, secrets=self.mode)
        self._enter_runs(target)

    def _enter_runs(self, thread: str) -> None:
        """Write the entries of the runs that made the checkpoints of a thread."""
        for namespace in self._namespaces(thread):
            found = checkpoints_of(self.documents.scan(namespace, descending=True))
            entries = [entry for each in found if (entry := self.layout.run_entry_of(each)) is not None]
            for begin in range(0, len(entries), _BATCH):
                self.documents.put_many(entries[begin : begin + _BATCH], secrets=self.mode)
