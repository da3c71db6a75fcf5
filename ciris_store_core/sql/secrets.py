"""The SQL of encrypted secrets and of the log of their use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.secrets import SecretAccess, SecretRecord, Sensitivity
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import add_new, all_of, given

if TYPE_CHECKING:
    from ciris_store_core.sql.session import SqlSession

COLUMNS = "secret_id, description, sensitivity, key_id, ciphertext, detected_by, created_at, metadata"

ADDED = tuple(COLUMNS.split(", "))

GET = f"SELECT {COLUMNS} FROM {{secrets}} WHERE secret_id {{in_texts}}"

FIND = f"SELECT {COLUMNS} FROM {{secrets}}"

# The old ciphertext is part of the condition, so that of two rotations at once only one takes effect.
RESEAL = "UPDATE {secrets} SET key_id = ?, ciphertext = ? WHERE secret_id = ? AND ciphertext = ?"

DELETE = "DELETE FROM {secrets} WHERE {lock secrets by secret_id}secret_id {in_texts}{end}"

# Some databases reserve the word "at".
ACCESS_COLUMNS = 'access_id, secret_id, accessor, action, granted, "at", metadata'

LOGGED = tuple(ACCESS_COLUMNS.split(", "))

FIND_ACCESS = f"SELECT {ACCESS_COLUMNS} FROM {{secret_access}}"


class SqlSecretStore(SecretStore):
    """Secrets and their access log in two tables."""

    def __init__(self, session: SqlSession) -> None:
        """Part of that session."""
        self.session = session
        self.codec = session.codec

    def _read(self, row: Row) -> SecretRecord:
        return SecretRecord.trusted(
            {
                "secret_id": row[0],
                "description": row[1],
                "sensitivity": Sensitivity(row[2]),
                "key_id": row[3],
                "ciphertext": bytes(row[4]),
                "detected_by": row[5],
                "created_at": self.codec.time_out(row[6]),
                "metadata": object_out(row[7]),
            }
        )

    def _values(self, secret: SecretRecord) -> tuple[Any, ...]:
        return (
            secret.secret_id, secret.description, secret.sensitivity.value, secret.key_id, secret.ciphertext,
            secret.detected_by, self.codec.time_in(secret.created_at), self.codec.object_in(secret.metadata),
        )  # fmt: skip

    def _read_access(self, row: Row) -> SecretAccess:
        return SecretAccess.trusted(
            {
                "access_id": row[0],
                "secret_id": row[1],
                "accessor": row[2],
                "action": row[3],
                "granted": bool(row[4]),
                "at": self.codec.time_out(row[5]),
                "metadata": object_out(row[6]),
            }
        )

    def add(self, secrets: Sequence[SecretRecord]) -> None:
        """Store new secrets."""
        add_new(self.session, "secrets", ADDED, "secret", [self._values(secret) for secret in secrets])

    def get(self, secret_ids: Sequence[str]) -> list[SecretRecord]:
        """Secrets by id."""
        return read_all(self.session.rows(GET, (self.codec.texts_in(secret_ids),)), self._read, "secret")

    def find(self, page: PageRequest, key_id: str | None) -> ResultPage[SecretRecord]:
        """Secrets by id, all or those under one key."""
        after = page.after[0] if page.after else None
        conditions, params = given((("key_id = ?", key_id), ("secret_id > ?", after)))
        statement = f"{FIND}{all_of(conditions)} ORDER BY secret_id LIMIT ?"
        rows = self.session.rows(statement, (*params, page.limit + 1))
        return read_page(rows, self._read, page.limit, lambda row: (row[0],))

    def reseal(self, secret_id: str, old_ciphertext: bytes, key_id: str, ciphertext: bytes) -> bool:
        """Replace the ciphertext, if it is still the old one."""
        return self.session.run(RESEAL, (key_id, ciphertext, secret_id, old_ciphertext)) > 0

    def delete(self, secret_ids: Sequence[str]) -> int:
        """Delete secrets; their access log stays."""
        return self.session.run(DELETE, (self.codec.texts_in(secret_ids),))

    def log_access(self, entries: Sequence[SecretAccess]) -> None:
        """Append to the access log."""
        values = [
            (e.access_id, e.secret_id, e.accessor, e.action, e.granted, self.codec.time_in(e.at),
             self.codec.object_in(e.metadata))
            for e in entries
        ]  # fmt: skip
        add_new(self.session, "secret_access", LOGGED, "access log entry", values)

    def list_access(self, page: PageRequest, secret_id: str | None) -> ResultPage[SecretAccess]:
        """The access log by time."""
        conditions, params = given((("secret_id = ?", secret_id),))
        if page.after is not None:
            conditions.append('("at", access_id) > (?, ?)')
            params += [self.codec.time_in(page.after[0]), page.after[1]]
        statement = f'{FIND_ACCESS}{all_of(conditions)} ORDER BY "at", access_id LIMIT ?'
        rows = self.session.rows(statement, (*params, page.limit + 1))
        return read_page(rows, self._read_access, page.limit, lambda row: (self.codec.time_out(row[5]), row[0]))
