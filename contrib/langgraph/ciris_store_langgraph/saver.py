"""LangGraph's checkpointer on the documents of a store."""

from __future__ import annotations

import copy
import hashlib
import os
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from ciris_store_core import AlreadyExists, NewDocument, Store, Transaction
from ciris_store_core.integrations.frameworks import secrets_mode
from ciris_store_core.store import Documents
from ciris_store_langgraph.async_methods import AsyncMethods
from ciris_store_langgraph.frames import Typed, pack, unpack
from ciris_store_langgraph.layout import (
    CHECKPOINTS,
    Layout,
    Namespace,
    Place,
    Stored,
    Writes,
    checkpoint_key,
    key_prefix,
    pack_writes,
    split_key,
    unpack_writes,
    writes_key,
)
from ciris_store_langgraph.opening import Opened, Threads
from ciris_store_langgraph.paging import checkpoints_of, in_pages
from ciris_store_langgraph.upkeep import Upkeep

_WHOLE_BYTES = 64 * 1024
"""A checkpoint up to this size is one document; of a larger one, large channels are documents of their own."""
_BLOB_BYTES = 8 * 1024
"""Values of channels from this size on are such documents; an unchanged one is not written again."""
_CHUNK_BYTES = 8 * 1024 * 1024
_REMEMBERED = 1000
_NEWEST = 3
"""Documents that are read for the newest checkpoint: itself, the writes of one task, and the one behind them."""
_NOT_FOUND: Any = object()


