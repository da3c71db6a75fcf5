"""Detection of secrets, their encryption, and the keys for it. The store itself is in ``ciris_store_core.store``."""

from ciris_store_core.secrets.keys import KeyRing, SecretsConfig
from ciris_store_core.secrets.patterns import SecretPattern

__all__ = ["KeyRing", "SecretPattern", "SecretsConfig"]
