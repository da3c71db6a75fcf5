"""Fleets of agents: a store for each agent, many agents under one URL."""

from ciris_store_core.contract.fleet import AgentPlace, FleetNode
from ciris_store_core.fleet.fleet import Fleet, FleetHealth, open_fleet

__all__ = ["AgentPlace", "Fleet", "FleetHealth", "FleetNode", "open_fleet"]
