"""LangGraph's checkpointer on the documents of a store."""

from __future__ import annotations

import copy
import hashlib
import os
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
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

from ciris_store_core import AlreadyExists, Document, NewDocument, Store, Transaction
from ciris_store_core.integrations.frameworks import secrets_mode
from ciris_store_core.store import Documents
from ciris_store_langgraph.frames import Typed, pack, unpack
from ciris_store_langgraph.opening import Opened, Threads
from ciris_store_langgraph.paging import InStep, in_pages

T = TypeVar("T")
Namespace = tuple[str, ...]

CHECKPOINTS, WRITES, BLOBS, RUNS = "checkpoint", "write", "blob", "run"

_WHOLE_BYTES = 64 * 1024
"""A checkpoint up to this size is one document; of a larger one, large channels are documents of their own."""
_BLOB_BYTES = 8 * 1024
"""Values of channels from this size on are such documents; an unchanged one is not written again."""
_CHUNK_BYTES = 8 * 1024 * 1024
_REMEMBERED = 1000
_NOT_FOUND: Any = object()


class Place(NamedTuple):
    """Thread and checkpoint namespace, as segments of namespaces of the store, which cannot be empty."""

    thread: str
    ns: str

    @classmethod
    def of(cls, config: RunnableConfig) -> Place:
        """Return the place that a configuration names."""
        configurable = config["configurable"]
        return cls(f"t:{configurable['thread_id']}", f"n:{configurable.get('checkpoint_ns', '')}")

    def config(self, checkpoint_id: str) -> RunnableConfig:
        """Return the configuration of one checkpoint here."""
        found = {"thread_id": self.thread[2:], "checkpoint_ns": self.ns[2:], "checkpoint_id": checkpoint_id}
        return {"configurable": found}


