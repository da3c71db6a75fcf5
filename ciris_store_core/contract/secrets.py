"""Encrypted secrets, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.secrets import SecretAccess, SecretRecord


class SecretStore(ABC):
    """Secrets by secret_id, and the log of their use. A backend never sees a plaintext."""

    @abstractmethod
    def add(self, secrets: Sequence[SecretRecord]) -> None:
        """Store new secrets; an id that exists: AlreadyExists, and nothing of the call is written. Required."""

    @abstractmethod
    def get(self, secret_ids: Sequence[str]) -> list[SecretRecord]:
        """The secrets of these ids that exist, in no order. Required; one round trip."""

    @abstractmethod
    def find(self, page: PageRequest, key_id: str | None) -> ResultPage[SecretRecord]:
        """Secrets by secret_id, all or those under that key. Required. Sort key for ``after``: (secret_id,)."""

    @abstractmethod
    def reencrypt(self, secret_id: str, old_ciphertext: bytes, key_id: str, ciphertext: bytes) -> bool:
        """Replace key and ciphertext if the stored ciphertext is the old one; else False. Required; one statement."""

    @abstractmethod
    def delete(self, secret_ids: Sequence[str]) -> int:
        """Delete secrets, but not their access log; returns the number of deleted ones. Required."""

    @abstractmethod
    def log_access(self, entries: Sequence[SecretAccess]) -> None:
        """Append to the access log; an id that exists: AlreadyExists, and nothing of the call is written. Required."""

    @abstractmethod
    def list_access(self, page: PageRequest, secret_id: str | None) -> ResultPage[SecretAccess]:
        """The access log by (at, access_id) ascending, all or of one secret. Required. Sort key: (at, access_id)."""
