"""Contents of the pages of the documentation: blocks of code, tables and links.

``python -m tests.support.snippets PAGE`` runs the programs of a page.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = "python"
SHOWN = "#> "
"""Begins a line of a block that shows what the program printed."""

_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run:(?P<reason>[^>]*)-->\s*\Z")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CELL_BORDER = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    """Of its first line of code, from 1."""
    language: str
    code: str
    reason: str | None
    """Why it is not run, if it is marked so."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def shown(self) -> list[str]:
        """The output that the page promises, line by line."""
        lines = (line.lstrip() for line in self.code.splitlines())
        return [line.removeprefix(SHOWN) for line in lines if line.startswith(SHOWN)]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [_block(page, text, match) for match in _FENCE.finditer(text)]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    mark = _MARK.search(text[: match.start()])
    reason = mark["reason"].strip() if mark else None
    return Block(page, text.count("\n", 0, match.start("code")) + 1, match["language"], match["code"], reason)


def run(blocks: Iterable[Block]) -> int:
    """Run the blocks one after the other in one namespace; returns how many ran.

    A block with lines that begin with ``#> `` must print exactly those.
    """
    namespace: dict[str, Any] = {"__name__": "a_page"}
    count = 0
    for block in blocks:
        if block.language == RUN and block.reason is None:
            _run_one(block, namespace)
            count += 1
    return count


def _run_one(block: Block, namespace: dict[str, Any]) -> None:
    # Empty lines before it make tracebacks name the line of the page.
    program = compile("\n" * (block.line - 1) + block.code, str(block.page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(program, namespace)
    printed = output.getvalue().splitlines()
    if block.shown and printed != block.shown:
        raise AssertionError(f"{block} shows {block.shown} but printed {printed}")


def rows_of(page: Path, section: str) -> list[list[str]]:
    """The cells of the tables below a heading, up to the next one, without their head rows."""
    lines = _section(page, section).splitlines()
    tables = [position for position, line in enumerate(lines) if re.match(r"\|[ :-]*---", line)]
    return [row for start in tables for row in _rows_after(lines, start + 1)]


def _section(page: Path, heading: str) -> str:
    parts = re.split(r"^#+ +(.+)\n", page.read_text(), flags=re.MULTILINE)
    found = [text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name == heading]
    assert len(found) == 1, f"{page} needs one heading {heading!r}"
    return found[0]


def _rows_after(lines: list[str], start: int) -> Iterator[list[str]]:
    for line in lines[start:]:
        if not line.startswith("|"):
            return
        yield [plain(cell) for cell in _CELL_BORDER.split(line)[1:-1]]


def plain(cell: str) -> str:
    """Return a cell of a table without the marks of code."""
    # A code span is delimited by more backticks than it holds; a space keeps those apart.
    text = cell.strip().replace("\\|", "|")
    return text[1:-1] if re.fullmatch(r"`[^`]+`", text) else text


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    text = _FENCE.sub("", page.read_text())
    return [link for link in _LINK.findall(text) if not _resolves(page, link)]


def _resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if line := re.fullmatch(r"L(\d+)", anchor):  # tests/test_line_links.py says which
        return target.exists() and int(line[1]) <= len(target.read_text().splitlines())
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    print(f"ran {run(blocks_of(Path(sys.argv[1])))} blocks")