class CirisSaver(AsyncMethods):
    """Checkpoints, pending writes and their values, as documents below one namespace of a store.

    Every method has one implementation; the async ones run it on threads. Values are the serializer's bytes, encrypted
    if the store has a key.

    >>> graph = builder.compile(checkpointer=CirisSaver(store))
    """

    def __init__(
        self, store: Store, *, serde: SerializerProtocol | None = None, namespace: Sequence[str] = ("langgraph",)
    ) -> None:
        """Work on an open store, which the caller closes. ``namespace``: of all documents that the saver writes."""
        super().__init__(serde=serde)
        self._store = store
        self._layout = Layout(tuple(namespace))
        self._documents: Documents = store.documents
        self._within: Transaction | None = None
        self._mode = secrets_mode(store, "LangGraph")
        self._threads = Threads()
        # By checkpoint: the values that it refers to, which are stored for as long as it is.
        self._known: OrderedDict[tuple[Place, str], frozenset[str]] = OrderedDict()

    @classmethod
    def from_conn_string(
        cls, url: str | os.PathLike[str] | None = None, *, serde: SerializerProtocol | None = None, **options: Any
    ) -> Opened[CirisSaver]:
        """Return a saver to use in ``with`` or ``async with``; ``url`` and ``options`` as for ``open_store``."""
        return Opened(url, lambda store: cls(store, serde=serde), options)

    def within(self, tx: Transaction) -> CirisSaver:
        """Return a saver whose calls are part of an open transaction.

        LangGraph runs its steps on threads, so begin the transaction with ``store.transaction(shared=True)``.
        """
        bound = copy.copy(self)
        bound._documents, bound._within = tx.documents, tx
        bound._known = OrderedDict()
        return bound

    @property
    def store(self) -> Store:
        """The store that the saver works on."""
        return self._store

    def setup(self) -> None:
        """Do nothing: the store made its tables when it was opened."""

    def close(self) -> None:
        """End the threads of the async methods. The store stays open."""
        self._threads.close()

    def get_next_version(self, current: str | int | float | None, channel: None = None) -> str:
        """Return a version that is greater, and that no other writer gives to the same channel."""
        number = 0 if current is None else int(str(current).split(".")[0])
        return f"{number + 1:032}.{random.random():016}"

    # --- writing ----------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, atomically with its values; one of that id is replaced."""
        place, parent = Place.of(config), get_checkpoint_id(config)
        facts: dict[str, Any] = get_serializable_checkpoint_metadata(config, metadata)  # type: ignore[assignment]
        header: dict[str, Any] = {"parent": parent}
        stored, blobs = self._split(self.serde.dumps_typed(checkpoint), checkpoint, header)
        new: list[NewDocument] = []
        if isinstance(run := facts.get("run_id"), str) and run:
            header["run"] = run
            new.append(self._layout.run_entry(run, place, checkpoint["id"]))
        path, key = self._layout.checkpoints(place), checkpoint_key(checkpoint["id"])
        frame = pack(header, [stored, self.serde.dumps_typed(facts)])
        if blobs:
            new.append(NewDocument(path, key, frame))
            self._put_with_blobs(place, parent, new, blobs)
            self._remember(place, checkpoint["id"], frozenset(blobs))
        elif new:
            self._documents.put_many([*new, NewDocument(path, key, frame)], secrets=self._mode)
        else:
            self._documents.put(path, key, frame, secrets=self._mode)
        return place.config(checkpoint["id"])

    def _put_with_blobs(
        self, place: Place, parent: str | None, new: list[NewDocument], blobs: dict[str, bytes]
    ) -> None:
        """Store documents with the large values that the parent does not refer to."""
        path = self._layout.blobs(place)
        known = self._known.get((place, parent), frozenset()) if parent else frozenset()
        if parent is None or known.isdisjoint(blobs):
            large = [NewDocument(path, name, data) for name, data in blobs.items()]
            self._documents.put_many([*large, *new], secrets=self._mode)
            return

        def put(documents: Documents) -> None:
            # Locked, so that no other caller deletes the parent, and the values with it, before this is committed.
            at = self._layout.checkpoints(place), checkpoint_key(parent)
            kept = known if documents.get(*at, for_update=True) else frozenset[str]()
            lacking = [NewDocument(path, name, data) for name, data in blobs.items() if name not in kept]
            documents.put_many([*lacking, *new], secrets=self._mode)

        self._run(put)

    def _split(self, whole: Typed, checkpoint: Checkpoint, header: dict[str, Any]) -> tuple[Typed, dict[str, bytes]]:
        """Return what is stored in the checkpoint's own document, and the large values by the hash of their bytes."""
        if len(whole[1]) <= _WHOLE_BYTES:
            return whole, {}
        blobs: dict[str, bytes] = {}
        refs: dict[str, Any] = {}
        for channel, value in checkpoint["channel_values"].items():
            tag, data = self.serde.dumps_typed(value)
            if len(data) >= _BLOB_BYTES:
                chunks = [data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES)]
                names = [hashlib.sha256(chunk).hexdigest() for chunk in chunks]
                blobs.update(zip(names, chunks, strict=True))
                refs[channel] = [tag, names]
        header["refs"] = refs
        values = {name: value for name, value in checkpoint["channel_values"].items() if name not in refs}
        header["order"] = list(checkpoint["channel_values"])
        return self.serde.dumps_typed({**checkpoint, "channel_values": values}), blobs

    def _remember(self, place: Place, checkpoint_id: str, names: frozenset[str]) -> None:
        self._known[place, checkpoint_id] = names
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task. A write that is stored stays, unless all of them are special, such as errors."""
        new = {
            WRITES_IDX_MAP.get(channel, index): (channel, self.serde.dumps_typed(value))
            for index, (channel, value) in enumerate(writes)
        }
        if not new:
            return
        path = self._layout.checkpoints(Place.of(config))
        key = writes_key(config["configurable"]["checkpoint_id"], task_id)
        try:
            self._documents.put(path, key, pack_writes(task_path, new), insert=True, secrets=self._mode)
        except AlreadyExists:
            replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
            self._run(lambda documents: self._add_writes(documents, path, key, task_path, new, replace))

    def import_writes(self, config: RunnableConfig, task_id: str, task_path: str, writes: Writes) -> None:
        """Store the serialized writes of a task, by index, as another saver has stored them."""
        path = self._layout.checkpoints(Place.of(config))
        key = writes_key(config["configurable"]["checkpoint_id"], task_id)
        self._documents.put(path, key, pack_writes(task_path, writes), secrets=self._mode)

    def _add_writes(
        self, documents: Documents, path: Namespace, key: str, task_path: str, new: Writes, replace: bool
    ) -> None:
        found = documents.get(path, key, for_update=True)
        old = unpack_writes(found)[1] if found else {}
        both = {**old, **new} if replace else {**new, **old}
        documents.put(path, key, pack_writes(task_path, both), secrets=self._mode)

    # --- reading ----------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a configuration names, or the newest of its thread; None if there is none."""
        place = Place.of(config)
        found = self._found(place, get_checkpoint_id(config))
        return None if found is None else self._tuple(place, found)

    def _found(self, place: Place, checkpoint_id: str | None) -> Stored | None:
        """Return a checkpoint, or the newest, with its writes: one query, and more only if there are many writes."""
        return next(self._newest_of(place, _NEWEST if checkpoint_id is None else 100, checkpoint_id), None)

    def _newest_of(self, place: Place, first: int | None, checkpoint_id: str | None = None) -> Iterator[Stored]:
        prefix = key_prefix(checkpoint_id) if checkpoint_id else None
        path = self._layout.checkpoints(place)
        return checkpoints_of(in_pages(self._documents, path, first=first, descending=True, key_prefix=prefix))

    def _tuple(self, place: Place, found: Stored) -> CheckpointTuple:
        header, (stored, facts) = unpack(found.document.value)
        checkpoint: Checkpoint = self.serde.loads_typed(stored)
        if refs := header.get("refs"):
            self._fill_in(place, checkpoint, header, refs)
            self._remember(place, found.id, frozenset(name for _, names in refs.values() for name in names))
        return CheckpointTuple(
            place.config(found.id),
            checkpoint,
            cast(CheckpointMetadata, self.serde.loads_typed(facts)),
            place.config(header["parent"]) if header["parent"] else None,
            [(task, channel, self.serde.loads_typed(data)) for task, channel, data in _writes(found)],
        )

    def _fill_in(
        self, place: Place, checkpoint: Checkpoint, header: dict[str, Any], refs: dict[str, tuple[str, list[str]]]
    ) -> None:
        path = self._layout.blobs(place)
        found = self._documents.get_many([(path, name) for _, names in refs.values() for name in names])
        data = {each.key: each.value for each in found.values()}
        small = checkpoint["channel_values"]
        large = {
            channel: self.serde.loads_typed((tag, b"".join(data[name] for name in names)))
            for channel, (tag, names) in refs.items()
        }
        values = {**small, **large}
        checkpoint["channel_values"] = {channel: values[channel] for channel in header["order"]}

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints, newest id first, of a thread and namespace, of a thread, or of all."""
        wanted = get_checkpoint_id(config) if config else None
        bound = get_checkpoint_id(before) if before else None
        first = 100 if filter or before or limit is None else 2 * limit + 1
        places = self._places(config)

        def of(place: Place) -> Iterator[tuple[Place, Stored]]:
            return ((place, stored) for stored in self._newest_of(place, first, wanted))

        each_place = map(of, places)
        newest = next(each_place) if len(places) == 1 else merge(*each_place, key=lambda each: each[1].id, reverse=True)
        found = (
            (place, stored)
            for place, stored in newest
            if (bound is None or stored.id < bound) and self._matches(stored, filter)
        )
        for place, stored in islice(found, limit):
            yield self._tuple(place, stored)

    def _places(self, config: RunnableConfig | None) -> Sequence[Place]:
        prefix = (*self._layout.root, CHECKPOINTS)
        if config is not None:
            place = Place.of(config)
            if "checkpoint_ns" in config["configurable"]:
                return [place]
            prefix = (*prefix, place.thread)
        found, cursor = [], None
        while True:
            page = self._documents.namespaces(prefix, limit=1000, cursor=cursor)
            found += [Place(*namespace[-2:]) for namespace in page]
            if (cursor := page.next_cursor) is None:
                return found

    def _matches(self, stored: Stored, filter: dict[str, Any] | None) -> bool:
        if not filter:
            return True
        facts = self.serde.loads_typed(unpack(stored.document.value)[1][1])
        return all(facts.get(name, _NOT_FOUND) == value for name, value in filter.items())

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what each channel got on the way to a checkpoint, oldest first, and the value before it."""
        if not channels:
            return {}
        place, target = Place.of(config), self.get_tuple(config)
        collected: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
        seeds: dict[str, Any] = {}
        parent = get_checkpoint_id(target.parent_config) if target and target.parent_config else None
        while parent is not None and len(seeds) < len(collected):
            found = self._found(place, parent)
            if found is None:
                break
            for task, channel, data in reversed(_writes(found)):
                if channel in collected and channel not in seeds:
                    collected[channel].append((task, channel, self.serde.loads_typed(data)))
            values = self._tuple_values(place, found)
            seeds |= {channel: values[channel] for channel in channels if channel in values and channel not in seeds}
            parent = unpack(found.document.value)[0]["parent"]
        result: dict[str, DeltaChannelHistory] = {}
        for channel in channels:
            result[channel] = {"writes": collected[channel][::-1]}
            if channel in seeds:
                result[channel]["seed"] = seeds[channel]
        return result

    def _tuple_values(self, place: Place, found: Stored) -> dict[str, Any]:
        header, (stored, _) = unpack(found.document.value)
        checkpoint: Checkpoint = self.serde.loads_typed(stored)
        if refs := header.get("refs"):
            self._fill_in(place, checkpoint, header, refs)
        return checkpoint["channel_values"]

    # --- deleting and copying ---------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints, writes and values of a thread, atomically."""
        self._change(lambda upkeep: upkeep.delete_thread(f"t:{thread_id}"))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes, atomically."""
        self._change(lambda upkeep: upkeep.delete_for_runs(run_ids))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the newest checkpoint of every namespace, or with ``delete`` all of them, atomically.

        Older checkpoints stay where the newest needs them to rebuild the value of a channel that stores changes.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        change = Upkeep.delete_thread if strategy == "delete" else Upkeep.keep_latest
        for thread_id in thread_ids:
            self._change(partial(change, thread=f"t:{thread_id}"))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints, writes and values of a thread to another, atomically."""
        self._change(lambda upkeep: upkeep.copy_thread(f"t:{source_thread_id}", f"t:{target_thread_id}"))

    # --- inside -----------------------------------------------------------------------------------

    def _change(self, fn: Callable[[Upkeep], None]) -> None:
        self._run(lambda documents: fn(Upkeep(documents, self._layout, self.serde, self._mode)))
        self._known.clear()

    def _run(self, fn: Callable[[Documents], None]) -> None:
        """Run a function in one transaction: the one that this saver is within, or its own."""
        if self._within is not None:
            fn(self._documents)
        else:
            self._store.run(lambda tx: fn(tx.documents))


def _writes(found: Stored) -> list[tuple[str, str, Typed]]:
    """Return the writes pending at a checkpoint: task, channel and value, in the order in which they apply."""
    writes = []
    for document in found.writes:
        task_path, of_task = unpack_writes(document)
        task = split_key(document.key)[1] or ""
        for index, (channel, data) in of_task.items():
            writes.append((writes_sort_key(task_path, task, index), (task, channel, data)))
    return [write for _, write in sorted(writes, key=lambda each: each[0])]
