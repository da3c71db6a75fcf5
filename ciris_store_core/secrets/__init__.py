"""Detection of secrets, their encryption, and the keys for it. The store itself is in ``ciris_store_core.api``."""

from .keys import KeyRing, SecretsConfig
from .patterns import SecretPattern

__all__ = ["KeyRing", "SecretPattern", "SecretsConfig"]
