"""Plans of the harness, each a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai_harness.planning import PlanItem, TaskStatus

from ciris_store_core import AsyncStore, Store, Transaction
from ciris_store_pydantic.base import OnStore

_ITEMS = TypeAdapter(list[PlanItem])


class CirisPlanStore(OnStore):
    """The steps of one plan, in one document: every change is atomic, and no two are lost to one another.

    >>> agent = Agent("test", capabilities=[Planning(store=CirisPlanStore(store, plan="release"))])
    """

    def __init__(
        self, store: Store | AsyncStore, *, plan: str = "default", namespace: Sequence[str] = ("pydantic", "plan")
    ) -> None:
        """Work on an open store, which the caller closes. ``plan``: the plan's name, such as that of a session."""
        super().__init__(store, namespace)
        self._plan = plan

    async def get_items(self) -> list[PlanItem]:
        """Return the steps in their order."""
        found = await self._store.documents.get(self._root, self._plan)
        return _ITEMS.validate_python(found.value) if found else []

    async def set_items(self, items: list[PlanItem]) -> None:
        """Replace all steps."""
        await self._store.documents.put(self._root, self._plan, _dumped(items), secrets=self._mode)

    async def get_item(self, item_id: str) -> PlanItem | None:
        """Return a step by its id, or None."""
        return next((each for each in await self.get_items() if each.id == item_id), None)

    async def add_item(self, item: PlanItem) -> PlanItem:
        """Append a step and return it; raise ``ValueError`` if there is one with its id."""
        return await self._run(self._add, item)

    def _add(self, tx: Transaction, item: PlanItem) -> PlanItem:
        items, exists = self._locked(tx)
        if any(each.id == item.id for each in items):
            raise ValueError(f"plan item id {item.id!r} already exists")
        self._put(tx, [*items, item], exists)
        return item

    async def update_item(
        self,
        item_id: str,
        *,
        content: str | None = None,
        status: TaskStatus | None = None,
        active_form: str | None = None,
        parent_id: str | None = None,
        depends_on: list[str] | None = None,
    ) -> PlanItem | None:
        """Change the given fields of a step; return it, or None if there is none."""
        given = {
            "content": content, "status": status, "active_form": active_form, "parent_id": parent_id,
            "depends_on": depends_on,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        return await self._run(self._update, item_id, changes)

    def _update(self, tx: Transaction, item_id: str, changes: dict[str, Any]) -> PlanItem | None:
        items, exists = self._locked(tx)
        for index, each in enumerate(items):
            if each.id == item_id:
                items[index] = each.model_copy(update=changes)
                self._put(tx, items, exists)
                return items[index]
        return None

    async def remove_item(self, item_id: str) -> bool:
        """Delete a step; return whether there was one."""
        return await self._run(self._remove, item_id)

    def _remove(self, tx: Transaction, item_id: str) -> bool:
        items, exists = self._locked(tx)
        kept = [each for each in items if each.id != item_id]
        if len(kept) < len(items):
            self._put(tx, kept, exists)
        return len(kept) < len(items)

    def _locked(self, tx: Transaction) -> tuple[list[PlanItem], bool]:
        found = tx.documents.get(self._root, self._plan, for_update=True)
        return (_ITEMS.validate_python(found.value), True) if found else ([], False)

    def _put(self, tx: Transaction, items: list[PlanItem], exists: bool) -> None:
        tx.documents.put(self._root, self._plan, _dumped(items), insert=not exists, secrets=self._mode)


def _dumped(items: list[PlanItem]) -> Any:
    return _ITEMS.dump_python(items, mode="json")
