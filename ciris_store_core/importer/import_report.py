"""What an import did, table by table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Say = Callable[[dict[str, Any]], object]
"""Gets one JSON object for each row that was fixed or refused."""


@dataclass(slots=True)
class TableReport:
    """Counts of one table. Every row that was read is written, present or refused."""

    table: str
    becomes: str
    """What its rows are in the store."""
    read: int = 0
    written: int = 0
    present: int = 0
    """Stored already, and the same: by an earlier import, most likely."""
    refused: int = 0
    """Could not be taken."""
    fixed: int = 0
    """Of those written or present: something in them was fixed."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How often what was fixed, or refused."""


@dataclass(slots=True)
class ImportReport:
    """What an import did."""

    source: str
    target: str
    """Both URLs, without passwords."""
    tables: list[TableReport] = field(default_factory=list)
    left_behind: dict[str, int] = field(default_factory=dict)
    """Further tables of the old database that hold rows, and how many: the store has no place for them."""

    @property
    def refused(self) -> int:
        """How many rows could not be taken, in all."""
        return sum(table.refused for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


_OF_ONE_ROW = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]{2,}| \(.*")


class RowCounter:
    """Counts rows of one table, and says which were fixed or refused."""

    def __init__(self, report: TableReport, say: Say | None) -> None:
        """``say`` gets a line for each."""
        self.report = report
        self._say = say

    def taken(self, key: Sequence[Any], notes: list[str], *, written: bool) -> None:
        """A row is in the store, just written or from before."""
        if written:
            self.report.written += 1
        else:
            self.report.present += 1
        if notes:
            self.report.fixed += 1
            self._tell("fixed", key, notes, notes)

    def refused(self, key: Sequence[Any], notes: list[str], reason: str) -> None:
        """A row could not be taken."""
        self.report.refused += 1
        self._tell("refused", key, [*notes, reason], [reason])

    def _tell(self, outcome: str, key: Sequence[Any], notes: list[str], counted: list[str]) -> None:
        # Without what is of one row alone, so that there are few of them.
        for note in counted:
            kind = _OF_ONE_ROW.sub("…", f"{outcome}: {note}")[:120]
            self.report.reasons[kind] = self.report.reasons.get(kind, 0) + 1
        if self._say is not None:
            self._say({"table": self.report.table, "key": [_shown(part) for part in key], outcome: notes})


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
