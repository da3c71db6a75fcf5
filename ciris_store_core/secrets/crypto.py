"""Encryption of secrets for the records that they are part of, and the checks of the keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, SecretKeyError, Unavailable
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.secrets import SecretRecord, Sensitivity
from ciris_store_core.secrets.cipher import decrypt, encrypt
from ciris_store_core.secrets.key_files import HOW_TO_GET_A_KEY
from ciris_store_core.secrets.keys import KeyRing
from ciris_store_core.secrets.patterns import SecretPattern
from ciris_store_core.secrets.references import REFERENCE, replaced

SecretOwner = list[str]
"""Owner of a secret: the kind of record, then the key of the record."""

CHECK_PREFIX = "key/"
"""Prefix of the id of a key's check, a record that shows whether a program has the key. It sorts behind all others."""

_CHECKS_AT_ONCE = 1000


def is_check(secret: SecretRecord) -> bool:
    """Return whether a record is no secret but the check of a key."""
    return secret.secret_id.startswith(CHECK_PREFIX)


class SecretCrypto:
    """Encrypts and decrypts secrets. Safe to use from many threads."""

    def __init__(self, keys: KeyRing | None) -> None:
        """Encrypt and decrypt with ``keys``; None: there are no keys, and both raise ``SecretKeyError``."""
        self._keys = keys

    @property
    def has_keys(self) -> bool:
        """True if there is a key."""
        return self._keys is not None

    @property
    def keys(self) -> KeyRing:
        """The keys; ``SecretKeyError`` where there are none."""
        if self._keys is None:
            raise SecretKeyError(f"there is no key for the secrets of this store. {HOW_TO_GET_A_KEY}.")
        return self._keys

    def encrypt(self, owner: SecretOwner, pattern: SecretPattern, value: Any, now: datetime) -> SecretRecord:
        """Return a new secret of that record, encrypted under the active key. ``value``: text, or a number."""
        metadata: dict[str, Any] = {"owner": owner} | ({} if isinstance(value, str) else {"json": True})
        secret = SecretRecord(
            secret_id=uuid7(),
            description=pattern.description,
            sensitivity=pattern.sensitivity,
            key_id="",
            ciphertext=b"",
            detected_by=pattern.name,
            created_at=now,
            metadata=metadata,
        )
        return encrypt(self.keys, secret, value if isinstance(value, str) else json.dumps(value))

    def decrypt(self, secret: SecretRecord) -> Any:
        """Return the value that was encrypted.

        Raises:
            SecretKeyError: There is no key, or only others than the secret's.
            Corrupt: The row was damaged or tampered with.
        """
        text = decrypt(self.keys, secret)
        return json.loads(text) if secret.metadata.get("json") else text

    def check(self, now: datetime) -> SecretRecord:
        """Return the record by which a program that opens the store finds out if it has the active key."""
        return encrypt(self.keys, _check_of(self.keys.active, now), self.keys.active)

    def verify(self, session: Session) -> None:
        """Raise unless the ring has every key that the store's secrets are encrypted under.

        Raises:
            SecretKeyError: A key is missing.
            Corrupt: The key is the right one, but its check cannot be decrypted.
        """
        for check in checks(session):
            key_id = check.secret_id.removeprefix(CHECK_PREFIX)
            if key_id not in self.keys.ids and session.secrets.find(PageRequest(1), key_id).items:
                self.keys.cipher(key_id)  # Raises, naming the key.
            decrypt(self.keys, check)


def checks(session: Session) -> list[SecretRecord]:
    """Return the checks of all keys ever used here. The check of a retired key is encrypted under the newer key."""
    return list(session.secrets.find(PageRequest(_CHECKS_AT_ONCE, (CHECK_PREFIX,)), None).items)


def _check_of(key_id: str, now: datetime) -> SecretRecord:
    return SecretRecord(
        secret_id=CHECK_PREFIX + key_id,
        description="check of a key",
        sensitivity=Sensitivity.CRITICAL,
        key_id=key_id,
        ciphertext=b"",
        created_at=now,
    )


def keep(session: Session, extracted: Sequence[SecretRecord], owners: Iterable[SecretOwner] | None = None) -> None:
    """Store encrypted secrets, in the transaction of the records that refer to them.

    ``owners``: store only the secrets of these records.

    Raises:
        SecretKeyError: The key was retired by a rotation.
        Unavailable: Another process stored the check of the same key at the same moment.
    """
    wanted = extracted if owners is None else [s for s in extracted if is_check(s) or s.metadata["owner"] in owners]
    known = {s.secret_id: s for s in session.secrets.get([s.secret_id for s in wanted if is_check(s)])}
    for key_id, check in ((id.removeprefix(CHECK_PREFIX), check) for id, check in known.items()):
        if check.key_id != key_id:
            raise SecretKeyError(f"key {key_id} was retired by a rotation. Give this process the new one first.")
    try:
        session.secrets.add([secret for secret in wanted if secret.secret_id not in known])
    except Conflict:  # Backends of contract 1 raise no AlreadyExists.
        raise Unavailable("another process began to use the same key just now. Run the transaction again.") from None


def resolve_references(crypto: SecretCrypto, value: Any, secrets: Iterable[SecretRecord]) -> Any:
    """Return a copy of a record or JSON value with these secrets in place of their references."""
    values = {secret.secret_id: crypto.decrypt(secret) for secret in secrets}

    def text(text: str) -> Any:
        whole = REFERENCE.fullmatch(text)
        if whole and whole[1] in values:
            return values[whole[1]]
        return REFERENCE.sub(lambda match: str(values.get(match[1], match[0])), text)

    return replaced(value, text)