class CirisSaver(BaseCheckpointSaver[str]):
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
        self._root = tuple(namespace)
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
        known = self._known.get((place, parent), frozenset()) if parent else frozenset()
        new = [NewDocument(self._path(BLOBS, place), name, data) for name, data in blobs.items() if name not in known]
        if isinstance(run := facts.get("run_id"), str) and run:
            header["run"] = run
            new.append(self._run_entry(run, place, checkpoint["id"]))
        frame = pack(header, [stored, self.serde.dumps_typed(facts)])
        if new:
            new.append(NewDocument(self._path(CHECKPOINTS, place), checkpoint["id"], frame))
            self._documents.put_many(new, secrets=self._mode)
        else:
            self._documents.put(self._path(CHECKPOINTS, place), checkpoint["id"], frame, secrets=self._mode)
        if blobs:
            self._remember(place, checkpoint["id"], frozenset(blobs))
        return place.config(checkpoint["id"])

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

    def _run_entry(self, run: str, place: Place, checkpoint_id: str) -> NewDocument:
        key = hashlib.sha256("\0".join((*place, checkpoint_id)).encode()).hexdigest()
        frame = pack({"place": list(place), "id": checkpoint_id}, [])
        return NewDocument((*self._root, RUNS, f"r:{run}"), key, frame)

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
        path = self._path_of_writes(Place.of(config), config["configurable"]["checkpoint_id"])
        key = f"k:{task_id}"
        try:
            self._documents.put(path, key, packed_writes(task_path, new), insert=True, secrets=self._mode)
        except AlreadyExists:
            replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
            self._run(lambda documents: self._add_writes(documents, path, key, task_path, new, replace))

    def import_writes(
        self, config: RunnableConfig, task_id: str, task_path: str, writes: dict[int, tuple[str, Typed]]
    ) -> None:
        """Store the serialized writes of a task, by index, as another saver has stored them."""
        path = self._path_of_writes(Place.of(config), config["configurable"]["checkpoint_id"])
        self._documents.put(path, f"k:{task_id}", packed_writes(task_path, writes), secrets=self._mode)

    def _add_writes(
        self,
        documents: Documents,
        path: Namespace,
        key: str,
        task_path: str,
        new: dict[int, tuple[str, Typed]],
        replace: bool,
    ) -> None:
        found = documents.get(path, key, for_update=True)
        old = _unpacked_writes(found)[1] if found else {}
        documents.put(path, key, packed_writes(task_path, {**old, **new} if replace else {**new, **old}),
                      secrets=self._mode)  # fmt: skip

    # --- reading ----------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a configuration names, or the newest of its thread; None if there is none."""
        place, checkpoint_id = Place.of(config), get_checkpoint_id(config)
        path = self._path(CHECKPOINTS, place)
        if checkpoint_id:
            found = self._documents.get(path, checkpoint_id)
        else:
            found = next(in_pages(self._documents, path, first=1, descending=True), None)
        return None if found is None else self._tuple(place, found)

    def _tuple(self, place: Place, found: Document, writes: Sequence[Document] | None = None) -> CheckpointTuple:
        header, (stored, facts) = unpack(found.value)
        checkpoint: Checkpoint = self.serde.loads_typed(stored)
        if refs := header.get("refs"):
            self._fill_in(place, checkpoint, header, refs)
            self._remember(place, found.key, frozenset(name for _, names in refs.values() for name in names))
        return CheckpointTuple(
            place.config(found.key),
            checkpoint,
            cast(CheckpointMetadata, self.serde.loads_typed(facts)),
            place.config(header["parent"]) if header["parent"] else None,
            [
                (task, channel, self.serde.loads_typed(data))
                for task, channel, data in self._writes(place, found.key, writes)
            ],
        )

    def _fill_in(
        self, place: Place, checkpoint: Checkpoint, header: dict[str, Any], refs: dict[str, tuple[str, list[str]]]
    ) -> None:
        path = self._path(BLOBS, place)
        found = self._documents.get_many([(path, name) for _, names in refs.values() for name in names])
        data = {each.key: each.value for each in found.values()}
        small = checkpoint["channel_values"]
        large = {
            channel: self.serde.loads_typed((tag, b"".join(data[name] for name in names)))
            for channel, (tag, names) in refs.items()
        }
        values = {**small, **large}
        checkpoint["channel_values"] = {channel: values[channel] for channel in header["order"]}

    def _writes(
        self, place: Place, checkpoint_id: str, documents: Sequence[Document] | None = None
    ) -> list[tuple[str, str, Typed]]:
        """Return the writes pending at a checkpoint: task, channel and value, in the order in which they apply."""
        if documents is None:
            documents = [*in_pages(self._documents, self._path_of_writes(place, checkpoint_id), first=100)]
        found = []
        for document in documents:
            task_path, writes = _unpacked_writes(document)
            task = document.key[2:]
            for index, (channel, data) in writes.items():
                found.append((writes_sort_key(task_path, task, index), (task, channel, data)))
        return [write for _, write in sorted(found, key=lambda each: each[0])]

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
        first = None if filter or before else limit
        found = (
            (place, document)
            for place, document in self._newest_first(self._places(config), first)
            if (wanted is None or document.key == wanted)
            and (bound is None or document.key < bound)
            and self._matches(document, filter)
        )
        # The writes of a long listing are read beside it: a read for each checkpoint would cost as many round trips.
        beside: dict[Place, InStep] | None = None if wanted or bound or (limit or 100) < 3 else {}
        for place, document in islice(found, limit):
            writes = None
            if beside is not None:
                if place not in beside:
                    path = self._path(WRITES, place)
                    size = None if limit is None else 2 * limit
                    beside[place] = InStep(in_pages(self._documents, path, first=size, descending=True))
                writes = beside[place].of(document.key)
            yield self._tuple(place, document, writes)

    def _places(self, config: RunnableConfig | None) -> Sequence[Place]:
        prefix = (*self._root, CHECKPOINTS)
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

    def _newest_first(self, places: Sequence[Place], first: int | None) -> Iterator[tuple[Place, Document]]:
        def of(place: Place) -> Iterator[tuple[Place, Document]]:
            path = self._path(CHECKPOINTS, place)
            for document in in_pages(self._documents, path, first=first, descending=True):
                yield place, document

        return merge(*map(of, places), key=lambda each: each[1].key, reverse=True)

    def _matches(self, document: Document, filter: dict[str, Any] | None) -> bool:
        if not filter:
            return True
        facts = self.serde.loads_typed(unpack(document.value)[1][1])
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
            found = self._documents.get(self._path(CHECKPOINTS, place), parent)
            if found is None:
                break
            for task, channel, data in reversed(self._writes(place, parent)):
                if channel in collected and channel not in seeds:
                    collected[channel].append((task, channel, self.serde.loads_typed(data)))
            values = self._tuple_values(place, found)
            seeds |= {channel: values[channel] for channel in channels if channel in values and channel not in seeds}
            parent = unpack(found.value)[0]["parent"]
        result: dict[str, DeltaChannelHistory] = {}
        for channel in channels:
            result[channel] = {"writes": collected[channel][::-1]}
            if channel in seeds:
                result[channel]["seed"] = seeds[channel]
        return result

    def _tuple_values(self, place: Place, found: Document) -> dict[str, Any]:
        header, (stored, _) = unpack(found.value)
        checkpoint: Checkpoint = self.serde.loads_typed(stored)
        if refs := header.get("refs"):
            self._fill_in(place, checkpoint, header, refs)
        return checkpoint["channel_values"]

    def _channels(self, found: Document) -> set[str]:
        """Return the names of the channels that a checkpoint has values of."""
        header, (stored, _) = unpack(found.value)
        return set(header["order"] if "order" in header else self.serde.loads_typed(stored)["channel_values"])

    # --- deleting and copying ---------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints, writes and values of a thread, atomically."""
        self._run(lambda documents: self._delete_thread(documents, f"t:{thread_id}"))

    def _delete_thread(self, documents: Documents, thread: str) -> None:
        if documents.namespaces((*self._root, RUNS), limit=1).items:
            entries = [
                (entry.namespace, entry.key)
                for document in documents.scan((*self._root, CHECKPOINTS, thread))
                if (entry := self._run_entry_of(document)) is not None
            ]
            documents.delete_many(entries)
        for kind in (CHECKPOINTS, WRITES, BLOBS):
            documents.delete_matching((*self._root, kind, thread))

    def _run_entry_of(self, document: Document) -> NewDocument | None:
        run = unpack(document.value)[0].get("run")
        return self._run_entry(run, Place(*document.namespace[-2:]), document.key) if run else None

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes, atomically."""
        self._run(lambda documents: self._delete_for_runs(documents, run_ids))

    def _delete_for_runs(self, documents: Documents, run_ids: Sequence[str]) -> None:
        touched: set[Place] = set()
        for run in dict.fromkeys(run_ids):
            path = (*self._root, RUNS, f"r:{run}")
            for entry in list(documents.scan(path)):
                header, _ = unpack(entry.value)
                place = Place(*header["place"])
                touched.add(place)
                self._delete_checkpoint(documents, place, header["id"])
            documents.delete_matching(path)
        for place in touched:
            self._delete_unused_blobs(documents, place)

    def _delete_checkpoint(self, documents: Documents, place: Place, checkpoint_id: str) -> None:
        documents.delete(self._path(CHECKPOINTS, place), checkpoint_id)
        documents.delete_matching(self._path_of_writes(place, checkpoint_id))
        self._known.pop((place, checkpoint_id), None)

    def _delete_unused_blobs(self, documents: Documents, place: Place) -> None:
        used = {
            name
            for document in documents.scan(self._path(CHECKPOINTS, place))
            for _, names in unpack(document.value)[0].get("refs", {}).values()
            for name in names
        }
        path = self._path(BLOBS, place)
        documents.delete_many([(path, each.key) for each in documents.scan(path) if each.key not in used])

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the newest checkpoint of every namespace, or with ``delete`` all of them, atomically.

        Older checkpoints stay where the newest needs them to rebuild the value of a channel that stores changes.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            else:
                self._run(partial(self._keep_latest, thread=f"t:{thread_id}"))

    def _keep_latest(self, documents: Documents, thread: str) -> None:
        for namespace in list(documents.namespaces((*self._root, CHECKPOINTS, thread), limit=10_000)):
            place = Place(*namespace[-2:])
            found = {each.key: each for each in documents.scan(namespace)}
            kept = self._needed(found, max(found))
            for checkpoint_id in found.keys() - kept:
                if (entry := self._run_entry_of(found[checkpoint_id])) is not None:
                    documents.delete(entry.namespace, entry.key)
                self._delete_checkpoint(documents, place, checkpoint_id)
            self._delete_unused_blobs(documents, place)

    def _needed(self, found: dict[str, Document], newest: str) -> set[str]:
        """Return the checkpoints that the newest one needs: its ancestors down to the last whole value of a channel."""
        facts = self.serde.loads_typed(unpack(found[newest].value)[1][1])
        open_channels = set(facts.get("counters_since_delta_snapshot") or ())
        kept, at = set[str](), cast("str | None", newest)
        while at is not None and at in found:
            kept.add(at)
            open_channels -= self._channels(found[at])
            if not open_channels:
                break
            at = unpack(found[at].value)[0]["parent"]
        return kept

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints, writes and values of a thread to another, atomically."""
        self._run(lambda documents: self._copy_thread(documents, f"t:{source_thread_id}", f"t:{target_thread_id}"))

    def _copy_thread(self, documents: Documents, source: str, target: str) -> None:
        for kind in (BLOBS, WRITES, CHECKPOINTS):
            at = len(self._root) + 1
            batch: list[NewDocument] = []
            for document in documents.scan((*self._root, kind, source)):
                namespace = (*document.namespace[:at], target, *document.namespace[at + 1 :])
                batch.append(NewDocument(namespace, document.key, document.value))
                if kind == CHECKPOINTS and (run := unpack(document.value)[0].get("run")):
                    batch.append(self._run_entry(run, Place(target, document.namespace[-1]), document.key))
                if len(batch) >= 100:
                    documents.put_many(batch, secrets=self._mode)
                    batch = []
            documents.put_many(batch, secrets=self._mode)

    # --- inside -----------------------------------------------------------------------------------

    def _path(self, kind: str, place: Place) -> Namespace:
        return (*self._root, kind, *place)

    def _path_of_writes(self, place: Place, checkpoint_id: str) -> Namespace:
        return (*self._root, WRITES, *place, checkpoint_id)

    def _run(self, fn: Callable[[Documents], T]) -> T:
        """Run a function in one transaction: the one that this saver is within, or its own."""
        if self._within is not None:
            return fn(self._documents)
        return self._store.run(lambda tx: fn(tx.documents))

    # --- async: the same, on threads ----------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See ``get_tuple``."""
        return await self._threads.run(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See ``list``. Each piece of the listing is read when it is needed."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while batch := await self._threads.run(lambda: list(islice(found, 50))):
            for each in batch:
                yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See ``put``."""
        return await self._threads.run(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See ``put_writes``."""
        await self._threads.run(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """See ``delete_thread``."""
        await self._threads.run(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See ``delete_for_runs``."""
        await self._threads.run(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See ``copy_thread``."""
        await self._threads.run(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See ``prune``."""
        await self._threads.run(lambda: self.prune(thread_ids, strategy=strategy))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See ``get_delta_channel_history``."""
        return await self._threads.run(lambda: self.get_delta_channel_history(config=config, channels=channels))


def packed_writes(task_path: str, writes: dict[int, tuple[str, Typed]]) -> bytes:
    """Return the writes of one task, by index, as they are stored."""
    header = {"path": task_path, "writes": [[index, channel] for index, (channel, _) in writes.items()]}
    return pack(header, [data for _, data in writes.values()])


def _unpacked_writes(document: Document) -> tuple[str, dict[int, tuple[str, Typed]]]:
    header, parts = unpack(document.value)
    writes = zip(header["writes"], parts, strict=True)
    return header["path"], {index: (channel, data) for (index, channel), data in writes}
