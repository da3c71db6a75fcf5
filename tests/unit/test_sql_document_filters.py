"""Filters of documents mean on every SQL database what ``matches`` says of them."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import from_json

from ciris_store_core.clock import ManualClock
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.models.document_filters import AllOf, AnyOf, Condition, Filter, Not, matches
from ciris_store_core.models.documents import DocumentQuery, DocumentWrite, StoredDocument
from ciris_store_core.sql.document_filters import split_filter
from ciris_store_core.url import resolve_url
from ciris_store_core.validation.payloads import bytes_payload, json_payload, searchable
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_sqlite.dialect import SqliteDialect
from tests.support.pgserver import ExternalServer

T0 = datetime(2026, 1, 1, tzinfo=UTC)

KEYS = (
    "a",
    "b",
    "0",
    "a.b",
    "a'b",
    "$",
    "",
    'a"b',
    "a\\b",
    "\n",
    "é",
    "😀",
    "\0",
    "\ud800",
    "{tasks}",
    "?",
    "%s",
    "[0]",
)
TEXTS = ("", "a", "A", "ab", "b", "0", "1", "é", "z", "\uffff", "😀", "\0", "\ud800", "%", "a'b", "null", "true", "{}")
NUMBERS = (
    0, 1, -1, 2, 1.0, -0.0, 0.1, 0.1 + 0.2, 0.3, 0.30000000000000004, 1.5, 1e22, 1e-7, 5e-324, 1.7976931348623157e308,
    2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63, float(2**63), -(2**63), 2**64, 10**30, 1e30, 123456789012345678,
    1.2345678901234567, 1e16, 3.0000000000000004, 10**400,
)  # fmt: skip

ORDERED = ("gt", "gte", "lt", "lte")


class Maker:
    """Random values, and filters that are often about what the values hold."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 2) -> Any:
        kind = self.random.randrange(8) if depth else 0
        if kind < 4:
            return self.scalar()
        size = self.random.randrange(4)
        if kind < 6:
            return [self.value(depth - 1) for _ in range(size)]
        return {self.random.choice(KEYS): self.value(depth - 1) for _ in range(size)}

    def scalar(self) -> Any:
        pick = self.random
        kind = pick.randrange(10)
        if kind == 0:
            return struct.unpack("d", struct.pack("Q", pick.getrandbits(62)))[0] * pick.choice([1, -1])
        if kind == 1:
            return pick.randrange(-(2**70), 2**70)
        if kind == 2:
            return pick.random() * 10
        return pick.choice(pick.choice([TEXTS, TEXTS, NUMBERS, NUMBERS, (None, True, False)]))

    def path(self) -> tuple[Any, ...]:
        steps = (*KEYS, 0, 1, 2, 2**31, 2**63)
        return tuple(self.random.choice(steps) for _ in range(self.random.randrange(4)))

    def condition(self, parts: list[tuple[tuple[Any, ...], Any]]) -> Condition:
        path, found = self.random.choice(parts) if self.random.random() < 0.8 else (self.path(), self.scalar())
        operator: Any = self.random.choice(["eq", "ne", *ORDERED, "in", "exists", "contains"])
        if operator == "exists":
            return Condition(path, operator, self.random.random() < 0.5)
        if operator == "in":
            return Condition(path, operator, tuple(self.operand(found) for _ in range(self.random.randrange(4))))
        return Condition(path, operator, self.operand(found))

    def operand(self, found: Any) -> Any:
        pick = self.random.randrange(8)
        if pick == 0 and isinstance(found, list) and found:
            found = self.random.choice(found)
        elif pick == 1 and isinstance(found, str):
            found = found[1:]
        elif pick == 2 and isinstance(found, float):
            found = math.nextafter(found, self.random.choice([-math.inf, math.inf]))
            found = found if math.isfinite(found) else 0.5
        elif pick > 4:
            found = self.value()
        return searchable(found)

    def filter(self, parts: list[tuple[tuple[Any, ...], Any]], depth: int = 2) -> Filter:
        shape = self.random.randrange(6) if depth else 5
        if shape == 0:
            return Not(self.filter(parts, depth - 1))
        if shape in (1, 2):
            several = tuple(self.filter(parts, depth - 1) for _ in range(self.random.randrange(4)))
            return AllOf(several) if shape == 1 else AnyOf(several)
        return self.condition(parts)


def parts_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every path into a value, with what it leads to."""
    yield path, value
    for step, part in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from parts_of(part, (*path, step))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), "duckdb"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    if request.param == "postgres":
        server: ExternalServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    else:
        url = f"{request.param}:///{tmp_path_factory.mktemp('filters') / 'a.db'}"
    target = resolve_url(url)
    opened = Registry().spec_for(target.scheme).factory(target, BackendContext(ManualClock(T0)))
    opened.prepare(migrate=True)
    yield opened
    opened.close()
    if request.param == "postgres":
        server.drop_database(url)


@pytest.mark.parametrize("seed", range(8))
def test_filters_mean_what_matches_says(backend: Backend, seed: int) -> None:
    maker = Maker(seed)
    namespace = (f"case {seed}",)
    payloads = [json_payload(maker.value())[0] for _ in range(60)]
    writes = [
        DocumentWrite(StoredDocument(namespace, f"{number:02}", payload, T0, T0))
        for number, payload in enumerate([*payloads, bytes_payload(b"{}", None)])
    ]
    seen = [from_json(payload.filtered_text or "") for payload in payloads]
    parts = [each for value in seen for each in parts_of(value)]
    indexed = [maker.random.choice(parts)[0] for _ in range(8)] if seed % 2 else []
    with backend.session(write=True) as session:
        for path in indexed[:4]:
            session.documents.create_index(path)
        session.documents.put([replace(writes[-1], document=replace(writes[-1].document, key="00")), *writes[40:]], T0)
        session.documents.put(writes, T0)
        for path in indexed[4:]:
            session.documents.create_index(path)
    with backend.session(write=False) as session:
        for _ in range(150):
            condition = maker.filter(parts)
            query = DocumentQuery(prefix=namespace, filter=condition, limit=100)
            found = [document.key for document in session.documents.find(query).items]
            expected = [f"{number:02}" for number, value in enumerate(seen) if matches(condition, value)]
            assert found == expected, (condition, [payloads[int(key)] for key in set(found) ^ set(expected)])
            assert session.documents.count(query) == len(expected)
    with backend.session(write=True) as session:
        for path in indexed:
            session.documents.drop_index(path)


@pytest.mark.parametrize("dialect", [SqliteDialect(), PostgresDialect("public")], ids=["sqlite", "postgres"])
@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte", "in", "exists", "contains"])
@pytest.mark.parametrize("path", [("a",), ("a.b", 0, "é"), (), (3,)], ids=str)
def test_the_database_judges_usual_conditions_itself(dialect: Any, operator: Any, path: Any) -> None:
    operands: dict[str, list[Any]] = {"in": [("x", 1), ()], "exists": [True, False]}
    for operand in operands.get(operator, ["x", 1, 1.5, None, True]):
        compiled, rest = split_filter(Not(Condition(path, operator, operand)), dialect)
        assert rest is None and len(compiled) == 1, operand
