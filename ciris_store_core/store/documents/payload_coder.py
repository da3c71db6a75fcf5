"""Payloads between callers and backends: secrets are replaced, values encrypted, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt, InvalidArgument, SecretKeyError
from ciris_store_core.models.documents import Document, Namespace, StoredDocument
from ciris_store_core.models.paging import CorruptRow, ResultPage
from ciris_store_core.models.paths import path_of
from ciris_store_core.models.payloads import Payload
from ciris_store_core.secrets.cipher import decrypt_bytes, encrypt_bytes
from ciris_store_core.secrets.crypto import SecretOwner
from ciris_store_core.secrets.key_files import HOW_TO_GET_A_KEY
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.secrets.references import references_in
from ciris_store_core.store.access.session_guard import guarded
from ciris_store_core.store.audit.store_identity import read_identity
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Executor
from ciris_store_core.validation.json_values import Refused
from ciris_store_core.validation.payloads import bytes_payload, json_payload, value_of

S = TypeVar("S")
T = TypeVar("T")


class Place(NamedTuple):
    """Place of a value, to which its ciphertext and its secrets are bound."""

    kind: Literal["document", "stream"]
    namespace: Namespace
    name: str

    @property
    def owner(self) -> SecretOwner:
        """The owner of secrets in the value."""
        return [self.kind, path_of(self.namespace), self.name]


class PayloadCoder:
    """Turns values into payloads and back, for one store or transaction."""

    __slots__ = ("_ctx", "_stores", "_x")

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Take the executor that reads the store's id, to which ciphertexts are bound."""
        self._x = executor
        self._ctx = ctx
        self._stores: tuple[str, ...] = ()

    # --- writing ----------------------------------------------------------------------------------

    def mode(self, namespace: Namespace, given: SecretsMode | None) -> SecretsMode:
        """Return what becomes of secrets below a namespace: what the deployer set, else what the call says."""
        if given not in (None, "detect", "encrypt", "plain"):
            raise InvalidArgument(f"secrets must be 'detect', 'encrypt' or 'plain', not {given!a}")
        modes = self._ctx.document_secrets
        for length in range(len(namespace), -1, -1) if modes else ():
            if namespace[:length] in modes:
                return modes[namespace[:length]]
        return given or "detect"

    def prepare(
        self,
        place: Place,
        value: Any,
        media_type: str | None,
        mode: SecretsMode,
        now: datetime,
        extracted: ExtractedSecrets,
    ) -> tuple[Payload, Any]:
        """Return the payload of a value, not encrypted yet, and the value as it will be read.

        With ``encrypt``, the check of the key goes to ``extracted``; with ``detect``, so do the secrets of the value.
        """
        try:
            if isinstance(value, bytes | bytearray | memoryview):
                copy = bytes(value)
                payload = bytes_payload(copy, media_type)
            else:
                payload, copy = json_payload(value)
        except Refused as refused:
            raise refused.as_error("value") from None
        if media_type is not None and payload.format == "json":
            raise InvalidArgument("media_type describes bytes, and this value is JSON", hint="Leave it out.")
        if mode == "encrypt":
            self.need_key()
            if not extracted:  # the check of the key is always the first
                extracted.append(self._ctx.crypto.check(now))
        elif payload.format == "json" and mode == "detect":
            return self._without_secrets(place, payload, copy, now, extracted)
        return payload, copy

    def _without_secrets(
        self, place: Place, payload: Payload, value: Any, now: datetime, extracted: ExtractedSecrets
    ) -> tuple[Payload, Any]:
        if self._ctx.check.detects:
            redacted = self._ctx.check.redact_value(value, place.owner, now, extracted)
            if redacted is not value:
                payload, value = json_payload(redacted)
        text = payload.body if payload.searchable is None else payload.searchable
        if "{SECRET:" in str(text):  # bytes of JSON have searchable text beside them
            payload = replace(payload, secret_refs=tuple(references_in(value)))
        return payload, value

    def need_key(self) -> None:
        """Raise ``SecretKeyError`` if there is no key to encrypt with."""
        if not self._ctx.crypto.has_keys:
            raise SecretKeyError(f"there is no key to encrypt this value with. {HOW_TO_GET_A_KEY}.")

    def encrypted(self, session: Session, place: Place, payload: Payload) -> Payload:
        """Return the payload encrypted under the active key, in the transaction that writes it."""
        head = json.dumps([payload.format, payload.media_type]).encode()
        body = payload.body if isinstance(payload.body, bytes) else payload.body.encode()
        keys, store = self._ctx.crypto.keys, self.store_id_within(session)
        ciphertext = encrypt_bytes(keys, b"%s\n%s" % (head, body), _bound_to(place, store, keys.active))
        return Payload("encrypted", ciphertext, key_id=keys.active)

    @staticmethod
    def store_id_within(session: Session) -> str:
        """Return the id of the store, in a writing transaction, which makes it if there is none."""
        own = guarded(session)
        own.need_transaction()
        return own.guard.store_id(own.inner)

    # --- reading ----------------------------------------------------------------------------------

    def plain(self, place: Place, payload: Payload) -> Payload:
        """Return the payload, decrypted if it was encrypted.

        Raises:
            SecretKeyError: The key that it is encrypted under is not among the store's.
            Corrupt: The ciphertext was damaged, or belongs to another place or store.
        """
        if payload.format != "encrypted":
            return payload
        return self.decrypted(place, payload)

    def decrypted(self, place: Place, payload: Payload, session: Session | None = None) -> Payload:
        """Return an encrypted payload, decrypted. ``session``: the writing transaction that read it, if there is one.

        A value that was copied here is bound to the store that it was copied from, until a rotation of keys.
        """
        known = self._known_stores(session, again=False)
        text = self._opened(place, payload, known)
        if text is None:
            # A copy may have run since the ids were read, or the transaction that made the id was rolled back.
            found = self._known_stores(session, again=True)
            text = self._opened(place, payload, [store for store in found if store not in known])
        if text is None:
            raise Corrupt(f"the value of {place.kind} {place.name!r} is damaged. Restore it from a backup.")
        head, _, body = text.partition(b"\n")
        format, media_type = json.loads(head)
        return Payload(format, _as_text(body) if format == "json" else body, media_type=media_type)

    def value_within(self, session: Session, place: Place, payload: Payload) -> Any:
        """Return the value of a stored payload, within the transaction that read it."""
        if payload.format == "encrypted":
            payload = self.decrypted(place, payload, session)
        return value_of(payload)

    def value(self, place: Place, payload: Payload) -> tuple[Any, str | None]:
        """Return the value of a stored payload, and its media type."""
        plain = self.plain(place, payload)
        return value_of(plain), plain.media_type

    def _opened(self, place: Place, payload: Payload, stores: Sequence[str]) -> bytes | None:
        """Return the plaintext if one of these stores has encrypted it."""
        if not isinstance(payload.body, bytes) or payload.key_id is None:
            return None
        for store in stores:
            bound = _bound_to(place, store, payload.key_id)
            with suppress(Corrupt):
                return decrypt_bytes(self._ctx.crypto.keys, payload.body, payload.key_id, bound, place.name)
        return None

    def _known_stores(self, session: Session | None, *, again: bool) -> tuple[str, ...]:
        """Return the ids of this store and of the stores that were copied into it."""
        if again or not self._stores:
            found = (
                self._x.read(
                    "documents.read_identity", lambda session: read_identity(getattr(session, "inner", session))
                )
                if session is None
                else read_identity(guarded(session).inner)
            )
            if found is None:
                raise Corrupt("an encrypted value is stored, and the store's id is missing. Restore it from a backup.")
            self._stores = (found.store, *found.copied)
        return self._stores


def read_each(found: ResultPage[S], read: Callable[[S], T], name_of: Callable[[S], str]) -> list[T]:
    """Return what callers get of the rows of a page; a row whose value cannot be read goes to ``found.corrupt``."""
    items: list[T] = []
    for each in found.items:
        try:
            items.append(read(each))
        except Corrupt as error:
            found.corrupt.append(CorruptRow(name_of(each), str(error)))
    return items


def document_of(stored: StoredDocument, value: Any, media_type: str | None) -> Document:
    """Return a stored document as callers get it."""
    return Document.trusted({
        "namespace": stored.namespace, "key": stored.key, "value": value, "media_type": media_type,
        "metadata": stored.metadata or {}, "revision": stored.revision, "created_at": stored.created_at,
        "updated_at": stored.updated_at, "expires_at": stored.expires_at, "ttl": stored.ttl,
    })  # fmt: skip


def _as_text(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body  # JSON with lone surrogates


def _bound_to(place: Place, store: str, key_id: str) -> bytes:
    facts: Sequence[object] = ["ciris-store value", 1, store, place.kind, place.namespace, place.name, key_id]
    return json.dumps(facts, separators=(",", ":")).encode()
