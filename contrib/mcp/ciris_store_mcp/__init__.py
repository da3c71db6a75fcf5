"""MCP server over the memory of CIRIS Store, and an event store for resumable MCP sessions."""

from ciris_store_mcp.events import CirisEventStore, separate_sessions
from ciris_store_mcp.server import memory_server

__all__ = ["CirisEventStore", "memory_server", "separate_sessions"]
