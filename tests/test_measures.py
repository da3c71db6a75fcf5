"""Measures of the packages' sources: the share of comments, and the length of functions."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["ciris_store_core", *(str(each.relative_to(ROOT)) for each in ROOT.glob("backends/*/ciris_store_*"))]


def sources() -> Iterator[str]:
    """Yield the source of each module of the packages."""
    for package in PACKAGES:
        yield from (file.read_text() for file in (ROOT / package).rglob("*.py"))


def comments_of(source: str) -> int:
    """Return the number of comments in a source."""
    return sum(token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(source).readline))


def lengths_of(source: str) -> Iterator[int]:
    """Yield the number of lines of each function, without its docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            yield (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_comments_are_neither_missing_nor_noise() -> None:
    found = list(sources())
    share = sum(map(comments_of, found)) / sum(source.count("\n") for source in found)
    assert 0.015 <= share <= 0.04, f"{share:.2%} of the lines have comments"


def test_half_of_the_functions_are_short() -> None:
    assert median(length for source in sources() for length in lengths_of(source)) <= 8


def test_a_source_is_measured() -> None:
    source = 'def f():\n    """Return\n    it."""\n    # Why.\n    return 1\n'
    assert (comments_of(source), list(lengths_of(source))) == (1, [3])
