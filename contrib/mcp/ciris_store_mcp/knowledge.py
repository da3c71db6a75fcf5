"""Knowledge graph of MCP's reference memory server, as nodes and edges of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from ciris_store_core import AlreadyExists, Conflict, GraphEdge, GraphNode, NotFound, Store, Transaction

__all__ = ["ENTITY", "Added", "Deletion", "Entity", "KnowledgeGraph", "Observation", "Relation"]

T = TypeVar("T")
ENTITY = "entity"
"""Type of the nodes that are entities. Other nodes of the graph are read by ``search_memory`` only."""
_TRIES = 10


class Entity(TypedDict):
    """A thing that is remembered."""

    name: Annotated[str, Field(description="The name of the entity")]
    entityType: Annotated[str, Field(description="The type of the entity")]
    observations: Annotated[list[str], Field(description="Facts about the entity, one a text")]


# One of its names is a keyword of Python.
Relation = TypedDict(
    "Relation",
    {
        "from": Annotated[str, Field(description="The name of the entity where the relation starts")],
        "to": Annotated[str, Field(description="The name of the entity where the relation ends")],
        "relationType": Annotated[str, Field(description="The type of the relation, in active voice")],
    },
)


class Observation(TypedDict):
    """Observations to add to an entity."""

    entityName: str
    contents: list[str]


class Deletion(TypedDict):
    """Observations to delete from an entity."""

    entityName: str
    observations: list[str]


class Added(TypedDict):
    """Observations that were added to an entity."""

    entityName: str
    addedObservations: list[str]


class KnowledgeGraph:
    """Changes of the knowledge graph. Each is one transaction, with its audit event if ``audit`` is set."""

    def __init__(self, store: Store, *, audit: bool = False) -> None:
        """Work on an open store, which the caller closes."""
        self.store = store
        self._audit = audit

    def create_entities(self, entities: Iterable[Entity], scope: str) -> list[Entity]:
        """Create the entities whose names are new, and return them. Of a name that is given twice, the first counts."""
        wanted: dict[str, Entity] = {}
        for each in entities:
            wanted.setdefault(each["name"], each)

        def create(tx: Transaction) -> list[Entity]:
            known = self._known(tx, wanted, scope)
            new = [each for name, each in wanted.items() if name not in known]
            tx.graph.put_many([_node(each, scope) for each in new], insert=True)
            return new

        return self._change("create_entities", scope, wanted, create)

    def create_relations(self, relations: Iterable[Relation], scope: str) -> list[Relation]:
        """Create the relations that are new, and return them."""
        wanted = {_key(each, scope): each for each in relations}
        ends = dict.fromkeys(name for each in wanted.values() for name in (each["from"], each["to"]))

        def create(tx: Transaction) -> list[Relation]:
            self._required(tx, ends, scope)
            known = tx.graph.get_edge_many(wanted)
            new = {key: each for key, each in wanted.items() if key not in known}
            tx.graph.put_edge_many(
                [GraphEdge(source=key[0], target=key[1], relationship=key[2], scope=scope) for key in new]  # type: ignore[arg-type]
            )
            return list(new.values())

        return self._change("create_relations", scope, ends, create)

    def add_observations(self, observations: Sequence[Observation], scope: str) -> list[Added]:
        """Add observations to entities, all or none; return those that were new."""
        names = dict.fromkeys(each["entityName"] for each in observations)

        def add(tx: Transaction) -> list[Added]:
            found = self._required(tx, names, scope, for_update=True)
            added: list[Added] = []
            for each in observations:
                stored = found[each["entityName"]].attributes["observations"]
                known = set(stored)
                new = [content for content in each["contents"] if content not in known]
                stored += new
                added.append({"entityName": each["entityName"], "addedObservations": new})
            _put_observations(tx, found)
            return added

        return self._change("add_observations", scope, names, add)

    def delete_entities(self, names: Iterable[str], scope: str) -> None:
        """Delete entities with their relations; other nodes, and those that do not exist, are left alone."""
        wanted = dict.fromkeys(names)

        def delete(tx: Transaction) -> None:
            tx.graph.delete_many([(name, scope) for name in self._entities(tx, wanted, scope)])

        self._change("delete_entities", scope, wanted, delete)

    def delete_observations(self, deletions: Sequence[Deletion], scope: str) -> None:
        """Delete observations of entities; what does not exist is left alone."""
        names = dict.fromkeys(each["entityName"] for each in deletions)

        def delete(tx: Transaction) -> None:
            found = self._entities(tx, names, scope, for_update=True)
            for each in deletions:
                if node := found.get(each["entityName"]):
                    going = set(each["observations"])
                    node.attributes["observations"] = [o for o in node.attributes["observations"] if o not in going]
            _put_observations(tx, found)

        self._change("delete_observations", scope, names, delete)

    def delete_relations(self, relations: Iterable[Relation], scope: str) -> None:
        """Delete relations; those that do not exist are left alone."""
        keys = [_key(each, scope) for each in relations]
        names = dict.fromkeys(key[0] for key in keys)
        self._change("delete_relations", scope, names, lambda tx: tx.graph.delete_edge_many(keys))

    # --- inside -----------------------------------------------------------------------------------

    def _change(self, action: str, scope: str, names: Iterable[str], change: Callable[[Transaction], T]) -> T:
        def once(tx: Transaction) -> T:
            result = change(tx)
            if self._audit:  # last, as other writers of the audit trail wait from here on
                tx.audit.append(f"mcp.{action}", "mcp", {"scope": scope, "names": list(names)})
            return result

        for _ in range(_TRIES):
            try:
                return self.store.run(once)
            except AlreadyExists:
                pass  # Another caller created one of the entities after the look-up, which finds it now.
        return self.store.run(once)

    @staticmethod
    def _known(tx: Transaction, names: Iterable[str], scope: str, *, for_update: bool = False) -> dict[str, GraphNode]:
        found = tx.graph.get_many([(name, scope) for name in names], for_update=for_update)
        other = next((node for node in found.values() if node.type != ENTITY), None)
        if other is not None:
            raise Conflict(
                f"{other.id!r} is a node of type {other.type}, and no entity", kind="node", key=other.key,
                hint="Use another name.",
            )  # fmt: skip
        return {key.id: node for key, node in found.items()}

    def _required(
        self, tx: Transaction, names: Iterable[str], scope: str, *, for_update: bool = False
    ) -> dict[str, GraphNode]:
        found = self._known(tx, names, scope, for_update=for_update)
        missing = next((name for name in names if name not in found), None)
        if missing is not None:
            raise NotFound(
                f"Entity with name {missing} not found", kind="node", key=(missing, scope), hint="Create it first."
            )
        return found

    @staticmethod
    def _entities(
        tx: Transaction, names: Iterable[str], scope: str, *, for_update: bool = False
    ) -> dict[str, GraphNode]:
        found = tx.graph.get_many([(name, scope) for name in names], for_update=for_update)
        return {key.id: node for key, node in found.items() if node.type == ENTITY}


def _node(entity: Entity, scope: str) -> GraphNode:
    attributes = {"entityType": entity["entityType"], "observations": entity["observations"]}
    return GraphNode(id=entity["name"], type=ENTITY, scope=scope, attributes=attributes)  # type: ignore[arg-type]


def _put_observations(tx: Transaction, found: dict[str, GraphNode]) -> None:
    tx.graph.put_many(
        GraphNode(
            id=node.id, type=ENTITY, scope=node.scope, attributes={"observations": node.attributes["observations"]}
        )
        for node in found.values()
    )


def _key(relation: Any, scope: str) -> tuple[str, str, str, str]:
    return relation["from"], relation["to"], relation["relationType"], scope
