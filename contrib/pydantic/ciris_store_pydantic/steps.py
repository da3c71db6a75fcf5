"""Step persistence of the harness: events as streams; runs, snapshots and tool effects as documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai_harness.step_persistence import ContinuableSnapshot, RunRecord, StepEvent, ToolEffectRecord

from ciris_store_core import AsyncStore, Conflict, Document, NewDocument, NewEntry, Store, Transaction
from ciris_store_pydantic.base import OnStore

_RUN = TypeAdapter(RunRecord)
_EVENT = TypeAdapter(StepEvent)
_EFFECT = TypeAdapter(ToolEffectRecord)
_BATCH = 1000


class CirisStepStore(OnStore):
    """Runs, their events, snapshots to continue from, and tool effects. A message of a run is stored once.

    >>> agent = Agent("test", capabilities=[StepPersistence(store=CirisStepStore(store))])
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        max_snapshots_per_run: int | None = None,
        namespace: Sequence[str] = ("pydantic", "step"),
    ) -> None:
        """Work on an open store, which the caller closes.

        Args:
            store: The store.
            max_snapshots_per_run: Keep the newest so many snapshots of a run, and the newest complete one.
            namespace: Of all that this writes.
        """
        super().__init__(store, namespace)
        if max_snapshots_per_run is not None and max_snapshots_per_run < 1:
            raise ValueError(f"max_snapshots_per_run must be >= 1 or None, got {max_snapshots_per_run!r}")
        self._most = max_snapshots_per_run

    async def register_run(self, record: RunRecord) -> None:
        """Store a run, in place of one with its id."""
        await self._store.run(self._register, record)

    def _register(self, tx: Transaction, record: RunRecord) -> None:
        id = record.run_id
        stored = tx.documents.get(self._runs, id, for_update=True)
        if stored:
            tx.documents.delete_many([(each, id) for each in self._indexes(_RUN.validate_python(stored.value))])
        tx.documents.put(self._runs, id, _RUN.dump_python(record, mode="json"), secrets=self._mode)
        tx.documents.put_many([NewDocument(each, id, None) for each in self._indexes(record)], secrets="plain")

    def _indexes(self, record: RunRecord) -> list[tuple[str, ...]]:
        by = (("parent", record.parent_run_id), ("conversation", record.conversation_id))
        return [self._index(name, value) for name, value in by if value is not None]

    async def get_run(self, *, run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        found = await self._store.documents.get(self._runs, run_id)
        return None if found is None else _RUN.validate_python(found.value)

    async def list_runs(
        self, *, parent_run_id: str | None = None, conversation_id: str | None = None
    ) -> list[RunRecord]:
        """Return the runs of a parent, of a conversation, of both or all, the earliest first."""
        documents, wanted = self._store.documents, {"parent": parent_run_id, "conversation": conversation_id}
        given = [self._index(name, value) for name, value in wanted.items() if value is not None]
        if not given:
            found = [each async for each in documents.scan(self._runs)]
        else:
            # One index finds candidates; the records decide.
            ids = [each.key async for each in documents.scan(given[-1])]
            found = [
                each
                for start in range(0, len(ids), _BATCH)
                for each in (
                    await documents.get_many([(self._runs, id) for id in ids[start : start + _BATCH]])
                ).values()
            ]
        runs = (_RUN.validate_python(each.value) for each in found)
        return sorted(
            (run for run in runs if parent_run_id is None or run.parent_run_id == parent_run_id),
            key=lambda run: run.started_at,
        )

    async def append_event(self, event: StepEvent) -> None:
        """Append an event; one whose idempotency key the run has is left out."""
        entry = NewEntry(_EVENT.dump_python(event, mode="json"), id=event.idempotency_key)
        try:
            await self._store.streams.append(self._events, event.run_id, [entry], secrets=self._mode)
        except Conflict:
            # The same key with other contents: the first one stays.
            return

    async def list_events(self, *, run_id: str) -> list[StepEvent]:
        """Return the events of a run, the earliest first."""
        return [_EVENT.validate_python(each.value) async for each in self._store.streams.scan(self._events, run_id)]

    async def save_snapshot(self, snapshot: ContinuableSnapshot) -> None:
        """Store a snapshot; one whose idempotency key the run has, or a later number than that, is left out."""
        messages = json.loads(ModelMessagesTypeAdapter.dump_json(snapshot.messages))
        hashes = [sha256(json.dumps(each).encode()).hexdigest() for each in messages]
        await self._run(self._save, snapshot, hashes, dict(zip(hashes, messages, strict=True)))

    def _save(self, tx: Transaction, snapshot: ContinuableSnapshot, hashes: list[str], by_hash: dict[str, Any]) -> None:
        run, key = snapshot.run_id, snapshot.idempotency_key
        # The lock of the run's snapshots, with what outlives those that are pruned.
        stored = tx.documents.get((*self._root, "snapshots"), run, for_update=True)
        state = stored.value if stored else {"count": 0, "sequence": -1, "newest": []}
        if key is not None:
            sequence = _sequence(key)
            seen = tx.documents.get((*self._root, "snapshot key", run), key)
            if seen is not None or (sequence is not None and sequence < state["sequence"]):
                return
            tx.documents.put((*self._root, "snapshot key", run), key, None, secrets="plain")
            state["sequence"] = max(state["sequence"], -1 if sequence is None else sequence)
        known = set(state["newest"])
        new = [NewDocument(self._messages(run), each, by_hash[each]) for each in by_hash if each not in known]
        tx.documents.put_many(new, secrets=self._mode)
        value = {
            "step_index": snapshot.step_index, "conversation_id": snapshot.conversation_id,
            "parent_run_id": snapshot.parent_run_id, "agent_name": snapshot.agent_name, "state": snapshot.state,
            "timestamp": snapshot.timestamp.isoformat(), "idempotency_key": key, "messages": hashes,
        }  # fmt: skip
        tx.documents.put(self._snapshots(run), f"{state['count']:012}", value, insert=True, secrets="plain")
        state |= {"count": state["count"] + 1, "newest": hashes}
        tx.documents.put((*self._root, "snapshots"), run, state, insert=stored is None, secrets="plain")
        if self._most is not None:
            self._prune(tx, run, self._most)

    def _prune(self, tx: Transaction, run: str, most: int) -> None:
        found = list(tx.documents.scan(self._snapshots(run), descending=True))
        complete = next((each.key for each in found if each.value["state"] == "complete"), None)
        going = [each for each in found[most:] if each.key != complete]
        if not going:
            return
        tx.documents.delete_many([(each.namespace, each.key) for each in going])
        used = {each for kept in found if kept not in going for each in kept.value["messages"]}
        unused = {each for gone in going for each in gone.value["messages"]} - used
        tx.documents.delete_many([(self._messages(run), each) for each in unused])

    async def latest_snapshot(self, *, run_id: str, include_interrupted: bool = False) -> ContinuableSnapshot | None:
        """Return the newest complete snapshot of a run, or the newest of any state; None if there is none."""
        async for each in self._store.documents.scan(self._snapshots(run_id), descending=True):
            if include_interrupted or each.value["state"] == "complete":
                return await self._snapshot(run_id, each)
        return None

    async def list_snapshots(self, *, run_id: str, include_interrupted: bool = False) -> list[ContinuableSnapshot]:
        """Return the snapshots of a run that are kept, the earliest first."""
        found = [each async for each in self._store.documents.scan(self._snapshots(run_id))]
        kept = [each for each in found if include_interrupted or each.value["state"] == "complete"]
        return [await self._snapshot(run_id, each) for each in kept]

    async def _snapshot(self, run: str, document: Document) -> ContinuableSnapshot:
        value = dict(document.value)
        found: dict[str, Any] = {}
        wanted = list(dict.fromkeys(value["messages"]))
        for start in range(0, len(wanted), _BATCH):
            keys = [(self._messages(run), each) for each in wanted[start : start + _BATCH]]
            found |= {key.key: each.value for key, each in (await self._store.documents.get_many(keys)).items()}
        messages = ModelMessagesTypeAdapter.validate_json(json.dumps([found[each] for each in value["messages"]]))
        del value["messages"]
        return ContinuableSnapshot(
            **{**value, "run_id": run, "messages": messages, "timestamp": datetime.fromisoformat(value["timestamp"])}
        )

    async def record_tool_effect(self, record: ToolEffectRecord) -> None:
        """Store the state of a tool call, in place of an earlier one."""
        value = _EFFECT.dump_python(record, mode="json")
        await self._store.documents.put(self._effects(record.run_id), record.tool_call_id, value, secrets=self._mode)

    async def get_tool_effect(self, *, run_id: str, tool_call_id: str) -> ToolEffectRecord | None:
        """Return the state of a tool call, or None."""
        found = await self._store.documents.get(self._effects(run_id), tool_call_id)
        return None if found is None else _EFFECT.validate_python(found.value)

    async def list_unresolved_tool_effects(self, *, run_id: str) -> list[ToolEffectRecord]:
        """Return the tool calls of a run that began and did not end, in the order in which they began."""
        found = [
            _EFFECT.validate_python(each.value)
            async for each in self._store.documents.scan(self._effects(run_id), order="created")
        ]
        return [each for each in found if each.status == "started"]

    @property
    def _runs(self) -> tuple[str, ...]:
        return *self._root, "run"

    @property
    def _events(self) -> tuple[str, ...]:
        return *self._root, "event"

    def _index(self, name: str, value: str) -> tuple[str, ...]:
        return *self._root, f"run by {name}", "=" + value

    def _snapshots(self, run: str) -> tuple[str, ...]:
        return *self._root, "snapshot", run

    def _messages(self, run: str) -> tuple[str, ...]:
        return *self._root, "message", run

    def _effects(self, run: str) -> tuple[str, ...]:
        return *self._root, "effect", run


def _sequence(key: str) -> int | None:
    """Return the number before the colon of an idempotency key, which grows with the snapshots of a run."""
    number, colon, _ = key.partition(":")
    return int(number) if colon and number.isdigit() else None
