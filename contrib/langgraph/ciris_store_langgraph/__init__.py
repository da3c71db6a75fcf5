"""LangGraph on CIRIS Store: a checkpointer and a long-term store over one database."""

from ciris_store_langgraph.saver import CirisSaver
from ciris_store_langgraph.store import CirisStore

__all__ = ["CirisSaver", "CirisStore"]
