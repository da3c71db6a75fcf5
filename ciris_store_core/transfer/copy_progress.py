"""The marker of an unfinished copy in its target: its progress, saved in the transaction of each chunk."""

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
    """The progress of a copy."""

    source: str
    """The identity of the source."""
    without: tuple[str, ...] = ()
    position: str | None = None
    """The position in the source where the copy continues."""
    copied: dict[str, Tally] = field(default_factory=dict)
    into_existing: bool = False
    """True if the target held records before the copy, which adds to them."""
    before: dict[str, Tally] = field(default_factory=dict)
    """The records that the target held before."""

    def marker(self, now: datetime) -> Occurrence:
        """Return the progress as an occurrence that is not alive.

        Every backend has occurrences, and no other record depends on one.
        """
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
        """Return the progress in a marker's metadata."""
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
            raise Corrupt(
                f"the marker of the unfinished copy, occurrence {MARKER_ID!r}, cannot be read. "
                "Empty the target, and copy again."
            ) from error


def read_progress(session: Session) -> CopyProgress | None:
    """Return the progress of the unfinished copy into this store, or None."""
    found = [each for each in session.coordination.list_occurrences(None) if each.occurrence_id == MARKER_ID]
    return CopyProgress.of(found[0].metadata) if found else None


def save_progress(session: Session, progress: CopyProgress, now: datetime) -> None:
    """Save the progress in the current transaction."""
    session.coordination.put_occurrence(progress.marker(now))


def end_progress(session: Session) -> None:
    """Remove the marker: the copy is complete."""
    session.coordination.remove_occurrence(MARKER_ID)


def refuse_unfinished(session: Session, url: str) -> None:
    """Raise ``Conflict`` if the store is an unfinished copy, which must not be copied."""
    progress = read_progress(session)
    if progress is not None:
        raise Conflict(f"{url} is itself an unfinished copy of {progress.source}", hint="Finish that copy first.")
