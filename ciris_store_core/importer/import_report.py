"""The report of an import, table by table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Say = Callable[[dict[str, Any]], object]
"""Called with one JSON object for each row that was fixed or refused."""


@dataclass(slots=True)
class TableReport:
    """The counts of one table. Every row is written, present or refused."""

    table: str
    becomes: str
    """The kind of record that its rows become."""
    read: int = 0
    written: int = 0
    present: int = 0
    """Identical records that were stored before, usually by an earlier import."""
    refused: int = 0
    """Rows that could not be imported."""
    fixed: int = 0
    """Written or present rows with a fixed value."""
    reasons: dict[str, int] = field(default_factory=dict)
    """The number of rows for each kind of fix or refusal."""


@dataclass(slots=True)
class ImportReport:
    """The report of an import."""

    source: str
    target: str
    """Both URLs, without passwords."""
    tables: list[TableReport] = field(default_factory=list)
    left_behind: dict[str, int] = field(default_factory=dict)
    """The other tables of the old database with rows, and their number: the store has no records for them."""

    @property
    def refused(self) -> int:
        """Return the number of refused rows."""
        return sum(table.refused for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict that can be written as JSON."""
        return asdict(self)


_OF_ONE_ROW = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]{2,}| \(.*")


class RowCounter:
    """A counter of the rows of one table that reports fixed and refused ones."""

    def __init__(self, report: TableReport, say: Say | None) -> None:
        """Count into ``report``; ``say`` is called for each fixed or refused row."""
        self.report = report
        self._say = say

    def taken(self, key: Sequence[Any], notes: list[str], *, written: bool) -> None:
        """Count a row that is in the store, written now or before."""
        if written:
            self.report.written += 1
        else:
            self.report.present += 1
        if notes:
            self.report.fixed += 1
            self._tell("fixed", key, notes, notes)

    def refused(self, key: Sequence[Any], notes: list[str], reason: str) -> None:
        """Count a row that could not be imported."""
        self.report.refused += 1
        self._tell("refused", key, [*notes, reason], [reason])

    def _tell(self, outcome: str, key: Sequence[Any], notes: list[str], counted: list[str]) -> None:
        # Reasons without the details of single rows, so that there are few of them.
        for note in counted:
            kind = _OF_ONE_ROW.sub("…", f"{outcome}: {note}")[:120]
            self.report.reasons[kind] = self.report.reasons.get(kind, 0) + 1
        if self._say is not None:
            self._say({"table": self.report.table, "key": [_shown(part) for part in key], outcome: notes})


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
