"""Conditions on documents as SQLite's SQL.

No condition on a text that is no JSON can be judged, so each filter asks ``json_valid`` first: SQLite's other functions
also read JSON5. SQLite parses a text once for all the functions of a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ciris_store_core.models.document_filters import Condition, ValuePath

Compiled = tuple[str, tuple[object, ...]]

_VALUE = "coalesce(searchable, body)"

# A text that begins like this is malformed for every function of JSON, and ends the statement with an error.
_REFUSED = f"'}}' || {_VALUE}"

SOUND_VALUE = f"CASE WHEN json_valid({_VALUE}) THEN {_VALUE} ELSE {_REFUSED} END"

# Keys without syntax of SQL, of paths and of the toolkit's statements, and as JSON texts spell them.
_PLAIN_KEY = re.compile(r"[^\x00-\x1f\x7f\"\\{}\ud800-\udfff]+")
_MOST_INDEX = 2**31

_FEW = 50
"""Floats that one condition compares with at most: each is a term, and SQLite bounds the depth of an expression."""

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def among_damaged(condition: str, *, listing: bool) -> str:
    """Return the condition on a value, which a damaged one meets in a listing; otherwise it ends the statement."""
    return f"CASE WHEN json_valid({_VALUE}) THEN {condition} ELSE {'1' if listing else f'json_type({_REFUSED})'} END"


def path_text(path: ValuePath) -> str | None:
    """Return SQLite's text of a path; None if SQLite could take a key for something else."""
    steps = ["$"]
    for step in path:
        if isinstance(step, int):
            if step >= _MOST_INDEX:
                return None
            steps.append(f"[{step}]")
        elif _PLAIN_KEY.fullmatch(step):
            steps.append(f'."{step}"')
        else:
            return None
    return "".join(steps)


def condition_on(condition: Condition) -> Compiled | None:
    """Return the test that a condition holds; None if SQLite cannot express it exactly."""
    path = path_text(condition.path)
    return None if path is None else _Part(path).test(condition.operator, condition.operand)


class _Part:
    """The part of every document's value that a path leads to."""

    def __init__(self, path: str) -> None:
        self._opened = "'" + path.replace("'", "''")  # a literal without its last quote
        self._path = f"{self._opened}'"
        self._type = f"json_type({_VALUE}, {self._path})"
        self._value = f"json_extract({_VALUE}, {self._path})"

    def test(self, operator: str, operand: object) -> Compiled | None:
        if operator == "exists":
            return (f"({self._type}) IS {'NOT NULL' if operand else 'NULL'}", ())
        if operator == "eq":
            return self._equals(operand)
        if operator == "ne":
            found = self._equals(operand)
            return found and (f"({found[0]}) IS NOT TRUE", found[1])
        if operator == "in":
            assert isinstance(operand, tuple)
            return self._in(operand)
        if operator == "contains":
            return self._contains(operand)
        return self._compared(_SIGNS[operator], operand)

    def _equals(self, operand: object) -> Compiled | None:
        if isinstance(operand, str):
            return f"CASE {self._type} WHEN 'text' THEN {self._value} = ? END", (operand,)
        if operand is None or isinstance(operand, bool):
            return f"{self._type} = '{_constant(operand)}'", ()
        if not isinstance(operand, int | float):
            return None  # an object equals one with other order of keys, and 1 equals 1.0 in it
        return self._number("=", operand)

    def _in(self, operands: Sequence[object]) -> Compiled | None:
        texts = [each for each in operands if isinstance(each, str)]
        numbers = [each for each in operands if isinstance(each, int | float) and not isinstance(each, bool)]
        others = [each for each in operands if not isinstance(each, str | int | float) or isinstance(each, bool)]
        if len(numbers) + len(others) > _FEW:
            return None
        found = [self._equals(each) for each in (*numbers, *others)]
        if texts:
            listed = "IN (SELECT value FROM json_each(?))"
            found.append((f"CASE {self._type} WHEN 'text' THEN {self._value} {listed} END", (json.dumps(texts),)))
        tests = [each for each in found if each is not None]
        if len(tests) < len(found):
            return None
        if not tests:
            return "1 = 0", ()
        return "(" + " OR ".join(text for text, _ in tests) + ")", tuple(value for _, bound in tests for value in bound)

    def _compared(self, sign: str, operand: object) -> Compiled:
        if isinstance(operand, str):
            return f"CASE {self._type} WHEN 'text' THEN {self._value} {sign} ? END", (operand,)
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            return "1 = 0", ()
        return self._number(sign, operand)

    def _number(self, sign: str, operand: float) -> Compiled:
        # Some versions of SQLite read the last digit of a float wrongly. A float that is close to the operand is read
        # by Python instead.
        exact = f"exact_number({_VALUE} -> {self._path}) {sign} ?"
        real = f"CASE WHEN {self._value} BETWEEN ? AND ? THEN {exact} ELSE {self._value} {sign} ? END"
        return (
            f"CASE {self._type} WHEN 'integer' THEN {self._value} {sign} ? WHEN 'real' THEN {real} END",
            (operand, *around(operand), operand, operand),
        )

    def _contains(self, operand: object) -> Compiled | None:
        elements = f"EXISTS (SELECT 1 FROM json_each({_VALUE}, {self._path}) j WHERE "
        if isinstance(operand, str):
            return (
                f"CASE {self._type} WHEN 'text' THEN instr({self._value}, ?) > 0 "
                f"WHEN 'array' THEN {elements} j.type = 'text' AND j.atom = ?) END",
                (operand, operand),
            )
        if operand is None or isinstance(operand, bool):
            return f"CASE {self._type} WHEN 'array' THEN {elements} j.type = '{_constant(operand)}') END", ()
        if not isinstance(operand, int | float):
            return None
        element = f"exact_number({_VALUE} -> ({self._opened}[' || j.key || ']'))"
        test = f"CASE j.type WHEN 'integer' THEN j.atom = ? WHEN 'real' THEN {element} = ? END"
        return f"CASE {self._type} WHEN 'array' THEN {elements} {test}) END", (operand, operand)


def _constant(operand: object) -> str:
    return {None: "null", True: "true", False: "false"}[operand]  # type: ignore[index]  # one of these


def around(number: float) -> tuple[float, float]:
    """Return bounds around a number that are further from it than any error in reading a float."""
    try:
        value = float(number)
    except OverflowError:
        value = float("inf") if number > 0 else float("-inf")
    room = abs(value) * 1e-12 + 1e-300
    return value - room, value + room
