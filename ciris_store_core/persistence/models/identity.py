"""The engine's functions on an agent's identity, which raise ``NotSupported``: see ``unsupported``."""

from ciris_store_core.persistence.unsupported import (
    get_identity_for_context,
    retrieve_agent_identity,
    store_agent_identity,
    store_creation_ceremony,
    update_agent_identity,
)

__all__ = [
    "get_identity_for_context",
    "retrieve_agent_identity",
    "store_agent_identity",
    "store_creation_ceremony",
    "update_agent_identity",
]
