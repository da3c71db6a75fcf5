"""Rotation of keys: all secrets are encrypted under the active key, and each is verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt, StoreError
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.secrets import SecretRecord
from ciris_store_core.secrets.cipher import decrypt, encrypt
from ciris_store_core.secrets.crypto import CHECK_PREFIX, SecretCrypto, checks, is_check

T = TypeVar("T")
Run = Callable[[Callable[[Session], T]], T]
Progress = Callable[[int], object]
"""Called with the number of secrets that were moved so far."""

_BATCH = 200


@dataclass(slots=True)
class SecretsReport:
    """Result of a pass over all secrets of a store."""

    active_key: str
    """Id of the key for new secrets."""
    by_key: Counter[str] = field(default_factory=Counter)
    """How many secrets are encrypted under which key, by the key's id; each of them was decrypted."""
    corrupt: list[str] = field(default_factory=list)
    """Ids of secrets that cannot be decrypted: damaged, or under a key that was not given."""
    moved: int = 0
    """How many a rotation moved to the active key."""

    @property
    def total(self) -> int:
        """Number of secrets that can be decrypted."""
        return self.by_key.total()

    @property
    def rotated(self) -> bool:
        """True if every secret can be decrypted, and by the active key alone."""
        return not self.corrupt and not set(self.by_key) - {self.active_key}


def rotate(
    read: Run[list[SecretRecord]], write: Run[int], crypto: SecretCrypto, now: datetime, progress: Progress
) -> SecretsReport:
    """Encrypt all secrets anew under the active key, in small transactions, then look at every one.

    Each transaction stands, and the next run finds the rest: a rotation may be killed and started again at any point,
    and may run beside readers and writers. From its first transaction on, a writer with only an older key is refused.
    """
    write(lambda session: _retire(session, crypto, now))
    moved = 0
    # A writer that was past its look at the keys when they were retired may add a secret under an older one.
    while count := _pass(read, write, crypto, lambda done, before=moved: progress(before + done)):  # type: ignore[misc]
        moved += count
    report = survey(read, crypto)
    report.moved = moved
    return report


def survey(read: Run[list[SecretRecord]], crypto: SecretCrypto) -> SecretsReport:
    """Decrypt every secret, one after the other."""
    report = SecretsReport(crypto.keys.active)
    for batch in _batches(read, None):
        for secret in batch:
            if is_check(secret):
                continue
            try:
                decrypt(crypto.keys, secret)
            except StoreError:
                report.corrupt.append(secret.secret_id)
            else:
                report.by_key[secret.key_id] += 1
    return report


def _retire(session: Session, crypto: SecretCrypto, now: datetime) -> int:
    """Put the checks of all other keys under the active one, which tells writers that those are not to be used."""
    active, known = crypto.keys.active, checks(session)
    if known and CHECK_PREFIX + active not in {check.secret_id for check in known}:
        session.secrets.add([crypto.check(now)])
    return sum(_reencrypt(session, crypto, check) for check in known if check.key_id != active)


def _pass(read: Run[list[SecretRecord]], write: Run[int], crypto: SecretCrypto, progress: Progress) -> int:
    moved = 0
    in_use = {check.secret_id.removeprefix(CHECK_PREFIX) for check in read(checks)}
    for key_id in sorted({*in_use, *crypto.keys.ids} - {crypto.keys.active}):
        for batch in _batches(read, key_id):
            moved += write(lambda session, batch=batch: _move(session, crypto, batch))  # type: ignore[misc]
            progress(moved)
    return moved


def _move(session: Session, crypto: SecretCrypto, batch: list[SecretRecord]) -> int:
    count = 0
    for secret in batch:
        try:
            count += _reencrypt(session, crypto, secret)
        except Corrupt:
            continue  # It stays as it is, and the report names it.
    return count


def _reencrypt(session: Session, crypto: SecretCrypto, secret: SecretRecord) -> bool:
    """Encrypt a secret anew, unless another process has done so since it was read."""
    new = encrypt(crypto.keys, secret, decrypt(crypto.keys, secret))
    return session.secrets.reencrypt(secret.secret_id, secret.ciphertext, new.key_id, new.ciphertext)


def _batches(read: Run[list[SecretRecord]], key_id: str | None) -> Iterator[list[SecretRecord]]:
    after: tuple[str] | None = None
    while True:
        page = PageRequest(_BATCH, after)
        found = read(lambda session, page=page: list(session.secrets.find(page, key_id).items))  # type: ignore[misc]
        if found:
            yield found
        if len(found) < _BATCH:
            return
        after = (found[-1].secret_id,)
