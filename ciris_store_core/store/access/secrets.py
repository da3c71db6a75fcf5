"""The secrets of a store, as users hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from ciris_store_core.clock import before
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, StoreError, TransactionError
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.documents import Document
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.models.paging import Page, PageRequest
from ciris_store_core.models.secrets import SecretAccess, SecretInfo, SecretRecord, Sensitivity
from ciris_store_core.secrets.crypto import CHECK_PREFIX, checks, is_check, resolve_references
from ciris_store_core.secrets.redaction import RECORD_KINDS, ExtractedSecrets, owner_of
from ciris_store_core.secrets.references import references_in
from ciris_store_core.secrets.rotation import Progress, SecretsReport, rotate, survey
from ciris_store_core.store.access.secret_owners import EXPIRING, READ, expired, sweep
from ciris_store_core.store.documents.rotation import EncryptedValues
from ciris_store_core.store.execution import TransactionExecutor
from ciris_store_core.store.resource import Resource, living, page_of, position
from ciris_store_core.validation.validator import limit_of, span

R = TypeVar("R", bound=Record)
Action = Literal["speak", "tool", "memorize"]

Ids = list[str]
SecretRecords = list[SecretRecord]

_LOW, _MEDIUM, _HIGH = Sensitivity.LOW, Sensitivity.MEDIUM, Sensitivity.HIGH
ALLOWED: dict[str, frozenset[Sensitivity]] = {
    "speak": frozenset({_LOW, _MEDIUM}),
    "tool": frozenset({_LOW, _MEDIUM, _HIGH}),
    "memorize": frozenset({_LOW}),
}
"""Sensitivities of the secrets that ``resolve`` decrypts for an action."""

_SWEEP = 200


class Secrets(Resource):
    """Secrets that were found in records and encrypted. References stand for them in the texts.

    A secret of a record that has expired counts as absent.

    Two methods decrypt secrets: ``resolve``, for an action, and ``disclose``, for a person who gives a reason. Both
    log the access, granted or denied, before they return.
    """

    __slots__ = ()

    @property
    def has_key(self) -> bool:
        """True if the store was opened with a key, and so can encrypt."""
        return self._ctx.crypto.has_keys

    # --- use --------------------------------------------------------------------------------------

    def resolve(self, record: R, *, action: Action, accessor: str) -> R:
        """Return a copy of a stored record, with the secrets that the action may have in place of their references.

        References to secrets that the action may not have, or that another record owns, stay as they are; a node
        resolves only the references that its ``secret_refs`` list. Do not store the copy's texts elsewhere: they would
        be encrypted again.

        Args:
            record: A node, edge, task, thought, correlation, occurrence or document, as it was read.
            action: The use of the copy. ``speak``: sensitivity low and medium; ``tool``: also high; ``memorize``: low
                only. No action resolves a critical secret: see ``disclose``.
            accessor: The caller's name, for the log.

        Raises:
            SecretKeyError: The store has no key, or not the key of a secret.
            Corrupt: A secret that the action may have was damaged or tampered with. Nothing is resolved.
            TransactionError: A transaction is open, which could roll the log back.
        """
        allowed = ALLOWED.get(action)
        if allowed is None:
            raise InvalidArgument(f"action must be one of {', '.join(ALLOWED)}, not {ascii(action)[:40]}")
        if type(record) not in RECORD_KINDS:
            raise InvalidArgument(f"{type(record).__name__} is no record that is stored. Resolve the records in it.")
        self._refuse_in_transaction()
        who, ids = self._ctx.check.ident(accessor, "accessor"), _listed(record)
        if not ids:
            return record
        found = {secret.secret_id: secret for secret in self._of_living(ids, record)}
        owner = owner_of(record)
        granted = [s for s in found.values() if s.metadata.get("owner") == owner and s.sensitivity in allowed]
        reasons = {id: _reason(found.get(id), owner, allowed) for id in ids}
        made: R = self._logged(
            lambda: resolve_references(self._ctx.crypto, record, granted), reasons, found, who, action
        )
        return made

    def disclose(self, secret_id: str, *, accessor: str, reason: str) -> Any:
        """Return the value of one secret of any sensitivity, as a person decided; None if there is no such secret.

        Unattended code should not call this. ``reason`` is logged.

        Raises:
            SecretKeyError, Corrupt, TransactionError: As ``resolve``.
        """
        check = self._ctx.check
        key, who, why = (
            check.ident(secret_id, "secret_id"),
            check.ident(accessor, "accessor"),
            check.text(reason, "reason"),
        )
        if not why.strip():
            raise InvalidArgument("reason: it is blank, and the access log records it. Give a reason.")
        self._refuse_in_transaction()
        found = {secret.secret_id: secret for secret in self._known([key])}
        secret, denied = found.get(key), {key: None if found else "there is no such secret"}
        return self._logged(
            lambda: None if secret is None else self._ctx.crypto.decrypt(secret), denied, found, who, "disclose", why
        )

    def delete(self, secret_id: str, *, accessor: str | None = None) -> int:
        """Delete a secret for good; return 1, or 0 if there is no such secret.

        Its reference stays in the texts and resolves to nothing.

        ``accessor``: the caller's name for the access log, which stays; by default the store's own occurrence.
        """
        return self.delete_many([secret_id], accessor=accessor)

    def delete_many(self, secret_ids: Iterable[str], *, accessor: str | None = None) -> int:
        """Delete many secrets for good and return the number of deleted ones. See ``delete``."""
        ids = self._ctx.check.idents(secret_ids, "secret_ids")
        who = self._ctx.occurrence_id if accessor is None else self._ctx.check.ident(accessor, "accessor")

        def fn(session: Session) -> int:
            found = {secret.secret_id: secret for secret in _secrets(session, ids)}
            extracted = ExtractedSecrets()
            entries = self._entries(dict.fromkeys(found), found, who, "forget", None, extracted)
            count = session.secrets.delete([*found]) if found else 0
            session.secrets.log_access(entries)
            return count

        return self._x.write("secrets.delete_many", fn, single=False) if ids else 0

    # --- descriptions -----------------------------------------------------------------------------

    def get(self, secret_id: str) -> SecretInfo | None:
        """Return the description of a secret, without its value; None if there is no such secret."""
        ids = [self._ctx.check.ident(secret_id, "secret_id")]
        found = self._known(ids)
        return _info(found[0]) if found else None

    def find(self, *, limit: int = 100, cursor: str | None = None) -> Page[SecretInfo]:
        """Return one page of descriptions of the secrets, without their values, oldest first."""
        page = PageRequest(limit_of(limit), position(self._ctx, "secrets", (str,), cursor))
        found = page_of(self._x.read("secrets.find", lambda session: session.secrets.find(page, None)), "secrets")
        known = [secret for secret in found.items if not is_check(secret)]
        secrets = [_info(secret) for secret in self._without_expired(known)]
        # The checks of keys sort after all secrets.
        return Page(secrets, found.next_cursor if len(known) == len(found.items) else None, found.corrupt)

    def access_log(
        self, secret_id: str | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretAccess]:
        """Return one page of the access log, oldest first, of all secrets or of one, which may be deleted."""
        page = PageRequest(limit_of(limit), position(self._ctx, "secret_access", (datetime, str), cursor))
        key = self._ctx.check.optional(secret_id, "secret_id")
        return page_of(
            self._x.read("secrets.access_log", lambda session: session.secrets.list_access(page, key)), "secret_access"
        )

    # --- upkeep -----------------------------------------------------------------------------------

    def check(self) -> SecretsReport:
        """Decrypt every secret, one after the other, and count them by key. The values are discarded."""
        self._refuse_in_transaction()
        report = survey(lambda fn: self._x.read("secrets.check", fn), self._ctx.crypto)
        self._values().survey(self._key_ids(), report)
        return report

    def _values(self) -> EncryptedValues:
        return EncryptedValues(self._x, self._ctx)

    def _key_ids(self) -> list[str]:
        """Return the ids of all keys that values may be encrypted under, in use or given."""
        known = self._x.read("secrets.check", checks)
        return sorted({*(check.secret_id.removeprefix(CHECK_PREFIX) for check in known), *self._ctx.crypto.keys.ids})

    def rotate(self, progress: Progress = lambda moved: None) -> SecretsReport:
        """Encrypt all secrets again under the active key, and verify it: ``report.rotated``.

        The call may be killed and repeated, and readers and writers may continue. Before it, give every writing process
        the new key, first in its ring, and keep the old key behind it: from now on, a writer that only has the old key
        cannot store secrets. Keep old keys for as long as you keep backups from before.

        Args:
            progress: Called with the number of secrets moved so far, every few hundred.

        Raises:
            SecretKeyError: The store was opened without a key.
        """
        self._refuse_in_transaction()
        now = self._ctx.clock.now()
        report = rotate(
            lambda fn: self._x.read("secrets.rotate", fn),
            lambda fn: self._x.write("secrets.rotate", fn, single=False),
            self._ctx.crypto,
            now,
            progress,
        )
        values, key_ids = self._values(), self._key_ids()
        old = [key_id for key_id in key_ids if key_id != self._ctx.crypto.keys.active]
        # A writer that was past its look at the keys when they were retired may add a value under an older one.
        while moved := values.reencrypt(old, lambda count: progress(report.moved + count)):
            report.moved += moved
        values.survey(key_ids, report)
        return report

    def sweep(self, older_than: timedelta = timedelta(minutes=10)) -> int:
        """Delete unreferenced secrets, and return the number of deleted ones.

        A secret is left behind when its value is overwritten, or when its record is deleted with another one, expires
        or is rolled up.
        The maintenance service calls this.

        Args:
            older_than: Secrets younger than this are kept, as a caller may be about to write a text that it has read.
        """
        age, total = span(older_than, "older_than", timedelta(0), timedelta.max), 0
        encrypted_by = before(self._ctx.clock.now(), age)
        page = PageRequest(_SWEEP)
        while True:
            found = self._x.read("secrets.sweep", lambda session, page=page: session.secrets.find(page, None))  # type: ignore[misc]
            old = [s for s in found.items if s.created_at <= encrypted_by and s.metadata.get("owner", [""])[0] in READ]
            if old:
                total += self._x.write("secrets.sweep", lambda session, old=old: sweep(session, old), single=False)  # type: ignore[misc]
            if found.next_after is None:
                return total
            page = PageRequest(_SWEEP, found.next_after)

    # --- inside -----------------------------------------------------------------------------------

    def _of_living(self, ids: Ids, record: Record) -> SecretRecords:
        """Return the secrets of a record; none once it has expired."""
        found = self._x.read("secrets.resolve", lambda session: session.secrets.get(ids))
        if isinstance(record, GraphEdge):
            return self._without_expired(found)
        if isinstance(record, GraphNode | Correlation | Document) and not living([record], self._ctx.server_now):
            return []
        return found

    def _known(self, ids: Ids) -> SecretRecords:
        return self._without_expired(self._x.read("secrets.get", lambda session: _secrets(session, ids)))

    def _without_expired(self, secrets: SecretRecords) -> SecretRecords:
        """Return the secrets without those of records that have expired and are not deleted yet."""
        keys = {kind: [s.metadata["owner"][1:] for s in secrets if _kind(s) == kind] for kind in EXPIRING}
        if not any(keys.values()):
            return secrets
        now = self._ctx.server_now()
        gone = self._x.read(
            "secrets.find_expired",
            lambda session: [owner for kind in keys if keys[kind] for owner in expired(session, kind, keys[kind], now)],
            single=False,
        )
        return [secret for secret in secrets if secret.metadata.get("owner") not in gone]

    def _refuse_in_transaction(self) -> None:
        if isinstance(self._x, TransactionExecutor):
            raise TransactionError(
                "a rollback would undo the access log. Call the store itself, outside of the transaction."
            )

    def _logged(
        self,
        decrypt: Callable[[], Any],
        reasons: dict[str, str | None],
        found: dict[str, SecretRecord],
        who: str,
        action: str,
        why: str | None = None,
    ) -> Any:
        """Return the result of ``decrypt``, once the access is logged; if ``decrypt`` fails, it is logged as denied."""
        failure: StoreError | None = None
        value = None
        try:
            value = decrypt()
        except StoreError as error:
            failure = error
            reasons = {id: reason or type(error).__name__ for id, reason in reasons.items()}
        extracted = ExtractedSecrets()
        entries = self._entries(reasons, found, who, action, why, extracted)
        self._x.write("secrets.log_access", lambda session: session.secrets.log_access(entries), extracted=extracted)
        if failure is not None:
            raise failure
        return value

    def _entries(
        self,
        reasons: dict[str, str | None],
        found: dict[str, SecretRecord],
        who: str,
        action: str,
        why: str | None,
        extracted: ExtractedSecrets,
    ) -> Sequence[SecretAccess]:
        now = self._ctx.clock.now()
        entries = []
        for id, denied in reasons.items():
            secret = found.get(id)
            known = {"description": secret.description, "owner": secret.metadata.get("owner")} if secret else {}
            facts = known | {name: value for name, value in (("denied", denied), ("reason", why)) if value}
            entry = SecretAccess(
                secret_id=id, accessor=who, action=action, granted=denied is None, at=now, metadata=facts
            )
            entries.append(self._ctx.check.record(entry, SecretAccess, now, extracted))
        return entries


def _listed(record: Record) -> Ids:
    ids = references_in(record)
    if isinstance(record, GraphNode):
        return [id for id in ids if id in record.secret_refs]
    return [*ids]


def _reason(secret: SecretRecord | None, owner: Ids, allowed: frozenset[Sensitivity]) -> str | None:
    """Return the reason for which a secret is not resolved; None if it is resolved."""
    if secret is None:
        return "there is no such secret"
    if secret.metadata.get("owner") != owner:
        return "it belongs to another record"
    return None if secret.sensitivity in allowed else f"its sensitivity is {secret.sensitivity.value}"


def _secrets(session: Session, ids: Ids) -> SecretRecords:
    return [secret for secret in session.secrets.get(ids) if not is_check(secret)]


def _kind(secret: SecretRecord) -> str:
    owner = secret.metadata.get("owner")
    return owner[0] if owner else ""


def _info(secret: SecretRecord) -> SecretInfo:
    return SecretInfo(
        secret_id=secret.secret_id,
        description=secret.description,
        sensitivity=secret.sensitivity,
        key_id=secret.key_id,
        detected_by=secret.detected_by,
        created_at=secret.created_at,
        owner=secret.metadata.get("owner", []),
    )
