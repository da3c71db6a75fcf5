"""Functions of the engine that the store has no place for: they can be imported, and say what to do instead."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from ciris_store_core.errors import NotSupported

_SQL = (
    "the store hands out no connections and no tables: use store.transaction() for several writes at once, "
    "or the function for what you need"
)
_IDENTITY = (
    "the shape of an agent's identity is its application's: keep it as a graph node in IDENTITY scope, "
    "with add_graph_node and get_graph_node"
)
_RETRY = "the store runs transactions again by itself: see open_store(retry=RetryPolicy(...)) and store.run"


class Refusal(Protocol):
    """A function that refuses every call."""

    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``NotSupported``."""
        ...


def _refusal(name: str, advice: str) -> Refusal:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupported(f"{name}: {advice}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raises ``NotSupported``: {advice}."
    return refuse


get_db_connection = _refusal("get_db_connection", _SQL)
get_db_connection_with_retry = _refusal("get_db_connection_with_retry", _SQL)
get_graph_nodes_table_schema_sql = _refusal("get_graph_nodes_table_schema_sql", _SQL)
get_graph_edges_table_schema_sql = _refusal("get_graph_edges_table_schema_sql", _SQL)
get_service_correlations_table_schema_sql = _refusal("get_service_correlations_table_schema_sql", _SQL)
execute_with_retry = _refusal("execute_with_retry", _RETRY)
with_retry = _refusal("with_retry", _RETRY)
store_agent_identity = _refusal("store_agent_identity", _IDENTITY)
retrieve_agent_identity = _refusal("retrieve_agent_identity", _IDENTITY)
update_agent_identity = _refusal("update_agent_identity", _IDENTITY)
store_creation_ceremony = _refusal("store_creation_ceremony", _IDENTITY)
get_identity_for_context = _refusal("get_identity_for_context", _IDENTITY)
