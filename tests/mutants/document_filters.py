"""Faults of filters over documents: other meanings of conditions, such as those of SQL, of JSON paths and of languages."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ciris_store_core.contract.filters import DOCUMENT_ORDERS, document_matches
from ciris_store_core.models.document_filters import AllOf, AnyOf, Condition, Filter, Not, matches, same
from ciris_store_core.models.paging import ResultPage
from tests.mutants.planting import add

FILTERS = "documents.filters"
ABSENT: Any = object()

Judge = Callable[[Condition, Any], bool | None]
"""Meaning of one condition on a whole value; None: unknown, as NULL in SQL."""


def part(value: Any, path: Any) -> Any:
    """Return the part at a path."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return ABSENT
        elif not isinstance(value, list) or step >= len(value):
            return ABSENT
        value = value[step]
    return value


def judged(condition: Filter, value: Any, judge: Judge, unknown: bool | None = False) -> bool | None:
    """Return whether a value meets a filter. ``unknown`` None: three values, as in SQL."""
    if isinstance(condition, Condition):
        answer = judge(condition, value)
        return unknown if answer is None else answer
    if isinstance(condition, Not):
        inner = judged(condition.part, value, judge, unknown)
        return None if inner is None else not inner
    assert isinstance(condition, AllOf | AnyOf)
    answers = [judged(each, value, judge, unknown) for each in condition.parts]
    decisive = isinstance(condition, AnyOf)
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


def finding(test: Callable[[Filter, Any], bool | None], text: Callable[[Any], Any] = lambda row: row.payload.filtered_text) -> tuple[tuple[str, Any], ...]:
    """Find and count with another meaning of filters, over the JSON text that ``text`` takes from a row."""
    def met(row: Any, query: Any) -> bool:
        seen = text(row)
        return document_matches(row, replace(query, filter=None)) and (query.filter is None or (seen is not None and bool(test(query.filter, json.loads(seen)))))

    def find(self: Any, sound: Any, query: Any) -> Any:
        key = DOCUMENT_ORDERS[query.order]
        rows = sorted((row for row in self._documents.rows.values() if met(row, query)), key=key)
        left = [replace(row) for row in rows if query.after is None or key(row) > query.after]
        items = left[: query.limit]
        return ResultPage(items, key(items[-1]) if len(left) > len(items) > 0 else None)

    return (("documents.find", find), ("documents.count", lambda self, sound, query: sum(met(row, query) for row in self._documents.rows.values())))


def judging(judge: Judge, unknown: bool | None = False) -> tuple[tuple[str, Any], ...]:
    """Give single conditions another meaning."""
    return finding(lambda condition, value: judged(condition, value, judge, unknown))


def on(*operators: str) -> Callable[[Judge], Judge]:
    """Change the meaning of some operators only."""
    return lambda judge: lambda condition, value: judge(condition, value) if condition.operator in operators else matches(condition, value)


def changed(operand: Callable[[Any], Any] = lambda value: value, stored: Callable[[Any], Any] = lambda value: value, path: Callable[[Any], Any] = lambda path: path) -> Judge:
    """Judge a condition with another operand, another value or another path."""
    def judge(condition: Condition, value: Any) -> bool:
        wanted = tuple(map(operand, condition.operand)) if condition.operator == "in" else operand(condition.operand)
        return matches(Condition(path(condition.path), condition.operator, wanted), stored(value))

    return judge


