"""Functions of the engine that the store does not support: each raises ``NotSupported`` with advice."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from ciris_store_core.errors import NotSupported

_SQL = (
    "the store exposes no connections or tables. Use store.transaction() for several writes at once, "
    "or the function for what you need"
)
_IDENTITY = (
    "the application defines the shape of an agent's identity. Keep it as a graph node in IDENTITY scope, "
    "with add_graph_node and get_graph_node"
)
_RETRY = "the store retries transactions itself. See open_store(retry=RetryPolicy(...)) and store.run"


class UnsupportedFunction(Protocol):
    """A function that refuses every call."""

    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``NotSupported``."""
        ...


def _unsupported(name: str, advice: str) -> UnsupportedFunction:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupported(f"{name}: {advice}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raises ``NotSupported``: {advice}."
    return refuse


get_db_connection = _unsupported("get_db_connection", _SQL)
get_db_connection_with_retry = _unsupported("get_db_connection_with_retry", _SQL)
get_graph_nodes_table_schema_sql = _unsupported("get_graph_nodes_table_schema_sql", _SQL)
get_graph_edges_table_schema_sql = _unsupported("get_graph_edges_table_schema_sql", _SQL)
get_service_correlations_table_schema_sql = _unsupported("get_service_correlations_table_schema_sql", _SQL)
execute_with_retry = _unsupported("execute_with_retry", _RETRY)
with_retry = _unsupported("with_retry", _RETRY)
store_agent_identity = _unsupported("store_agent_identity", _IDENTITY)
retrieve_agent_identity = _unsupported("retrieve_agent_identity", _IDENTITY)
update_agent_identity = _unsupported("update_agent_identity", _IDENTITY)
store_creation_ceremony = _unsupported("store_creation_ceremony", _IDENTITY)
get_identity_for_context = _unsupported("get_identity_for_context", _IDENTITY)
