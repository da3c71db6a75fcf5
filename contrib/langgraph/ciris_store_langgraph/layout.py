"""Places of the saver's documents, and what is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig

from ciris_store_core import Document, NewDocument
from ciris_store_langgraph.frames import Typed, pack, unpack

Namespace = tuple[str, ...]
Writes = dict[int, tuple[str, Typed]]
"""Channel and serialized value of each write of a task, by index."""

CHECKPOINTS, BLOBS, RUNS = "checkpoint", "blob", "run"

# The documents of one checkpoint stand together: one query reads it with its writes, the checkpoint first in descending
# order. The separator sorts before every character of an id, so an id that begins with another stays apart from it.
_END = "\x01"
_CHECKPOINT, _TASK = "~", "k:"


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


@dataclass(slots=True)
class Stored:
    """A stored checkpoint, with the writes of its tasks."""

    id: str
    document: Document
    writes: list[Document]


@dataclass(frozen=True)
class Layout:
    """Namespaces and keys of all documents of a saver, below one root."""

    root: Namespace

    def checkpoints(self, place: Place) -> Namespace:
        """Return the namespace of the checkpoints of a place, and of the writes of their tasks."""
        return (*self.root, CHECKPOINTS, *place)

    def blobs(self, place: Place) -> Namespace:
        """Return the namespace of the large values of a place."""
        return (*self.root, BLOBS, *place)

    def runs(self, run: str) -> Namespace:
        """Return the namespace of the entries that lead to the checkpoints of a run."""
        return (*self.root, RUNS, f"r:{run}")

    def run_entry(self, run: str, place: Place, checkpoint_id: str) -> NewDocument:
        """Return the entry that leads from a run to one of its checkpoints."""
        key = hashlib.sha256("\0".join((*place, checkpoint_id)).encode()).hexdigest()
        return NewDocument(self.runs(run), key, pack({"place": list(place), "id": checkpoint_id}, []))

    def run_entry_of(self, stored: Stored) -> NewDocument | None:
        """Return the entry that leads to a stored checkpoint, if a run made it."""
        run = unpack(stored.document.value)[0].get("run")
        return self.run_entry(run, Place(*stored.document.namespace[-2:]), stored.id) if run else None


def key_prefix(checkpoint_id: str) -> str:
    """Return the beginning of the keys of a checkpoint and of its writes."""
    return checkpoint_id + _END


def checkpoint_key(checkpoint_id: str) -> str:
    """Return the key of a checkpoint."""
    if _END in checkpoint_id:
        raise ValueError(f"the id {checkpoint_id!r} of a checkpoint holds U+0001. Use another id.")
    return checkpoint_id + _END + _CHECKPOINT


def writes_key(checkpoint_id: str, task_id: str) -> str:
    """Return the key of the writes of a task."""
    return f"{checkpoint_id}{_END}{_TASK}{task_id}"


def split_key(key: str) -> tuple[str, str | None]:
    """Return the id of a checkpoint and of a task; None for the checkpoint itself."""
    checkpoint_id, _, rest = key.partition(_END)
    return checkpoint_id, None if rest == _CHECKPOINT else rest[len(_TASK) :]


def pack_writes(task_path: str, writes: Writes) -> bytes:
    """Return the writes of one task as they are stored."""
    header: dict[str, Any] = {
        "path": task_path,
        "writes": [[index, channel] for index, (channel, _) in writes.items()],
    }
    return pack(header, [data for _, data in writes.values()])


def unpack_writes(document: Document) -> tuple[str, Writes]:
    """Return the path of a task, and its writes."""
    header, parts = unpack(document.value)
    writes = zip(header["writes"], parts, strict=True)
    return header["path"], {index: (channel, data) for (index, channel), data in writes}
