"""Links from pages to lines of the source: ``[`Class.method`](../path/module.py#L12)``.

``python -m tests.support.line_links`` (``make links``) sets each line to that of the symbol's definition.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "how-it-works.md", ROOT / "ARCHITECTURE.md"]

_LINK = re.compile(r"\[`(?P<symbol>[\w.]+)`\]\((?P<path>[^)#\s]+\.py)#L(?P<line>\d+)\)")


class LineLink(NamedTuple):
    """A link to the definition of a symbol."""

    symbol: str
    file: Path
    line: int


def links_of(page: Path) -> Iterator[LineLink]:
    """Yield the links of a page that lead to a line."""
    for found in _LINK.finditer(page.read_text()):
        yield LineLink(found["symbol"], (page.parent / found["path"]).resolve(), int(found["line"]))


def line_of(file: Path, symbol: str) -> int:
    """Return the line that defines a symbol: a function, a class, a method of a class, or a constant."""
    body: list[ast.stmt] = ast.parse(file.read_text()).body
    line = 0
    for name in symbol.split("."):
        for node in body:
            if name in _names_of(node):
                line, body = node.lineno, getattr(node, "body", [])
                break
        else:
            raise LookupError(f"{file.relative_to(ROOT)} defines no {symbol}")
    return line


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _elsewhere(page: Path, path: str, symbol: str) -> Iterator[str]:
    """Yield the modules beside a file that define a symbol, for one that was moved."""
    folder = (page.parent / path).resolve().parent
    for file in sorted(folder.glob("*.py")):
        with suppress(LookupError):
            line_of(file, symbol)
            yield f"{path.rpartition('/')[0]}/{file.name}"


def update(page: Path) -> list[str]:
    """Set the lines of all links of a page; return the symbols that were not found."""
    missing: list[str] = []

    def renewed(found: re.Match[str]) -> str:
        path = found["path"]
        for place in [path, *_elsewhere(page, path, found["symbol"])]:
            with suppress(LookupError, OSError):
                return f"[`{found['symbol']}`]({place}#L{line_of((page.parent / place).resolve(), found['symbol'])})"
        missing.append(f"{path}: {found['symbol']}")
        return found[0]

    page.write_text(_LINK.sub(renewed, page.read_text()))
    return missing


if __name__ == "__main__":
    sys.exit("\n".join(problem for page in PAGES for problem in update(page)) or None)
