"""Measures of the sources: the share of comments, the length of functions and files, and helpers of one use."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 400
FOLDERS = ["ciris_store_core", "backends", "contrib", "benchmarks", "tests"]
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


def helpers_of(source: str) -> Iterator[str]:
    """Yield the private functions of at most three lines, undecorated, without their docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and re.match("_(?!_)", node.name):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if not node.decorator_list and (not body or (node.end_lineno or 0) - body[0].lineno < 3):
                yield node.name


def one_use_helpers(sources: Iterable[str]) -> list[str]:
    """Return the short private functions whose name stands twice in all sources: at their definition and one use."""
    found = list(sources)
    uses = Counter(re.findall(r"\b_\w+\b", "\n".join(found)))
    return [name for source in found for name in helpers_of(source) if uses[name] == 2]


def test_helpers_that_are_used_once_are_few() -> None:
    found = one_use_helpers(sources())
    assert len(found) < 100, f"{len(found)}: inline some of {', '.join(found)}"


def test_a_helper_of_one_use_is_found() -> None:
    source = "def _f():\n    return 1\n\n\ndef _g():\n    return 2\n\n\nprint(_f(), _g(), _g())\n"
    assert one_use_helpers([source]) == ["_f"]


def test_comments_are_neither_missing_nor_noise() -> None:
    found = list(sources())
    share = sum(map(comments_of, found)) / sum(source.count("\n") for source in found)
    assert 0.015 <= share <= 0.04, f"{share:.2%} of the lines have comments"


def test_half_of_the_functions_are_short() -> None:
    assert median(length for source in sources() for length in lengths_of(source)) <= 8


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_long(folder: str) -> None:
    files = [file for file in (ROOT / folder).rglob("*.py") if not {"build", "__pycache__"} & set(file.parts)]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert files
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_a_source_is_measured() -> None:
    source = 'def f():\n    """Return\n    it."""\n    # Why.\n    return 1\n'
    assert (comments_of(source), list(lengths_of(source))) == (1, [3])
