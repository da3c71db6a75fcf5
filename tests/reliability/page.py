"""The table of ``docs/reliability.md``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.reliability.rows import ROWS, Row
from tests.reliability.soak import ROOT, Result

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- counts: written by make soak -->", "<!-- end of counts -->"

NOT_RUN = "not run yet"
_BAR = re.compile(r"(?<!\\)\|")
_SECONDS = re.compile(r", ([\d,]+) s$")
_COUNTED = re.compile(r"\{('[^{}]*)\}")
"""Counts by name, as Python prints them."""


def write(results: Mapping[str, Result], page: Path = PAGE) -> None:
    """Put the table of these results between the marks of the page; rows without a result stay as they are there."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(results, _told(old))}\n{END}{after}")


def _told(old: str) -> dict[str, tuple[str, str]]:
    """Return what a table says of the last run and of the controls, by fault."""
    rows = [[cell.strip() for cell in _BAR.split(line)] for line in old.splitlines() if line.startswith("| ")]
    return {cells[1]: (cells[5], cells[6]) for cells in rows if len(cells) == 8}


def table(results: Mapping[str, Result], told: Mapping[str, tuple[str, str]] | None = None) -> str:
    """One line for each promise. ``told``: last run and controls by fault, for rows without a result."""
    ran: list[str] = []
    lines = [
        "| fault | injection | promise | quick / long | last long run | result of the controls |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        result = results.get(name)
        run, control = (told or {}).get(row.fault, (NOT_RUN, "-"))
        if result is not None:
            run = _did(result)
            control = _listed(f"{each['subject']}: {_found(each)}" for each in result.records if each["control"])
        if run != NOT_RUN:
            ran.append(run)
        lines.append(f"| {row.fault} | {row.injected} | {row.promise} | {_counts(row)} | {run} | {control or '-'} |")
    total = sum(int(found[1].replace(",", "")) for run in ran if (found := _SECONDS.search(run)))
    failed = [name for name, result in results.items() if not result.passed]
    lines += ["", f"Rows run: {len(ran)}, failed: {len(failed)}{' (' + ', '.join(failed) + ')' if failed else ''}; "
              f"{total / 60:.0f} minutes of tests, several beside one another."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _counts(row: Row) -> str:
    return f"{row.quick:,} / {row.long:,} {row.unit}" if row.long else f"all {row.unit}"


def _did(result: Result) -> str:
    said = [f"{each['subject']}: {each['done']:,}, {each['wrong']:,} wrong{_note(each)}"
            for each in result.records if not each["control"]]  # fmt: skip
    state = "" if result.passed else "**failed** "
    return f"{state}{_listed(said)}<br>{result.day}, {result.seconds:,.0f} s"


def _found(record: Mapping[str, Any]) -> str:
    cases = "case" if record["done"] == 1 else "cases"
    return f"{record['wrong']:,} in {record['done']:,} {cases}{_note(record)}"


def _note(record: Mapping[str, Any]) -> str:
    note = _COUNTED.sub(lambda found: found[1].replace("'", ""), record["note"])
    return f" ({note})" if note else ""


def _listed(lines: Iterable[str]) -> str:
    return "<br>".join(line.replace("|", "\\|") for line in lines)
