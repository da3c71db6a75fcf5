"""Wise Authorities of a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AlreadyExists, Conflict, NotFound
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.signing import key_id_of
from ciris_store_core.store.access.known_authorities import Authority, KnownAuthorities, stored_authorities
from ciris_store_core.store.access.session_guard import guarded
from ciris_store_core.store.audit.events import AuditEvent, append_events
from ciris_store_core.store.context import is_reserved
from ciris_store_core.store.execution import TransactionExecutor
from ciris_store_core.store.graph.graph import Graph
from ciris_store_core.store.resource import Resource

AuthorityList = list[Authority]


class Authorities(Resource):
    """Wise Authorities: their signatures approve of writes to protected scopes. Each is known by its Ed25519 key.

    The first is registered by ``bootstrap``. From then on each change needs the approval of one of them, like any
    other write to IDENTITY.
    """

    __slots__ = ()

    def find(self) -> AuthorityList:
        """Return all registered authorities, revoked ones included, by id."""
        return self._x.read("authorities.find", lambda session: stored_authorities(session.graph), single=False)

    def bootstrap(self, public_key: str, name: str, *, identity: Iterable[GraphNode] = ()) -> bool:
        """Register the first authority and store the first identity. Only this registration needs no approval.

        Of concurrent callers, in any number of threads, processes and hosts, exactly one gets True. The others get
        False, and nothing of theirs is stored.

        Args:
            public_key: The public key of the authority, as ``SigningKey.public_key`` returns it.
            name: The name of the authority.
            identity: Nodes to be stored with it, none of which may exist.

        Raises:
            Conflict: A node of ``identity`` exists, or the store is an unfinished copy. Nothing was stored.
        """
        authority, nodes = self._authority(public_key, name), list(identity)
        now = self._ctx.server_now()

        def fn(session: Session) -> bool:
            protected = guarded(session)
            known = KnownAuthorities(protected.inner, now)
            if not known.bootstrap():
                return False
            _refuse_unfinished_copy(session)
            known.put(authority, "insert")
            with protected.without_approval():
                Graph(TransactionExecutor(session), self._ctx).put_many(nodes, insert=True)
            facts = {"key_id": authority.key_id, "nodes": [node.id for node in nodes]}
            append_events(session, self._ctx, [AuditEvent("identity_bootstrapped", authority.name, facts)])
            return True

        return self._x.write("authorities.bootstrap", fn, single=False)

    def register(self, public_key: str, name: str) -> Authority:
        """Register another authority. This needs an approval.

        Raises:
            AccessDenied: There is no approval. ``error.request`` is the request to have approved.
            AlreadyExists: That key was registered before.
        """
        authority = self._authority(public_key, name)

        def fn(session: Session) -> Authority:
            if self._known(session).get(authority.key_id) is not None:
                raise AlreadyExists(
                    f"{authority.key_id} was registered before, and a key is registered once",
                    kind="authority",
                    key=authority.key_id,
                    hint="Register another key.",
                )
            content = {"key_id": authority.key_id, "public_key": public_key, "name": authority.name}
            self._write(session, "register_authority", content, authority)
            return authority

        return self._x.write("authorities.register", fn, single=False)

    def revoke(self, key_id: str) -> Authority:
        """Revoke an authority permanently: its approvals no longer count. This needs an approval.

        Raises:
            AccessDenied: There is no approval. ``error.request`` is the request to have approved.
            NotFound: The authority is not registered.
            Conflict: It is the last authority. Register another one first.
        """
        key = self._ctx.check.ident(key_id, "key_id")

        def fn(session: Session) -> Authority:
            known = self._known(session)
            authority = known.get(key)
            if authority is None:
                raise NotFound(
                    f"{key!a} is not registered", kind="authority", key=key, hint="See store.authorities.find."
                )
            if authority.revoked:
                return authority
            if not any(not each.revoked and each.key_id != key for each in known.all()):
                raise Conflict(
                    f"{key!a} is the last authority: without it, no approval would be possible",
                    kind="authority",
                    key=key,
                    hint="Register another authority first.",
                )
            revoked = authority.replaced(revoked=True)
            self._write(session, "revoke_authority", {"key_id": key}, revoked)
            return revoked

        return self._x.write("authorities.revoke", fn, single=False)

    # --- inside -----------------------------------------------------------------------------------

    def _authority(self, public_key: str, name: str) -> Authority:
        return Authority(key_id=key_id_of(public_key), public_key=public_key, name=self._ctx.check.ident(name, "name"))

    def _known(self, session: Session) -> KnownAuthorities:
        return KnownAuthorities(guarded(session).inner, self._ctx.server_now())

    def _write(self, session: Session, operation: str, content: dict[str, Any], authority: Authority) -> None:
        guarded(session).need_approval(operation, GraphScope.IDENTITY, [content])
        self._known(session).put(authority, "merge")


def _refuse_unfinished_copy(session: Session) -> None:
    # No authority approved the nodes that such a copy wrote to IDENTITY, so bootstrap must not adopt them.
    if any(is_reserved(each.occurrence_id) for each in session.coordination.list_occurrences(None)):
        raise Conflict("the store is an unfinished copy", hint="Finish the copy, or begin with an empty store.")
