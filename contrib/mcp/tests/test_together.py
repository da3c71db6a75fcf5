from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from mcp import Client
from test_mcp import ADA, BOB, call

from ciris_store_core import Store, open_store
from ciris_store_core.transfer import backup_store, restore_store

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "keyvalue"))

from ciris_store_keyvalue import CirisKeyValue
from ciris_store_mcp import CirisEventStore, memory_server


def test_two_frameworks_on_one_store_do_not_meet_and_one_backup_has_both(store: Store, tmp_path: Path) -> None:
    async def use(opened: Store) -> tuple[Any, Any, list[str]]:
        values = CirisKeyValue(opened)
        async with Client(memory_server(opened)) as client:
            graph = await call(client, "read_graph")
        return graph, await values.get_many(["Ada", "1"], collection="events"), await values.collections()

    async def main() -> None:
        # The same names everywhere: of an entity and a key, of a collection and a namespace.
        values, events = CirisKeyValue(store), CirisEventStore(store)
        async with Client(memory_server(store)) as client:
            await asyncio.gather(
                *(values.put(str(i), {"n": i}, collection="events") for i in range(20)),
                *(call(client, "create_entities", entities=[{**BOB, "name": str(i)}]) for i in range(20)),
                values.put("Ada", {"is": "a value"}, collection="events"),
                call(client, "create_entities", entities=[ADA]),
                events.store_event("1", None),
            )
            graph, stored, collections = await use(store)
            assert len(graph["entities"]) == 21 and ADA in graph["entities"]
            assert stored == [{"is": "a value"}, {"n": 1}] and collections == ["events"]
            backup_store(store, tmp_path / "backup.jsonl", portable=True)
            await call(client, "delete_entities", entityNames=["Ada", "1"])
            assert await values.get("Ada", collection="events") == {"is": "a value"}
            await values.destroy()
            assert len((await call(client, "read_graph"))["entities"]) == 19
            assert [each.name for each in store.streams.find(("mcp",))] == ["1"]
        with open_store(f"sqlite:///{tmp_path}/restored.db") as restored:
            restore_store(tmp_path / "backup.jsonl", restored)
            assert await use(restored) == (graph, stored, collections)
            assert [each.name for each in restored.streams.find(("mcp",))] == ["1"]

    asyncio.run(main())
