"""Names around the limit of the index: order, pages and prefixes in SQL are those of the reference in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ciris_store_core import Store, open_store
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import (
    DocumentKey,
    DocumentQuery,
    DocumentWrite,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import StoredEntry, StreamKey, StreamQuery
from ciris_store_core.validation.payloads import json_payload
from tests.store.conftest import BACKENDS

LETTERS = "aAzZ09 %_*\x01\x02\x7f\x80é߿ࠀ퟿\ue000\uffff\U00010000\U0010ffff"
"""The first and last character of each length in UTF-8, of each plane, and those that paths escape."""
EXACT = 1000
"""Bytes of a path or key that the index holds as they are."""


def stem(random: Random) -> str:
    """A beginning that ends within a few bytes of the limit, or of the last byte that is sure."""
    filler = random.choice(["x", "é", "\U0010ffff", "\uffff"])
    size = random.choice([EXACT, EXACT - 8]) + random.randrange(-6, 4)
    head = random.choice(LETTERS)
    return (head + filler * size).encode()[:size].decode(errors="ignore")


class Names:
    """Segments, namespaces and keys that share beginnings."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.stems = [stem(random) for _ in range(3)]

    def tail(self) -> str:
        return "".join(self.random.choices(LETTERS, k=self.random.randrange(4)))

    def segment(self) -> str:
        if self.random.random() < 0.5:
            return (self.random.choice(self.stems) + self.tail())[:2000].encode()[:2040].decode(errors="ignore")
        return self.random.choice(LETTERS) + self.tail()

    def namespace(self) -> Namespace:
        chosen = tuple(self.segment() for _ in range(self.random.choice([1, 2, 2, 3])))
        return chosen if sum(len(each.encode()) for each in chosen) < 6000 else chosen[:2]

    def names(self, count: int) -> list[tuple[Namespace, str]]:
        namespaces = [self.namespace() for _ in range(count // 3)]
        # More namespaces below the same long beginnings, which only their hashes tell apart.
        namespaces += [(*self.random.choice(namespaces)[:2], self.segment()) for _ in range(count // 3)]
        return [*dict.fromkeys((self.random.choice(namespaces), self.segment()) for _ in range(count))]

    def part_of(self, text: str) -> str:
        """A beginning of a text, mostly near the limit."""
        near = self.random.randrange(EXACT - 12, EXACT + 12)
        size = near if self.random.random() < 0.7 else self.random.randrange(len(text.encode()) + 1)
        return text.encode()[:size].decode(errors="ignore")


@pytest.fixture(params=["sqlite", "postgres"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Store, Store]]:
    """The reference, and a database."""
    with ExitStack() as stack:
        urls = ("memory://", BACKENDS[request.param](request))
        one, other = (stack.enter_context(open_store(url)) for url in urls)
        yield one, other


def both(pair: tuple[Store, Store], ask: Callable[[Any], Any]) -> Any:
    """Return the answer of both."""
    found = []
    for store in pair:
        with store._backend.session(write=True) as session:
            found.append(ask(session))
    assert found[0] == found[1]
    return found[0]


def in_pages(find: Callable[[Any], Any], query: PageRequest) -> list[Any]:
    """Return each page, with the cursor that leads on."""
    pages: list[Any] = []
    while True:
        page = find(query)
        pages.append((page.items, page.next_after, page.corrupt))
        if page.next_after is None:
            return pages
        query = replace(query, after=page.next_after)


@pytest.mark.parametrize("seed", range(4))
def test_documents(pair: tuple[Store, Store], seed: int) -> None:
    random = Random(seed)
    names = Names(random)
    given = names.names(90)
    times = [at(number) for number in range(5)]
    documents = [
        StoredDocument(
            namespace, key,
            Payload("encrypted", b"\1" * 60, key_id="k") if number % 7 == 0 else json_payload({"n": number % 5})[0],
            random.choice(times), random.choice(times),
        )
        for number, (namespace, key) in enumerate(given)
    ]  # fmt: skip
    both(pair, lambda session: session.documents.put([DocumentWrite(each, "restore") for each in documents], T0))
    for _ in range(40):
        namespace, key = random.choice(given)
        query = DocumentQuery(
            random.choice([1, 2, 5, 100]),
            prefix=namespace[: random.randrange(len(namespace) + 1)],
            key_prefix=random.choice([None, names.part_of(key) or None]),
            filter=random.choice([None, field("n").gte(2)]),
            order=random.choice(["key", "created", "updated"]),  # type: ignore[arg-type]
            descending=random.random() < 0.5,
        )
        both(pair, lambda session, query=query: in_pages(session.documents.find, query))
        both(pair, lambda session, query=query: session.documents.count(query))
    encrypted = both(pair, lambda session: session.documents.find_encrypted("k", None, 100))
    for each in encrypted:
        both(pair, lambda session, each=each: session.documents.find_encrypted("k", each.id, 2))
    for namespace, key in random.sample(given, 10):
        query = DocumentQuery(2, prefix=namespace[:1], key_prefix=names.part_of(key) or None)
        both(pair, lambda session, query=query: session.documents.delete_matching(query))
        both(
            pair,
            lambda session, key=key, namespace=namespace: session.documents.delete([DocumentKey(namespace, key)], None),
        )
    both(pair, lambda session: in_pages(session.documents.find, DocumentQuery(7)))


@pytest.mark.parametrize("seed", range(4))
def test_namespaces(pair: tuple[Store, Store], seed: int) -> None:
    random = Random(seed)
    given = Names(random).names(300)
    payload = json_payload(1)[0]
    documents = [StoredDocument(namespace, key, payload, T0, T0) for namespace, key in given]
    both(pair, lambda session: session.documents.put([DocumentWrite(each, "restore") for each in documents], T0))
    for max_depth in (None, 1, 2, 3):
        for limit in (1, 3, 1000):
            query = NamespaceQuery(limit, max_depth=max_depth)
            pages = both(pair, lambda session, query=query: in_pages(session.documents.namespaces, query))
            shown = [namespace for items, *_ in pages for namespace in items]
            assert sorted(shown) == sorted({namespace[:max_depth] for namespace, _ in given})
        for _ in range(10):
            namespace, _ = random.choice(given)
            prefix, suffix = (
                tuple(random.choice([each, each, None]) for each in part)
                for part in (namespace[: random.randrange(3)], namespace[random.randrange(len(namespace) + 1) :])
            )
            query = NamespaceQuery(random.choice([1, 2, 50]), None, prefix, suffix, max_depth)
            both(pair, lambda session, query=query: in_pages(session.documents.namespaces, query))


@pytest.mark.parametrize("seed", range(4))
def test_streams(pair: tuple[Store, Store], seed: int) -> None:
    random = Random(seed)
    names = Names(random)
    given = names.names(60)
    for number, (namespace, name) in enumerate(given):
        encrypted = Payload("encrypted", b"\1" * 60, key_id="k")
        entries = [StoredEntry(random.choice([json_payload(1)[0], encrypted]), T0) for _ in range(1 + number % 3)]
        moment, stream = at(random.randrange(5)), StreamKey(namespace, name)
        both(
            pair,
            lambda session, stream=stream, entries=entries, moment=moment: session.streams.append(
                stream, entries, moment, None
            ),
        )
    for _ in range(40):
        namespace, name = random.choice(given)
        query = StreamQuery(
            random.choice([1, 2, 5, 100]),
            prefix=namespace[: random.randrange(len(namespace) + 1)],
            name_prefix=random.choice([None, names.part_of(name) or None]),
            order=random.choice(["name", "updated"]),  # type: ignore[arg-type]
            descending=random.random() < 0.5,
        )
        both(pair, lambda session, query=query: in_pages(session.streams.find, query))
    for stream, entry in both(pair, lambda session: session.streams.find_encrypted("k", None, 200)):
        after = (stream, entry.position)
        both(pair, lambda session, after=after: session.streams.find_encrypted("k", after, 3))
