"""The kinds of records in a store, each with its ordered reading and its writing of unchanged records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AlreadyExists, InvalidArgument
from ciris_store_core.models.audit import AuditAnchor, AuditEntry, AuditQuery
from ciris_store_core.models.base import Record
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.models.correlations import Correlation, CorrelationFilter, CorrelationQuery
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import EdgeQuery, GraphEdge, GraphNode, NodeQuery, NodeWrite
from ciris_store_core.models.paging import PageRequest, ResultPage, SortKey
from ciris_store_core.models.secrets import SecretAccess, SecretRecord
from ciris_store_core.models.streams import StreamInfo, StreamQuery
from ciris_store_core.models.tasks import Task, TaskQuery
from ciris_store_core.models.thoughts import Thought, ThoughtQuery
from ciris_store_core.store.audit.store_identity import STORE_CHAIN
from ciris_store_core.store.context import is_reserved
from ciris_store_core.transfer import payload_kinds
from ciris_store_core.transfer.payload_kinds import DocumentRecord, EntryRecord

MARKER_ID = "__copy__"
"""The occurrence that marks an unfinished copy. No copy contains it."""

Read = Callable[[Session, SortKey | None, int], ResultPage[Any]]


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of records."""

    name: str
    model: type[Record]
    streams: Mapping[str, Read]
    """The streams by name: together they read all records, each in an order of its own."""
    add: Callable[[Session, Sequence[Any]], object]
    """Writes records unchanged; an existing one raises ``AlreadyExists``."""
    count: Callable[[Session], int] | None = None
    """Counts the records without reading them, if the backend can."""
    check: Callable[[Any], Any] | None = None
    """Checks a record of a file, where a validator of records cannot."""


# --- reading ----------------------------------------------------------------------------------


def _nodes(scope: GraphScope, session: Session, after: SortKey | None, limit: int) -> ResultPage[GraphNode]:
    return session.graph.list_nodes(NodeQuery(limit, after, scope=scope))


def _edges(scope: GraphScope, session: Session, after: SortKey | None, limit: int) -> ResultPage[GraphEdge]:
    return session.graph.list_edges(EdgeQuery(limit, after, scope=scope))


def _occurrences(session: Session, after: SortKey | None, limit: int) -> ResultPage[Occurrence]:
    found = session.coordination.list_occurrences(None)
    return ResultPage([each for each in found if not is_reserved(each.occurrence_id)])


def _anchors(session: Session, after: SortKey | None, limit: int) -> ResultPage[AuditAnchor]:
    # A copy has an id of its own.
    found = (session.audit.anchor(chain) for chain in session.audit.chains() if chain != STORE_CHAIN)
    return ResultPage([each for each in found if each is not None])


def _by_scope(read: Callable[[GraphScope, Session, SortKey | None, int], ResultPage[Any]]) -> Mapping[str, Read]:
    # By scope, because every index of nodes and edges begins with it. The scope that may be refused comes first.
    scopes = sorted(GraphScope, key=lambda scope: scope is not GraphScope.IDENTITY)
    return {scope.value: partial(read, scope) for scope in scopes}


# --- writing ----------------------------------------------------------------------------------


def _add_nodes(session: Session, nodes: Sequence[GraphNode]) -> None:
    if nodes:
        session.graph.put_nodes([NodeWrite(node, "restore") for node in nodes], nodes[0].created_at)


def _add_edges(session: Session, edges: Sequence[GraphEdge]) -> None:
    _refuse([edge.key for edge in session.graph.get_edges([edge.key for edge in edges])], "edge")
    session.graph.put_edges(edges)


def _add_occurrences(session: Session, occurrences: Sequence[Occurrence]) -> None:
    there = {each.occurrence_id for each in session.coordination.list_occurrences(None)}
    _refuse(sorted(there & {each.occurrence_id for each in occurrences}), "occurrence")
    for occurrence in occurrences:
        session.coordination.put_occurrence(occurrence)


def _add_anchors(session: Session, anchors: Sequence[AuditAnchor]) -> None:
    _refuse(sorted(set(session.audit.chains()) & {anchor.chain for anchor in anchors}), "audit chain")
    for anchor in anchors:
        session.audit.prune(anchor)


def _refuse(there: Sequence[object], what: str) -> None:
    if there:
        key = there[0] if len(there) == 1 else None
        raise AlreadyExists(f"{what} {', '.join(map(ascii, there[:3]))} already exists", kind=what, key=key)


# --- all of them ------------------------------------------------------------------------------

