"""Key ring, and its sources. No key is ever made unless the caller asks for one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ciris_store_core.errors import InvalidArgument, SecretKeyError
from ciris_store_core.secrets.cipher import ID_BYTES, aes_gcm
from ciris_store_core.secrets.key_files import FILE_VARIABLE, HOW_TO_GET_A_KEY, KEY_VARIABLE, read_key_file
from ciris_store_core.secrets.patterns import SecretPattern

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DETECT_VARIABLE = "CIRIS_DETECT_SECRETS"

_KEY_BYTES = 32
_ON_OFF = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


def new_key() -> str:
    """Return a new random key of 256 bits, as text."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


def key_id_of(key: bytes) -> str:
    """Return a fingerprint of a key. It discloses nothing of the key, and shows a wrong key at once."""
    return hmac.new(key, b"ciris-store key id", hashlib.sha256).digest()[:ID_BYTES].hex()


class KeyRing:
    """The keys that secrets are encrypted with: the first for new secrets, all of them to decrypt.

    Never shows a key: not in its ``repr``, not in an error.
    """

    def __init__(self, keys: Iterable[str | bytes]) -> None:
        """Keys as text, as ``ciris-store key new`` prints them, or as their 32 bytes."""
        if isinstance(keys, str | bytes):
            keys = [keys]
        ring = {key_id_of(key): key for key in map(_key_of, keys)}
        if not ring:
            raise SecretKeyError(f"there is no key in the key ring. {HOW_TO_GET_A_KEY}.")
        self._keys = ring
        self._ciphers: dict[str, AESGCM] = {}
        self.active = next(iter(ring))
        """Id of the key that new secrets are encrypted with."""

    def __repr__(self) -> str:
        """The ids."""
        return f"KeyRing({', '.join(self.ids)})"

    __reduce__ = None  # type: ignore[assignment]  # No caller intends a copy on disk or on a wire.

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the active one first."""
        return tuple(self._keys)

    def cipher(self, key_id: str) -> AESGCM:
        """Return the cipher of the key with that id; ``SecretKeyError`` if it is not in the ring."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            key = self._keys.get(key_id)
            if key is None:
                raise SecretKeyError(
                    f"a secret is encrypted under key {key_id}, and the keys given are {', '.join(self.ids)}. "
                    "Give that key too, behind the one for new secrets."
                )
            cipher = self._ciphers[key_id] = aes_gcm(key)
        return cipher

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """Return the keys of a text, separated by commas or white space; a ``#`` begins a comment."""
        lines = (line.partition("#")[0] for line in text.splitlines())
        return cls([key for line in lines for key in re.split(r"[,\s]+", line) if key])

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """Return the keys of a file, one a line, the active one first. Only its owner may be able to read it."""
        return cls.from_text(read_key_file(Path(path)))


def _key_of(key: str | bytes) -> bytes:
    if isinstance(key, str):
        try:
            key = base64.b64decode(key.strip().translate(_TO_PLAIN), validate=True)
        except (binascii.Error, ValueError):
            key = b""
    if len(key) != _KEY_BYTES:
        raise SecretKeyError(
            "the given value is no key (it is not shown): a key is 32 random bytes, as text in base64. "
            "Make one with 'ciris-store key new'."
        )
    return key


_TO_PLAIN = str.maketrans("-_", "+/")


# --- configuration ------------------------------------------------------------------------------

SecretsMode = Literal["detect", "encrypt", "plain"]

KeySource = KeyRing | Callable[[], "KeyRing | Iterable[str | bytes]"]


@dataclass(frozen=True)
class SecretsConfig:
    """Configuration of secrets: keys, detection and patterns."""

    keys: KeySource | None = None
    """The keys, or what fetches them when the store is opened, such as a call of a KMS. By default those of the
    variables ``CIRIS_SECRETS_KEY`` or ``CIRIS_SECRETS_KEY_FILE``, if one of them is set."""
    patterns: Collection[SecretPattern] = ()
    """Further kinds of secrets."""
    without: Collection[str] = ()
    """Names of built-in kinds not to look for."""
    detect: bool | None = None
    """Whether every write is scanned for secrets. By default as the variable ``CIRIS_DETECT_SECRETS`` says, else on."""
    documents: Mapping[tuple[str, ...], SecretsMode] = field(default_factory=dict)
    """Treatment of secrets in documents and streams, by prefix of the namespace; the longest that fits decides, and
    goes before what a call says. ``detect``: secrets in JSON are replaced by references, as in nodes (the default);
    ``encrypt``: the whole value is encrypted; ``plain``: neither."""

    def key_ring(self, environ: Mapping[str, str]) -> KeyRing | None:
        """Return the keys, fetched; None if there are none anywhere."""
        if self.keys is None:
            return ring_of_variables(environ)
        ring: Any = self.keys() if callable(self.keys) else self.keys
        return ring if isinstance(ring, KeyRing) else KeyRing(ring)


def ring_of_variables(environ: Mapping[str, str]) -> KeyRing | None:
    """Return the keys that the variables name; None if neither is set."""
    text, path = environ.get(KEY_VARIABLE), environ.get(FILE_VARIABLE)
    if text is not None and path is not None:
        raise SecretKeyError(f"both {KEY_VARIABLE} and {FILE_VARIABLE} are set. Unset one of them.")
    if text is not None:
        return KeyRing.from_text(text)
    return None if path is None else KeyRing.from_file(path)


def detection_wanted(given: bool | None, environ: Mapping[str, str]) -> bool:
    """Return whether writes are scanned for secrets: the program decides, then the variable; the default is yes."""
    if given is not None:
        return given
    said = environ.get(DETECT_VARIABLE, "on")
    if said.lower() not in _ON_OFF:
        raise InvalidArgument(f"{DETECT_VARIABLE} must be on or off")
    return _ON_OFF[said.lower()]
