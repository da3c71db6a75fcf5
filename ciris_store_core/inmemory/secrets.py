"""Encrypted secrets and their access log, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.inmemory.tables import Tables
from ciris_store_core.inmemory.tables import page as page_of
from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.secrets import SecretAccess, SecretRecord


class MemorySecrets(SecretStore):
    """Secrets in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._secrets, self._accesses = tables.secrets, tables.accesses

    def add(self, secrets: Sequence[SecretRecord]) -> None:
        self._secrets.add({secret.secret_id: secret for secret in secrets})

    def get(self, secret_ids: Sequence[str]) -> list[SecretRecord]:
        return self._secrets.pick(secret_ids)

    def find(self, page: PageRequest, key_id: str | None) -> ResultPage[SecretRecord]:
        found = (secret for secret in self._secrets.rows.values() if key_id in (None, secret.key_id))
        return page_of(found, page, lambda secret: (secret.secret_id,), (False,))

    def reencrypt(self, secret_id: str, old_ciphertext: bytes, key_id: str, ciphertext: bytes) -> bool:
        stored = self._secrets.rows.get(secret_id)
        if stored is None or stored.ciphertext != old_ciphertext:
            return False
        self._secrets.change(secret_id, key_id=key_id, ciphertext=ciphertext)
        return True

    def delete(self, secret_ids: Sequence[str]) -> int:
        return self._secrets.delete(secret_ids)

    def log_access(self, entries: Sequence[SecretAccess]) -> None:
        self._accesses.add({entry.access_id: entry for entry in entries})

    def list_access(self, page: PageRequest, secret_id: str | None) -> ResultPage[SecretAccess]:
        found = (entry for entry in self._accesses.rows.values() if secret_id in (None, entry.secret_id))
        return page_of(found, page, lambda entry: (entry.at, entry.access_id), (False, False))