_ALL: tuple[RecordKind, ...] = (
    # First the kinds that a non-empty target is most likely to have too, or to refuse: then nothing was written before
    # the error.
    RecordKind("audit_anchors", AuditAnchor, {"all": _anchors}, _add_anchors),
    RecordKind(
        "audit_entries", AuditEntry, {"all": lambda s, after, limit: s.audit.find(AuditQuery(limit, after))},
        lambda s, entries: s.audit.append(entries),
    ),
    RecordKind("occurrences", Occurrence, {"all": _occurrences}, _add_occurrences),
    RecordKind(
        "leases", Lease, {"all": lambda s, after, limit: ResultPage(s.coordination.list_leases(None))},
        lambda s, leases: s.coordination.add_leases(leases),
    ),
    RecordKind(
        "secrets", SecretRecord, {"all": lambda s, after, limit: s.secrets.find(PageRequest(limit, after), None)},
        lambda s, secrets: s.secrets.add(secrets),
    ),
    RecordKind(
        "secret_access", SecretAccess,
        {"all": lambda s, after, limit: s.secrets.list_access(PageRequest(limit, after), None)},
        lambda s, entries: s.secrets.log_access(entries),
    ),
    RecordKind("nodes", GraphNode, _by_scope(_nodes), _add_nodes, lambda s: s.graph.count_nodes(NodeQuery())),
    RecordKind("edges", GraphEdge, _by_scope(_edges), _add_edges),
    RecordKind(
        "tasks", Task, {"all": lambda s, after, limit: s.tasks.find(TaskQuery(limit, after))},
        lambda s, tasks: s.tasks.add(tasks), lambda s: s.tasks.count(TaskQuery()),
    ),
    RecordKind(
        "thoughts", Thought, {"all": lambda s, after, limit: s.thoughts.find(ThoughtQuery(limit, after))},
        lambda s, thoughts: s.thoughts.add(thoughts), lambda s: s.thoughts.count(ThoughtQuery()),
    ),
    RecordKind(
        "correlations", Correlation,
        {"all": lambda s, after, limit: s.correlations.find(CorrelationQuery(limit, after))},
        lambda s, rows: s.correlations.add(rows), lambda s: s.correlations.count(CorrelationFilter()),
    ),
    RecordKind(
        "documents", DocumentRecord, {"all": payload_kinds.read_documents}, payload_kinds.add_documents,
        payload_kinds.count_documents, payload_kinds.check_document,
    ),
    RecordKind(
        "streams", StreamInfo, {"all": payload_kinds.read_streams}, payload_kinds.add_streams,
        lambda s: s.streams.count(StreamQuery()), payload_kinds.check_stream,
    ),
    RecordKind(
        "stream_entries", EntryRecord, {"all": payload_kinds.read_entries}, payload_kinds.add_entries,
        check=payload_kinds.check_entry,
    ),
)  # fmt: skip

KINDS: Mapping[str, RecordKind] = {kind.name: kind for kind in _ALL}
"""The kinds by name, in writing order: anchors before the rest of their chains, nodes before edges, streams before
their entries."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "graph": ("nodes", "edges"),
    "secrets": ("secrets", "secret_access"),
    "audit": ("audit_anchors", "audit_entries"),
    "streams": ("streams", "stream_entries"),
    "stream_entries": ("streams", "stream_entries"),
}
"""Kinds that are left out together."""


def is_stores_own(record: Record) -> bool:
    """Return whether only a store itself writes such a record, so that no file may bring one in."""
    if isinstance(record, Occurrence):
        return is_reserved(record.occurrence_id)
    return isinstance(record, AuditAnchor | AuditEntry) and record.chain == STORE_CHAIN


@dataclass(frozen=True, slots=True)
class KindSelection:
    """The kinds and scopes of a transfer: all except those named here."""

    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, without: Iterable[str]) -> KindSelection:
        """Return the selection; raise ``InvalidArgument`` for an unknown name."""
        names = tuple(dict.fromkeys(without))
        valid = sorted({*KINDS, *GROUPS, *(scope.value for scope in GraphScope)})
        for name in names:
            if name not in valid:
                raise InvalidArgument(f"there is nothing called {name!r} to leave out. Use one of {', '.join(valid)}.")
        return cls(names)

    def kinds(self) -> list[RecordKind]:
        """Return the selected kinds, in order."""
        out = {kind for name in self.without for kind in GROUPS.get(name, (name,))}
        return [kind for kind in KINDS.values() if kind.name not in out]

    def streams(self, kind: RecordKind) -> dict[str, Read]:
        """Return the selected streams of a kind, in order."""
        return {name: read for name, read in kind.streams.items() if name not in self.without}
