"""Filters of documents as SQL, as far as the dialect can express them exactly.

A condition of SQL that is NULL counts as false, since NULL only comes from a part that is absent or of another type.
``IS NOT TRUE`` turns it into true where a filter is negated.
"""

from __future__ import annotations

from ciris_store_core.models.document_filters import AllOf, AnyOf, Condition, Filter, Not
from ciris_store_core.sql.dialect import Dialect

Compiled = tuple[str, tuple[object, ...]]
"""A condition, and the values that it binds."""


def split_filter(condition: Filter, dialect: Dialect) -> tuple[list[Compiled], Filter | None]:
    """Return the conditions for SQL that must all hold, and the rest of the filter, which Python judges."""
    compiled: list[Compiled] = []
    rest: list[Filter] = []
    for part in conjuncts(condition):
        found = _compile(part, dialect)
        if found is None:
            rest.append(part)
        else:
            compiled.append(found)
    if not rest:
        return compiled, None
    return compiled, rest[0] if len(rest) == 1 else AllOf(tuple(rest))


def conjuncts(condition: Filter) -> list[Filter]:
    """Return conditions that hold together exactly if this one holds."""
    if isinstance(condition, AllOf):
        return [each for part in condition.parts for each in conjuncts(part)]
    return [condition]


def _compile(condition: Filter, dialect: Dialect) -> Compiled | None:
    if isinstance(condition, Condition):
        return dialect.document_condition(condition)
    if isinstance(condition, Not):
        found = _compile(condition.part, dialect)
        return None if found is None else (f"({found[0]}) IS NOT TRUE", found[1])
    if isinstance(condition, AllOf):
        return _joined(" AND ", "1 = 1", condition.parts, dialect)
    assert isinstance(condition, AnyOf)
    return _joined(" OR ", "1 = 0", condition.parts, dialect)


def _joined(operator: str, empty: str, parts: tuple[Filter, ...], dialect: Dialect) -> Compiled | None:
    if not parts:
        return empty, ()
    texts: list[str] = []
    values: list[object] = []
    for part in parts:
        found = _compile(part, dialect)
        if found is None:
            return None
        texts.append(found[0])
        values += found[1]
    return f"({operator.join(texts)})", tuple(values)