def deep(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Apply a function to each scalar of a value, and to each key."""
    def bend(value: Any) -> Any:
        if isinstance(value, dict):
            return {change(key): bend(item) for key, item in value.items()}
        return [bend(item) for item in value] if isinstance(value, list | tuple) else change(value)

    return bend


def scalars(change: Callable[[Any], Any], *kinds: type) -> Judge:
    """Compare scalars of these types in another form, on both sides."""
    bend = deep(lambda value: change(value) if type(value) in kinds else value)
    return changed(bend, bend, lambda path: tuple(bend(step) if isinstance(step, str) else step for step in path))


def _contains_json(one: Any, other: Any) -> bool:
    """Return True if a JSON value contains another one in the sense of jsonb."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(key in one and _contains_json(one[key], value) for key, value in other.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(any(_contains_json(each, wanted) for each in one) for wanted in other)
    return same(one, other)


def _compared_as_text(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if found is ABSENT or condition.operator not in ("gt", "gte", "lt", "lte") or isinstance(found, dict | list):
        return matches(condition, value)
    return matches(Condition((), condition.operator, str(condition.operand)), str(found))


def _two_valued(condition: Condition, value: Any) -> bool | None:
    """Unknown where a column would be NULL: absent and null alike, as with json_extract."""
    found = part(value, condition.path)
    if condition.operator == "exists" or condition.operand is None:
        return matches(condition, value)
    return None if found is ABSENT or found is None else matches(condition, value)


def _through_texts(path: Any) -> Any:
    return tuple(int(step) if isinstance(step, str) and step.isdecimal() and len(step) == 1 else step for step in path)


def _utf_16(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if condition.operator in ("gt", "gte", "lt", "lte") and isinstance(found, str) and isinstance(condition.operand, str):
        mine, theirs = (each.encode("utf-16-be", "surrogatepass") for each in (found, condition.operand))
        return {"gt": mine > theirs, "gte": mine >= theirs, "lt": mine < theirs, "lte": mine <= theirs}[condition.operator]
    return matches(condition, value)


def _mixed(condition: Condition, value: Any) -> bool:
    """Compare across types: a number is less than any text, as SQLite has it."""
    found = part(value, condition.path)
    if condition.operator in ("gt", "gte", "lt", "lte") and isinstance(found, bool | int | float) and isinstance(condition.operand, str):
        return condition.operator in ("lt", "lte")
    if condition.operator in ("gt", "gte", "lt", "lte") and isinstance(found, str) and isinstance(condition.operand, int | float):
        return condition.operator in ("gt", "gte")
    return matches(condition, value)


def _flags(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    return matches(Condition((), condition.operator, condition.operand), int(found)) if isinstance(found, bool) and isinstance(condition.operand, int) and not isinstance(condition.operand, bool) else matches(condition, value)


def _absent_is_null(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    return matches(Condition((), condition.operator, condition.operand), None if found is ABSENT else found)


def _null_is_absent(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    return condition.operator == "ne" or (condition.operator == "exists" and not condition.operand) if found is ABSENT or found is None else matches(condition, value)


def _texts_of_arrays(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if condition.operator == "contains" and isinstance(condition.operand, str) and found is not ABSENT:
        return condition.operand in (found if isinstance(found, str) else json.dumps(found))
    return matches(condition, value)


def _jsonb_contains(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if condition.operator == "contains" and isinstance(found, list):
        return any(_contains_json(each, condition.operand) for each in found)
    return matches(condition, value)


def _array_is_contained(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if condition.operator == "contains" and isinstance(found, dict) and isinstance(condition.operand, str):
        return condition.operand in found
    return matches(condition, value)


def _scalar_is_array(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    return matches(Condition((), "contains", condition.operand), [found]) if condition.operator == "contains" and found is not ABSENT and not isinstance(found, list | str) else matches(condition, value)


def _objects_by_text(condition: Condition, value: Any) -> bool:
    found = part(value, condition.path)
    if condition.operator in ("eq", "ne") and isinstance(found, dict) and isinstance(condition.operand, dict):
        return (json.dumps(found) == json.dumps(condition.operand)) == (condition.operator == "eq")
    return matches(condition, value)


def _dotted(path: Any) -> Any:
    return tuple(piece for step in path for piece in (step.split(".") if isinstance(step, str) and step.strip(".$") and "." in step else [step]))


def _negative(condition: Condition, value: Any) -> bool:
    with suppress(TypeError, KeyError, IndexError, ValueError):
        found = value
        for step in condition.path:
            found = found[int(step)] if isinstance(found, list) else found[step]
        return matches(Condition((), condition.operator, condition.operand), found)
    return matches(condition, value)


MEANINGS: dict[str, tuple[tuple[str, Any], ...]] = {
    "null_is_absent": judging(_null_is_absent),
    "absent_is_null": judging(_absent_is_null),
    "unknown_is_not_false": judging(_two_valued, None),
    "unknown_is_true": judging(_two_valued, True),
    "booleans_are_numbers": judging(_flags),
    "numbers_are_less_than_texts": judging(_mixed),
    "order_is_that_of_texts": judging(_compared_as_text),
    "order_is_that_of_utf_16": judging(_utf_16),
    "texts_have_no_case": judging(scalars(str.casefold, str)),
    "texts_are_normalised": judging(scalars(lambda text: unicodedata.normalize("NFC", text), str)),
    "texts_have_no_accents": judging(scalars(lambda text: unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode(), str)),
    "texts_end_before_spaces": judging(scalars(str.rstrip, str)),
    "texts_are_cut_at_2700": judging(scalars(lambda text: text[:2700], str)),
    "texts_that_are_numbers_are_numbers": judging(scalars(lambda text: int(text) if text.isdecimal() and len(text) < 9 else text, str)),
    "numbers_are_floats": judging(scalars(float, int)),
    "numbers_have_fifteen_digits": judging(scalars(lambda x: float(f"{x:.15g}"), float)),
    "numbers_have_ten_digits": judging(scalars(lambda x: float(f"{x:.10g}"), float)),
    "tiny_numbers_are_zero": judging(scalars(lambda x: 0 if abs(x) < 1e-300 else x, float)),
    "one_is_true": judging(scalars(int, bool)),
    "objects_are_compared_as_text": judging(_objects_by_text),
    "keys_are_split_at_dots": judging(changed(path=_dotted)),
    "keys_that_look_like_numbers_are_indexes": judging(changed(path=_through_texts)),
    "indexes_are_keys": judging(lambda condition, value: matches(condition, value) or (any(isinstance(step, int) for step in condition.path) and condition.operator != "exists" and matches(Condition(tuple(str(step) for step in condition.path), condition.operator, condition.operand), value))),
    "keys_index_arrays": judging(_negative),
    "the_empty_key_is_the_whole": judging(changed(path=lambda path: tuple(step for step in path if step != ""))),
    "dollar_is_the_root": judging(changed(path=lambda path: path[1:] if path[:1] == ("$",) else path)),
    "quotes_are_doubled": judging(changed(path=lambda path: tuple(step.replace("'", "''") if isinstance(step, str) else step for step in path))),
    "backslashes_are_escapes": judging(changed(path=lambda path: tuple(step.replace("\\\\", "\\").replace("\\", "") if isinstance(step, str) else step for step in path))),
    "controls_are_lost_in_keys": judging(changed(path=lambda path: tuple("".join(c for c in step if c >= " ") if isinstance(step, str) else step for step in path))),
    "keys_are_cut": judging(changed(path=lambda path: tuple(step[:1000] if isinstance(step, str) else step for step in path))),
    "deep_paths_end_early": judging(changed(path=lambda path: path[:9])),
    "contains_is_that_of_jsonb": judging(_jsonb_contains),
    "contains_is_that_of_texts": judging(_texts_of_arrays),
    "contains_finds_keys": judging(_array_is_contained),
    "contains_takes_scalars_for_arrays": judging(_scalar_is_array),
    "contains_has_wildcards": judging(on("contains")(lambda condition, value: matches(condition, value) or (condition.operand in ("%", "_") and isinstance(part(value, condition.path), str)))),
    "contains_of_nothing_is_false": judging(on("contains")(lambda condition, value: condition.operand != "" and matches(condition, value))),
    "contains_means_array_only": judging(on("contains")(lambda condition, value: isinstance(part(value, condition.path), list) and matches(condition, value))),
    "ne_needs_the_part": judging(on("ne")(lambda condition, value: part(value, condition.path) is not ABSENT and matches(condition, value))),
    "exists_needs_a_value": judging(on("exists")(lambda condition, value: (part(value, condition.path) not in (ABSENT, None)) == condition.operand if not isinstance(part(value, condition.path), dict | list) else condition.operand)),
    "exists_false_is_exists": judging(on("exists")(lambda condition, value: part(value, condition.path) is not ABSENT)),
    "gte_is_gt": judging(on("gte")(lambda condition, value: matches(replace(condition, operator="gt"), value))),
    "lte_is_lt": judging(on("lte")(lambda condition, value: matches(replace(condition, operator="lt"), value))),
    "in_takes_the_first": judging(on("in")(lambda condition, value: matches(replace(condition, operand=condition.operand[:1]), value))),
    "in_passes_over_null": judging(on("in")(lambda condition, value: matches(replace(condition, operand=tuple(each for each in condition.operand if each is not None)), value))),
    "in_of_nothing_is_true": judging(on("in")(lambda condition, value: not condition.operand or matches(condition, value))),
    "all_of_nothing_is_false": finding(lambda condition, value: matches(condition, value) and condition != AllOf(())),
    "any_of_nothing_is_true": finding(lambda condition, value: matches(condition, value) or condition == AnyOf(())),
    "or_is_and": finding(lambda condition, value: matches(AllOf(condition.parts) if isinstance(condition, AnyOf) and condition.parts else condition, value)),
    "not_reaches_one_level": finding(lambda condition, value: matches(condition.part if isinstance(condition, Not) and isinstance(condition.part, Not) else condition, value)),
    "not_of_and_negates_each": finding(lambda condition, value: matches(AllOf(tuple(map(Not, condition.part.parts))) if isinstance(condition, Not) and isinstance(condition.part, AllOf) else condition, value)),
    "paths_reach_into_arrays": judging(lambda condition, value: matches(condition, value) or (isinstance(value, list) and bool(condition.path) and condition.operator == "eq" and any(matches(condition, each) for each in value))),
}
BOTH_WAYS = ("unknown_is_not_false", "unknown_is_true", "null_is_absent", "absent_is_null", "ne_needs_the_part", "gte_is_gt", "booleans_are_numbers")
"""Meanings that negated filters must show as well."""
for _name, _plants in MEANINGS.items():
    add(f"filter_{_name}", FILTERS + " documents.filters.not" * (_name in BOTH_WAYS), *_plants)


def _of_bytes(row: Any) -> str | None:
    body = row.payload.body
    with suppress(ValueError, UnicodeDecodeError):
        text = body if isinstance(body, str) else body.decode()
        json.loads(text)
        return row.payload.filtered_text or text
    return None


add("filters_see_bytes", FILTERS, *finding(matches, _of_bytes))
add("filters_see_ciphertexts_as_null", FILTERS, *finding(matches, lambda row: row.payload.filtered_text or "null"))
add("filters_see_the_body", "documents.filters.searchable", *finding(matches, lambda row: row.payload.body if isinstance(row.payload.body, str) and row.payload.format == "json" else row.payload.filtered_text))
add("filters_see_both_copies", "documents.filters.searchable", *finding(lambda condition, value: any(matches(condition, each) for each in value), lambda row: None if row.payload.filtered_text is None else f"[{row.payload.filtered_text},{row.payload.body if isinstance(row.payload.body, str) else 0}]"))
add("filters_see_metadata", "documents.filters.metadata", *finding(matches, lambda row: json.dumps({**(row.metadata or {}), **json.loads(row.payload.filtered_text)}) if row.payload.filtered_text else None))
add("filters_see_columns", "documents.filters.metadata", *finding(matches, lambda row: json.dumps({"key": row.key, "revision": row.revision, **json.loads(row.payload.filtered_text)}) if row.payload.filtered_text else None))


def _remembering(self: Any, sound: Any, key: Any, row: Any) -> None:
    """Keep the searchable copy of the first JSON value for values that are bytes or encrypted."""
    old = self.rows.get(key)
    if old is not None and row.payload.format != "json":
        row = replace(row, payload=replace(row.payload, searchable=old.payload.filtered_text or old.payload.searchable))
    sound(key, row)


def _first_kept(self: Any, sound: Any, key: Any, row: Any) -> None:
    old = self.rows.get(key)
    sound(key, row if old is None or old.payload.filtered_text is None else replace(row, payload=replace(row.payload, searchable=old.payload.filtered_text)))


add("filters_see_what_was_encrypted", "documents.filters.writes", ("session._tables.documents.put", _remembering), *finding(matches, lambda row: row.payload.filtered_text or row.payload.searchable))
add("filters_see_the_first_value", "documents.filters.writes documents.filters.searchable", ("session._tables.documents.put", _first_kept))
