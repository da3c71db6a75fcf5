"""Pages of the knowledge graph, each under a budget of tokens."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NotRequired

from typing_extensions import TypedDict

from ciris_store_core import GraphEdge, GraphNode, InvalidArgument, NotSupported, Store
from ciris_store_core.models.graph import NodeKey
from ciris_store_mcp.knowledge import ENTITY, Entity, Relation

__all__ = ["Page", "fitting", "open_nodes", "read_graph", "search_nodes", "size_of"]


class Page(TypedDict):
    """Part of a graph; the next one begins at ``nextCursor``, if there is more."""

    entities: list[Entity]
    relations: list[Relation]
    nextCursor: NotRequired[str]


Edges = Iterable[GraphEdge]

_BYTES_PER_TOKEN = 3
"""A low estimate for the JSON of texts in Latin letters, and that of one character in most other scripts."""
_BATCH = 100
_MOST_HITS = 1000
# Names of attributes are searched, too: a query for one of them would find every entity.
_KEYS = ("entitytype", "observations")


class _Builder:
    """A page that grows part by part: an observation, a relation, or an entity without observations."""

    def __init__(self, tokens: int, skip: int) -> None:
        self.page: Page = {"entities": [], "relations": []}
        self.left = tokens * _BYTES_PER_TOKEN
        self.skip = skip
        """Parts of the next node that the page before has."""

    def add(self, node: GraphNode, edges: Edges) -> bool:
        """Add a node; if not all of it fits, set ``skip`` to the parts that did, and return False."""
        entity: Entity = {"name": node.id, "entityType": node.attributes.get("entityType", ""), "observations": []}
        shown = False
        for number, part in enumerate(_parts(node, edges)):
            if number < self.skip:
                continue
            cost = size_of(part) + (0 if shown else size_of(entity))
            if cost > self.left and (self.page["entities"] or shown):
                self.skip = number
                return False
            if not shown:
                self.page["entities"].append(entity)
                shown = True
            if isinstance(part, str):
                # A text alone may exceed the budget: it is cut, and more tokens show more of it.
                entity["observations"].append(part if cost <= self.left else _cut(part, self.left))
            elif part is not None:
                self.page["relations"].append(part)
            self.left -= cost
        self.skip = 0
        return True

    def finish(self, *position: Any) -> Page:
        """Return the page, with the position at which the next one begins, if there is one."""
        if position:
            # Not as JSON: the SDK parses arguments that are, even where a text is wanted.
            self.page["nextCursor"] = urlsafe_b64encode(json.dumps([*position, self.skip]).encode()).decode()
        return self.page


def read_graph(store: Store, scope: str, tokens: int, cursor: str | None) -> Page:
    """Return one page of all entities, newest change first, each with the relations that begin at it."""
    graph = store.graph
    at, name, skip = _position(cursor)
    page = _Builder(tokens, skip)
    while True:
        found = graph.find(type=ENTITY, scope=scope, limit=_BATCH, cursor=at)
        for index, node in enumerate(found):
            if name is not None and node.id != name:
                page.skip = 0  # The entity that the last page ended in has changed, and so moved to the front.
            name = None
            if not page.add(node, _relations(store, node, "out")):
                if index:  # the position right before this node
                    at = graph.find(type=ENTITY, scope=scope, limit=index, cursor=at).next_cursor
                return page.finish(at, node.id)
        at = found.next_cursor
        if at is None:
            return page.finish()


def open_nodes(store: Store, names: Sequence[str], scope: str, tokens: int, cursor: str | None) -> Page:
    """Return one page of the named entities, each with its relations in both directions."""
    found = store.graph.get_many(NodeKey(name, scope) for name in names)  # type: ignore[arg-type]
    return _page_of(store, [node for node in found.values() if node.type == ENTITY], tokens, cursor)


def search_nodes(store: Store, query: str, scope: str, tokens: int, cursor: str | None) -> Page:
    """Return one page of the entities with words that begin like those of the query, best first.

    If there are none, the query is looked for within words, as the reference does.
    """
    found: list[GraphNode] = []
    words = [word.rstrip("*") for word in query.split()]
    if not any(key.startswith(word.casefold()) for key in _KEYS for word in words):
        text = " ".join(f"{word}*" for word in words)
        with suppress(NotSupported):  # by a backend without an index of words
            found = [hit.node for hit in store.graph.search(text, scope=scope, type=ENTITY, limit=_MOST_HITS)]
    if not found:
        wanted = query.lower()
        found = [node for node in store.graph.scan(scope=scope, type=ENTITY) if _holds(node, wanted)]
    return _page_of(store, found, tokens, cursor)


def fitting(items: Iterable[dict[str, Any]], tokens: int) -> list[dict[str, Any]]:
    """Return the first items, at least one, as many as fit into the budget."""
    found: list[dict[str, Any]] = []
    left = tokens * _BYTES_PER_TOKEN
    for each in items:
        left -= size_of(each)
        if left < 0 and found:
            break
        found.append(each)
    return found


def size_of(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    return 0 if value is None else len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) + 2


def _page_of(store: Store, nodes: Sequence[GraphNode], tokens: int, cursor: str | None) -> Page:
    place = {node.id: index for index, node in enumerate(nodes)}
    start, name, skip = _position(cursor, 0)
    # A change meanwhile may have moved the entity that the last page ended in.
    if name is not None and place.get(name) != start:
        start, skip = place.get(name, start), skip if name in place else 0
    page = _Builder(tokens, skip)
    for index in range(start, len(nodes)):
        node = nodes[index]
        # A relation of two of these entities is shown with the first one.
        edges = (
            edge
            for edge in _relations(store, node, "both")
            if place.get(edge.target if edge.source == node.id else edge.source, index) >= index
        )
        if not page.add(node, edges):
            return page.finish(index, node.id)
    return page.finish()


def _relations(store: Store, node: GraphNode, direction: str) -> Iterator[GraphEdge]:
    # Lazily: a page that is full before the relations of an entity does not read them.
    yield from store.graph.neighbours(node.id, node.scope, direction)


def _parts(node: GraphNode, edges: Edges) -> Iterator[str | Relation | None]:
    yield from node.attributes.get("observations") or [None]
    for edge in edges:
        yield {"from": edge.source, "to": edge.target, "relationType": edge.relationship}


def _position(cursor: str | None, start: Any = None) -> tuple[Any, str | None, int]:
    if cursor is None:
        return start, None, 0
    try:
        at, name, skip = json.loads(urlsafe_b64decode(cursor))
        if isinstance(at, str | None if start is None else int) and isinstance(name, str) and isinstance(skip, int):
            return at, name, skip
    except (ValueError, TypeError):
        pass
    raise InvalidArgument("cursor is none that this tool returned", hint="Leave it out to begin anew.")


def _cut(text: str, size: int) -> str:
    kept = text.encode("utf-8", "replace")[: max(size - 100, 100)].decode("utf-8", "ignore")
    return f"{kept}… (cut: {len(text)} characters. Raise max_tokens to read more.)"


def _holds(node: GraphNode, wanted: str) -> bool:
    attributes = node.attributes
    texts = [node.id, attributes.get("entityType", ""), *attributes.get("observations", ())]
    return any(wanted in text.lower() for text in texts)
