"""Encryption of one secret: AES-256-GCM, with what the secret belongs to as associated data."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import Corrupt, SecretKeyError
from ciris_store_core.models.secrets import SecretRecord

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from ciris_store_core.secrets.keys import KeyRing

VERSION = 1
ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16

_HEADER = 1 + ID_BYTES + NONCE_BYTES


def aes_gcm(key: bytes) -> AESGCM:
    """The cipher of a key of 32 bytes."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SecretKeyError(
            "encrypting secrets needs the package cryptography: pip install 'ciris-store-core[secrets]'"
        ) from None
    return AESGCM(key)


def encrypt(keys: KeyRing, secret: SecretRecord, plaintext: str) -> SecretRecord:
    """The secret with its ciphertext, under the active key: version, key id, nonce, then ciphertext and tag.

    Nonces are random, so a key is good for 2^32 secrets; rotate it long before.
    """
    key_id = keys.active
    nonce = os.urandom(NONCE_BYTES)
    bound = secret.replaced(key_id=key_id)
    body = keys.cipher(key_id).encrypt(nonce, plaintext.encode(), _associated(bound))
    return bound.replaced(ciphertext=bytes([VERSION]) + bytes.fromhex(key_id) + nonce + body)


def decrypt(keys: KeyRing, secret: SecretRecord) -> str:
    """The plaintext.

    Raises:
        SecretKeyError: Its key is not in the ring.
        Corrupt: The ciphertext is damaged, or is not this secret's, or was changed in what it is bound to.
    """
    extracted = secret.ciphertext
    if len(extracted) < _HEADER + TAG_BYTES or extracted[0] != VERSION:
        raise _corrupt(secret)
    if extracted[1 : 1 + ID_BYTES].hex() != secret.key_id:
        raise _corrupt(secret)
    from cryptography.exceptions import InvalidTag

    cipher = keys.cipher(secret.key_id)
    try:
        return cipher.decrypt(extracted[1 + ID_BYTES : _HEADER], extracted[_HEADER:], _associated(secret)).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise _corrupt(secret) from None


def _associated(secret: SecretRecord) -> bytes:
    """What the ciphertext is bound to, so that rows cannot be swapped, moved to another record or made less secret."""
    facts: list[Any] = [
        "ciris-store secret", VERSION, secret.secret_id, secret.key_id, secret.sensitivity.value, secret.metadata,
    ]  # fmt: skip
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _corrupt(secret: SecretRecord) -> Corrupt:
    return Corrupt(
        f"secret {secret.secret_id} cannot be decrypted: its row was damaged or tampered with; restore it from a backup"
    )
