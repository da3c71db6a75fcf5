"""Encryption of secrets and values: AES-256-GCM, with their place in the associated data."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from ciris_store_core.errors import Corrupt, SecretKeyError
from ciris_store_core.models.secrets import SecretRecord

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16

_HEADER = 1 + ID_BYTES + NONCE_BYTES


class Ciphers(Protocol):
    """Ciphers by key id, as a key ring holds them."""

    active: str
    """Id of the key that new secrets are encrypted with."""

    def cipher(self, key_id: str) -> AESGCM:
        """Return the cipher of the key with that id; raise ``SecretKeyError`` if it is not in the ring."""
        ...


def aes_gcm(key: bytes) -> AESGCM:
    """Return the cipher of a key of 32 bytes."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SecretKeyError(
            "encrypting secrets needs the package cryptography. Install it: pip install 'ciris-store-core[secrets]'"
        ) from None
    return AESGCM(key)


def encrypt(keys: Ciphers, secret: SecretRecord, plaintext: str) -> SecretRecord:
    """Return the secret with its ciphertext under the active key."""
    bound = secret.replaced(key_id=keys.active)
    return bound.replaced(ciphertext=encrypt_bytes(keys, plaintext.encode(), _associated(bound)))


def decrypt(keys: Ciphers, secret: SecretRecord) -> str:
    """Return the plaintext.

    Raises:
        SecretKeyError: The key of the secret is not in the ring.
        Corrupt: The ciphertext is damaged or of another secret, or the associated data was changed.
    """
    what = f"secret {secret.secret_id}"
    plaintext = decrypt_bytes(keys, secret.ciphertext, secret.key_id, _associated(secret), what)
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        raise _corrupt(what) from None


def encrypt_bytes(keys: Ciphers, plaintext: bytes, associated: bytes) -> bytes:
    """Return bytes under the active key: version, key id, nonce, then ciphertext and tag.

    Nonces are random, so a key is good for 2^32 calls; rotate it long before.
    """
    nonce = os.urandom(NONCE_BYTES)
    body = keys.cipher(keys.active).encrypt(nonce, plaintext, associated)
    return bytes([VERSION]) + bytes.fromhex(keys.active) + nonce + body


def decrypt_bytes(keys: Ciphers, ciphertext: bytes, key_id: str, associated: bytes, what: str) -> bytes:
    """Return the plaintext. ``what``: what it is, for errors.

    Raises:
        SecretKeyError: The key is not in the ring.
        Corrupt: The ciphertext is damaged, or the associated data is not what it was encrypted with.
    """
    if len(ciphertext) < _HEADER + TAG_BYTES or ciphertext[0] != VERSION:
        raise _corrupt(what)
    if ciphertext[1 : 1 + ID_BYTES].hex() != key_id:
        raise _corrupt(what)
    from cryptography.exceptions import InvalidTag

    cipher = keys.cipher(key_id)
    try:
        return cipher.decrypt(ciphertext[1 + ID_BYTES : _HEADER], ciphertext[_HEADER:], associated)
    except InvalidTag:
        raise _corrupt(what) from None


def _associated(secret: SecretRecord) -> bytes:
    """Return the associated data. It binds the ciphertext to its id, key, sensitivity and owner.

    So a row cannot be swapped with another, moved to another record or given a lower sensitivity.
    """
    facts: list[Any] = [
        "ciris-store secret", VERSION, secret.secret_id, secret.key_id, secret.sensitivity.value, secret.metadata,
    ]  # fmt: skip
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _corrupt(what: str) -> Corrupt:
    return Corrupt(f"{what} cannot be decrypted: its row was damaged or tampered with. Restore it from a backup.")
