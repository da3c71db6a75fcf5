"""The mark that a copy leaves in its target until it is finished: how far it is, in the transaction of each chunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, Corrupt
from ciris_store_core.models.coordination import Occurrence
from ciris_store_core.transfer.digest import Tally
from ciris_store_core.transfer.record_kinds import MARKER_ID


@dataclass(slots=True)
class CopyProgress:
    """How far a copy is."""

    source: str
    """Where it comes from."""
    without: tuple[str, ...] = ()
    position: str | None = None
    """Where the source goes on."""
    copied: dict[str, Tally] = field(default_factory=dict)
    into_existing: bool = False
    """The target was not empty, and is not this copy's alone."""
    before: dict[str, Tally] = field(default_factory=dict)
    """What the target held before."""

    def marker(self, now: datetime) -> Occurrence:
        """As an occurrence that is not alive: the one record that every backend has and that nobody depends on."""
        metadata = {
            "unfinished_copy_of": self.source,
            "without": list(self.without),
            "position": self.position,
            "into_existing": self.into_existing,
            "copied": {kind: str(tally) for kind, tally in self.copied.items()},
            "before": {kind: str(tally) for kind, tally in self.before.items()},
        }
        return Occurrence(occurrence_id=MARKER_ID, started_at=now, heartbeat_at=now, expires_at=now, metadata=metadata)

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Self:
        """From a marker's metadata."""
        try:
            copied, before = (
                {kind: Tally.parse(text) for kind, text in metadata[name].items()} for name in ("copied", "before")
            )
            return cls(
                source=metadata["unfinished_copy_of"],
                without=tuple(metadata["without"]),
                position=metadata["position"],
                copied=copied,
                into_existing=metadata["into_existing"],
                before=before,
            )
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise Corrupt(f"the mark of the unfinished copy, occurrence {MARKER_ID!r}, cannot be read") from error


def read_progress(session: Session) -> CopyProgress | None:
    """The progress of the copy that the store is the target of; None if there is none."""
    found = [each for each in session.coordination.list_occurrences(None) if each.occurrence_id == MARKER_ID]
    return CopyProgress.of(found[0].metadata) if found else None


def save_progress(session: Session, progress: CopyProgress, now: datetime) -> None:
    """Store it, with whatever else the transaction holds."""
    session.coordination.put_occurrence(progress.marker(now))


def end_progress(session: Session) -> None:
    """Take the mark away: the copy is complete."""
    session.coordination.remove_occurrence(MARKER_ID)


def refuse_unfinished(session: Session, url: str) -> None:
    """Raise ``Conflict`` where the store is an unfinished copy: half a store is nothing to copy."""
    progress = read_progress(session)
    if progress is not None:
        raise Conflict(f"{url} is itself an unfinished copy of {progress.source}: finish that one first")
