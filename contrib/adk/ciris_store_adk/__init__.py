"""Services of Google's Agent Development Kit on CIRIS Store."""

from __future__ import annotations

from google.adk.cli.service_registry import get_service_registry

from ciris_store_adk.artifacts import CirisArtifactService
from ciris_store_adk.memory import CirisMemoryService
from ciris_store_adk.sessions import CirisSessionService

__all__ = ["CirisArtifactService", "CirisMemoryService", "CirisSessionService", "register"]


def register(scheme: str = "ciris") -> None:
    """Register the services, so that ADK's command line takes ``--session_service_uri ciris://sqlite:///agent.db``."""
    registry = get_service_registry()
    registry.register_session_service(scheme, CirisSessionService)
    registry.register_memory_service(scheme, CirisMemoryService)
    registry.register_artifact_service(scheme, CirisArtifactService)
