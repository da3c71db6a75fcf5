"""Conditions on documents as PostgreSQL's SQL, and the expression of an index on a part of every value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ciris_store_core.models.document_filters import Condition, ValuePath
from ciris_store_core.sql import json_text

Compiled = tuple[str, tuple[object, ...]]

_MOST_INDEX = 2**31

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def part_of(path: ValuePath) -> Compiled | None:
    """Return the expression of the part that a path leads to; None if no text of the database can hold the path."""
    if any(_impossible(step) for step in path):
        return None
    if any(isinstance(step, int) for step in path):
        # A number on a scalar would be the scalar itself: ``'1'::jsonb -> 0`` is 1. A strict path has no such rule.
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{json.dumps(step)}" for step in path)
        return "jsonb_path_query_first(filtered, ?::jsonpath, '{}', true)", (f"strict ${steps}",)
    return "(filtered" + " -> ?::text" * len(path) + ")", path


def _impossible(step: str | int) -> bool:
    if isinstance(step, int):
        return step >= _MOST_INDEX
    return "\0" in step or any("\ud800" <= character <= "\udfff" for character in step)


def index_name(path: ValuePath) -> str:
    """Return the name of the index on a path."""
    return "documents_at_" + hashlib.sha256(json.dumps(path).encode()).hexdigest()[:24]


def condition_on(condition: Condition) -> Compiled | None:
    """Return the test that a condition holds; None if PostgreSQL cannot express it."""
    found = part_of(condition.path)
    if found is None:
        return None
    part, path = found
    text, operands = _test(part, condition.operator, condition.operand)
    # Each occurrence of the part binds its path anew.
    pieces = text.split("{part}")
    values: list[object] = []
    operands = list(operands)
    for piece in pieces[:-1]:
        values += operands[: piece.count("?")]
        del operands[: piece.count("?")]
        values += path
    return part.join(pieces), (*values, *operands)


def _test(part: str, operator: str, operand: object) -> tuple[str, Sequence[object]]:
    if operator == "exists":
        return "{part} IS " + ("NOT NULL" if operand else "NULL"), ()
    if operator == "eq":
        return EQUALS, [json_text(operand)] * 2
    if operator == "ne":
        return "{part} IS DISTINCT FROM ?::jsonb", [json_text(operand)]
    if operator == "in":
        assert isinstance(operand, tuple)
        return IN, [[json_text(each) for each in operand]] * 2
    if operator == "contains":
        return _contains(operand)
    return _compared(_SIGNS[operator], operand)


# The second part lets an index serve. It holds a hash, since an index entry is bounded and values are not. Numbers that
# are equal have one hash, however many digits they are written with.
EQUALS = "({part} = ?::jsonb AND jsonb_hash_extended({part}, 0) = jsonb_hash_extended(?::jsonb, 0))"

IN = (
    "({part} = ANY (?::jsonb[]) AND jsonb_hash_extended({part}, 0) = ANY (ARRAY("
    "SELECT jsonb_hash_extended(e, 0) FROM unnest(?::jsonb[]) e)))"
)


def _compared(sign: str, operand: object) -> tuple[str, Sequence[object]]:
    if isinstance(operand, str):
        text = f"(jsonb_typeof({{part}}) = 'string' AND ({{part}} #>> '{{}}') COLLATE \"C\" {sign} ?)"
        return text, [operand]
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        return "1 = 0", ()
    return f"(jsonb_typeof({{part}}) = 'number' AND {{part}} {sign} ?::jsonb)", [json_text(operand)]


def _contains(operand: object) -> tuple[str, Sequence[object]]:
    if operand is None or isinstance(operand, str | bool | int | float):
        array = "(jsonb_typeof({part}) = 'array' AND {part} @> ?::jsonb)"
        bound: list[object] = [json_text([operand])]
    else:
        # Containment would also find an element with more keys.
        array = (
            "EXISTS (SELECT 1 FROM jsonb_array_elements(CASE jsonb_typeof({part}) WHEN 'array' THEN {part} END) e "
            "(value) WHERE e.value = ?::jsonb)"
        )
        bound = [json_text(operand)]
    if not isinstance(operand, str):
        return array, bound
    return f"({array} OR (jsonb_typeof({{part}}) = 'string' AND strpos({{part}} #>> '{{}}', ?) > 0))", [*bound, operand]
