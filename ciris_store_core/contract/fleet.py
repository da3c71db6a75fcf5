"""Fleets: the stores of many agents under one URL, which a backend may offer beside single stores.

``BackendSpec.open_fleet`` opens one.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ciris_store_core.clock import Clock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.errors import InvalidArgument, NotSupported
from ciris_store_core.url import StoreURL

_AGENT = re.compile(r"[a-z_][a-z0-9_-]{0,59}")
# Names that file systems or database servers reserve.
_RESERVED = re.compile(r"pg_.*|public|information_schema|citus(_.*)?|crdb_internal|con|prn|aux|nul|(com|lpt)[0-9]")


def check_agent(name: str) -> str:
    """Return the name of an agent; raise ``InvalidArgument`` unless it can name a file and a schema."""
    if not _AGENT.fullmatch(name) or _RESERVED.fullmatch(name):
        raise InvalidArgument(
            "the name of an agent is up to 60 of a-z, 0-9, _ and -, beginning with a letter or _, "
            f"and no name that servers reserve, not {name!r}"
        )
    return name


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """An agent, and the node that has its data."""

    agent: str
    node: str
    """``host:port`` of a server, or the folder of files."""


@dataclass(frozen=True, slots=True)
class FleetNode:
    """State of one node of a fleet."""

    node: str
    agents: int
    connections: int | None = None
    """Connections of all clients; None if the node has none or cannot be asked."""
    max_connections: int | None = None
    problem: str | None = None
    """The reason why the node cannot be used; None if it can."""


class FleetBackend(ABC):
    """The databases of many agents. Thread-safe. Names were checked by ``check_agent``."""

    @abstractmethod
    def url_of(self, agent: str) -> StoreURL:
        """Return the URL of one agent's store, which opens it alone."""

    @abstractmethod
    def open(self, agent: str, clock: Clock, *, migrate: bool, create: bool) -> Backend:
        """Return the backend of one agent's store, which the caller prepares and closes.

        - The other arguments are those of ``BackendContext``.

        - Closing it closes nothing that other agents' backends use.
        """

    @abstractmethod
    def agents(self) -> list[AgentPlace]:
        """Return the agents that have a store, by name."""

    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each agent's store, indexes included."""

    @abstractmethod
    def nodes(self) -> list[FleetNode]:
        """Return the nodes; one that cannot be reached is a ``problem``, not an error."""

    def move(self, agent: str, node: str) -> None:
        """Move an agent's data to another node, with its writers going on. Default: NotSupported."""
        raise NotSupported("this fleet has one node. Copy the agent's store to another fleet with 'ciris-store copy'.")

    def stats(self) -> Mapping[str, Any]:
        """Return counters, such as connections in use. Empty by default."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Idempotent."""
