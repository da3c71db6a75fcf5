"""Parts that adapters of agent frameworks share."""

from __future__ import annotations

import logging
from typing import Literal

from ciris_store_core.store import Store

logger = logging.getLogger("ciris_store.frameworks")

_told: set[str] = set()


def secrets_mode(store: Store, framework: str) -> Literal["encrypt", "plain"]:
    """Return ``encrypt`` if the store has a key, else ``plain``, which is told once in the log.

    A framework needs back exactly what it wrote, so a secret in a value cannot be replaced by a reference.
    """
    if store.secrets.has_key:
        return "encrypt"
    if framework not in _told:
        _told.add(framework)
        logger.warning(
            "%s: values are stored unencrypted. Make a key with 'ciris-store key new' to encrypt them.", framework
        )
    return "plain"
