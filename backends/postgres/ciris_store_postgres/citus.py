"""A node of a Citus cluster: its part in the cluster, and the place of a schema."""

from __future__ import annotations

from ciris_store_core.errors import NotSupported
from ciris_store_core.sql.executor import SqlExecutor

IS_COORDINATOR = "SELECT groupid = 0 FROM pg_catalog.pg_dist_local_group"

COORDINATOR = "SELECT nodename, nodeport FROM pg_catalog.pg_dist_node WHERE groupid = 0"

# Until the end of the transaction: each schema that it creates is distributed, with all its tables on one node.
DISTRIBUTE = "SET LOCAL citus.enable_schema_based_sharding = on"

IS_DISTRIBUTED = """
SELECT 1 FROM pg_catalog.pg_dist_schema d JOIN pg_catalog.pg_namespace n ON n.oid = d.schemaid WHERE n.nspname = ?
"""


def require_coordinator(session: SqlExecutor) -> None:
    """Raise ``NotSupported`` on a worker, which can change rows but not schemas, tables and indexes."""
    [(is_coordinator,)] = session.rows(IS_COORDINATOR)
    if not is_coordinator:
        known = session.row(COORDINATOR)
        place = f" ({known[0]}:{known[1]})" if known else ""
        raise NotSupported(
            "this server is a worker of a Citus cluster, and only the coordinator can change schemas, tables "
            "and indexes",
            hint=f"Open the store by the URL of the coordinator{place} for this.",
        )
