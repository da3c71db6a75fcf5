"""SQL of encrypted secrets and of their access log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.secrets import SecretAccess, SecretRecord, Sensitivity
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.inserting import insert_new
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import collect_given, fill_in, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

INSERT = """
INSERT INTO {secrets} (secret_id, description, sensitivity, key_id, ciphertext, detected_by, created_at, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (secret_id) DO NOTHING
"""

EXISTING = "SELECT secret_id FROM {secrets} WHERE secret_id {in_texts} ORDER BY secret_id LIMIT 3"

GET = "SELECT {secret_columns} FROM {secrets} WHERE secret_id {in_texts}"

FIND = "SELECT {secret_columns} FROM {secrets} {where} ORDER BY secret_id LIMIT ?"

# The old ciphertext is part of the condition: of two concurrent rotations, the second finds it replaced and changes
# nothing.
REPLACE_CIPHERTEXT = "UPDATE {secrets} SET key_id = ?, ciphertext = ? WHERE secret_id = ? AND ciphertext = ?"

DELETE = "DELETE FROM {secrets} WHERE {lock_secrets} secret_id {in_texts} {end_lock_secrets}"

# Some databases reserve the word "at".
INSERT_ACCESS = """
INSERT INTO {secret_access} (access_id, secret_id, accessor, action, granted, "at", metadata)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (access_id) DO NOTHING
"""

EXISTING_ACCESS = "SELECT access_id FROM {secret_access} WHERE access_id {in_texts} ORDER BY access_id LIMIT 3"

FIND_ACCESS = 'SELECT {access_columns} FROM {secret_access} {where} ORDER BY "at", access_id LIMIT ?'


class SqlSecretStore(SecretStore):
    """Store of secrets and of their access log in two tables."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec

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
        insert_new(self.executor, INSERT, EXISTING, "secret", [self._values(secret) for secret in secrets])

    def get(self, secret_ids: Sequence[str]) -> list[SecretRecord]:
        return read_all(self.executor.rows(GET, (self.codec.texts_in(secret_ids),)), self._read, "secret")

    def find(self, page: PageRequest, key_id: str | None) -> ResultPage[SecretRecord]:
        after = page.after[0] if page.after else None
        conditions, params = collect_given((("key_id = ?", key_id), ("secret_id > ?", after)))
        statement = fill_in(FIND, where=where_clause(conditions))
        rows = self.executor.rows(statement, (*params, page.limit + 1))
        return read_page(rows, self._read, page.limit, lambda row: (row[0],))

    def reencrypt(self, secret_id: str, old_ciphertext: bytes, key_id: str, ciphertext: bytes) -> bool:
        return self.executor.run(REPLACE_CIPHERTEXT, (key_id, ciphertext, secret_id, old_ciphertext)) > 0

    def delete(self, secret_ids: Sequence[str]) -> int:
        return self.executor.run(DELETE, (self.codec.texts_in(secret_ids),))

    def log_access(self, entries: Sequence[SecretAccess]) -> None:
        values = [
            (e.access_id, e.secret_id, e.accessor, e.action, e.granted, self.codec.time_in(e.at),
             self.codec.object_in(e.metadata))
            for e in entries
        ]  # fmt: skip
        insert_new(self.executor, INSERT_ACCESS, EXISTING_ACCESS, "access log entry", values)

    def list_access(self, page: PageRequest, secret_id: str | None) -> ResultPage[SecretAccess]:
        conditions, params = collect_given((("secret_id = ?", secret_id),))
        if page.after is not None:
            conditions.append('("at", access_id) > (?, ?)')
            params += [self.codec.time_in(page.after[0]), page.after[1]]
        statement = fill_in(FIND_ACCESS, where=where_clause(conditions))
        rows = self.executor.rows(statement, (*params, page.limit + 1))
        return read_page(rows, self._read_access, page.limit, lambda row: (self.codec.time_out(row[5]), row[0]))
