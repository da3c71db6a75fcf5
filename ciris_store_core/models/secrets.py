"""Encrypted secrets and the log of their use."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, PlainSerializer

from ciris_store_core.models.base import Id, JsonObject, NamedEnum, Record, Text, UtcDateTime, _plain, utc_now
from ciris_store_core.models.ids import uuid7


def _to_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value)
    if isinstance(value, bytes):
        return value
    raise ValueError("expected bytes, or their hexadecimal text")


Ciphertext = Annotated[
    bytes,
    _plain(_to_bytes, {"type": "string", "pattern": "^([0-9a-f]{2})*$"}),
    PlainSerializer(bytes.hex, when_used="json"),
]


class Sensitivity(NamedEnum):
    """Sensitivity of a secret, which decides which actions may have it decrypted automatically."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class SecretRecord(Record):
    """An encrypted secret. The plaintext is never part of a record."""

    model_config = ConfigDict(ser_json_bytes="hex")

    secret_id: Id
    description: Text
    sensitivity: Sensitivity
    key_id: Id
    ciphertext: Ciphertext
    """Nonce, ciphertext and tag, as the crypto writes them."""
    detected_by: Text | None = None
    created_at: UtcDateTime = Field(default_factory=utc_now)
    metadata: JsonObject = Field(default_factory=dict)


class SecretInfo(Record):
    """Facts about a secret that need no key."""

    secret_id: Id
    description: Text
    sensitivity: Sensitivity
    key_id: Id
    detected_by: Text | None = None
    created_at: UtcDateTime = Field(default_factory=utc_now)
    owner: list[Text] = Field(default_factory=list)
    """The record that refers to it: its kind, then its key, such as ``["node", "local", "ada"]``."""


class SecretAccess(Record):
    """One entry of the access log, which outlives the secret."""

    access_id: Id = Field(default_factory=uuid7)
    secret_id: Id
    accessor: Id
    action: Id
    granted: bool
    at: UtcDateTime = Field(default_factory=utc_now)
    metadata: JsonObject = Field(default_factory=dict)
