"""Shortening of a failing script: parts are removed as long as the script still fails."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from ciris_store_core.conformance import replay as names
from ciris_store_core.conformance.random_scripts import Step

Fails = Callable[[Sequence[Step]], bool]
"""Function that returns True if a script fails."""


def shortest(steps: Sequence[Step], fails: Fails) -> list[Step]:
    """Return the script without the steps and arguments that are not needed for the failure."""
    left = _fewer_steps(list(steps), fails)
    return _fewer_blocks(_fewer_steps(_plainer_calls(left, fails), fails), fails)


def _fewer_steps(steps: list[Step], fails: Fails) -> list[Step]:
    size = len(steps)
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if fails(fewer):
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


def _fewer_blocks(steps: list[Step], fails: Fails) -> list[Step]:
    """Remove blocks whose calls are needed: without one of its two marks, the other one would move another block."""
    marks = [number for number, step in enumerate(steps) if step.kind != "call"]
    for pair in combinations(marks, 2):
        fewer = [step for number, step in enumerate(steps) if number not in pair]
        if fails(fewer):
            return _fewer_blocks(fewer, fails)
    return steps


def _plainer_calls(steps: list[Step], fails: Fails) -> list[Step]:
    for number in range(len(steps)):
        while (plainer := _plainer_call(steps, number, fails)) is not None:
            steps = plainer
    return steps


def _plainer_call(steps: list[Step], number: int, fails: Fails) -> list[Step] | None:
    for text in plainer_texts(steps[number].text):
        changed = [*steps[:number], replace(steps[number], text=text), *steps[number + 1 :]]
        if _is_valid(text) and fails(changed):
            return changed
    return None


class _NoSession:
    """Session that accepts every call and does nothing."""

    def __getattr__(self, name: str) -> _NoSession:
        return self

    def __call__(self, *arguments: Any) -> None:
        return None


def _is_valid(text: str) -> bool:
    """Return True if the arguments of a call can be made: a record may need what was removed."""
    space = {name: getattr(names, name) for name in names.__all__}
    try:
        eval(text, {**space, "session": _NoSession(), "pages": _NoSession()})
    except Exception:
        return False
    return True


def plainer_texts(text: str) -> Iterator[str]:
    """Yield the call without one of its keyword arguments, list items or dict items, for each of them."""
    if not text:
        return
    for index in range(sum(1 for _ in _removals(ast.parse(text)))):
        tree = ast.parse(text)
        list(_removals(tree))[index]()
        yield ast.unparse(tree)


def _removals(tree: ast.AST) -> Iterator[Callable[[], object]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (_removal(node.keywords, keyword=each) for each in node.keywords)
        elif isinstance(node, ast.List):
            yield from (_removal(node.elts, keyword=each) for each in node.elts)
        elif isinstance(node, ast.Dict):
            yield from (_removal_of_pair(node, index) for index in range(len(node.keys)))


def _removal(items: list[ast.keyword] | list[ast.expr], *, keyword: ast.AST) -> Callable[[], object]:
    return lambda: items.remove(keyword)  # type: ignore[arg-type]


def _removal_of_pair(node: ast.Dict, index: int) -> Callable[[], object]:
    return lambda: (node.keys.pop(index), node.values.pop(index))
