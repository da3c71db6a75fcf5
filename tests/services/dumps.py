"""All that one occurrence owns, so that two moments can be compared."""

from __future__ import annotations

from ciris_store_core import Store


def rows_of(store: Store, owner: str) -> list[str]:
    """Every task, thought and correlation of an occurrence, every field of it, and the occurrence itself."""
    known = [row.to_json() for row in store.occurrences.find(alive_only=False) if row.occurrence_id == owner]
    tasks = [row.to_json() for row in store.tasks.scan(occurrence_id=owner)]
    thoughts = [row.to_json() for row in store.thoughts.scan(occurrence_id=owner)]
    correlations = [row.to_json() for row in store.correlations.scan(occurrence_id=owner)]
    return [*known, *tasks, *thoughts, *correlations]
