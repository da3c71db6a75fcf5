"""Ed25519 keys, which sign audit entries and the approvals of Wise Authorities.

Keys and signatures are lower-case hexadecimal texts. A key's id is made of its public half, so that no two keys share
one and names need no agreement. Nothing of the ``cryptography`` package is imported before a key is used.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ciris_store_core.errors import AccessDenied, AlreadyExists, InvalidArgument, NotFound, NotSupported

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

_PUBLIC = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 10_000


class SigningKey:
    """A private Ed25519 key. Make one with ``generate``, keep it with ``save``, read it with ``load``."""

    __slots__ = ("_private", "key_id", "public_key")

    def __init__(self, private: ed25519.Ed25519PrivateKey) -> None:
        """Around a private key of ``cryptography``, such as one that a key service holds."""
        self._private = private
        self.public_key = private.public_key().public_bytes_raw().hex()
        """The public half, which may be given to anybody: 64 hexadecimal digits."""
        self.key_id = key_id_of(self.public_key)
        """Its name: ``ed25519-`` and 32 hexadecimal digits."""

    def __repr__(self) -> str:
        """Its id, nothing of the key."""
        return f"SigningKey({self.key_id!r})"

    @classmethod
    def generate(cls) -> Self:
        """A new key, in memory only."""
        _library()
        from cryptography.hazmat.primitives.asymmetric import ed25519

        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The key of a PEM file that only its owner can read.

        Raises:
            NotFound: There is no such file.
            AccessDenied: Others could read it, or this user cannot.
            InvalidArgument: It holds no Ed25519 key, or one with a passphrase.
        """
        _library()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        text = _read_private(Path(path))
        try:
            private = serialization.load_pem_private_key(text, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise InvalidArgument(f"{path} holds no Ed25519 key without a passphrase. Make one with SigningKey.save.")
        return cls(private)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key to a new PEM file that only its owner can read; an existing file raises ``AlreadyExists``."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise AlreadyExists(
                f"{path} already exists, and a key file is never overwritten",
                kind="file",
                key=os.fspath(path),
                hint="Choose another name.",
            ) from None
        except OSError as error:
            raise AccessDenied(f"{path} cannot be written ({error.strerror}). Check the directory.") from error
        with os.fdopen(handle, "wb") as file:
            file.write(self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())

    def sign(self, message: bytes) -> str:
        """The signature of a message: 128 hexadecimal digits."""
        return self._private.sign(message).hex()


def is_signed(message: bytes, signature: str, public_key: str) -> bool:
    """Return whether the private half of that key made the signature of the message."""
    _library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id_of(public_key: str) -> str:
    """The id of a public key; ``InvalidArgument`` where it is none."""
    if not _PUBLIC.fullmatch(public_key):
        raise InvalidArgument(
            "a public key must be 64 hexadecimal digits in lower case, as SigningKey.public_key gives it"
        )
    return "ed25519-" + sha256(bytes.fromhex(public_key)).hexdigest()[:32]


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise AccessDenied(f"others than its owner may use the key file {path}. Run chmod 600 {path}.")
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise NotFound(
            f"there is no key file {path}",
            kind="file",
            key=os.fspath(path),
            hint=f"Make one with ciris-store authority new {path}",
        ) from None
    except OSError as error:
        if isinstance(error, AccessDenied):
            raise
        raise AccessDenied(f"the key file {path} cannot be read ({error.strerror}). Check its owner.") from error


def _library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise NotSupported(
            "signing keys need the package cryptography. Install it: pip install 'ciris-store-core[secrets]'"
        ) from None
