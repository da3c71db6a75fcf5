"""Fleet of agents with a schema each: one bounded pool for each server, shared by the stores of all agents on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.contract import Backend
from ciris_store_core.contract.fleet import AgentPlace, FleetBackend, FleetNode
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import (
    InvalidURL,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    Unavailable,
)
from ciris_store_core.url import StoreURL
from ciris_store_postgres.backend import PostgresBackend, new_pool
from ciris_store_postgres.connect import ConnectOptions, at_host
from ciris_store_postgres.connection import NEVER, PooledConnection
from ciris_store_postgres.diagnosis import CONNECTIONS
from ciris_store_postgres.pool import ConnectionPool
from ciris_store_postgres.timeline import Timeline
from ciris_store_postgres.watchdog import Watchdog

log = logging.getLogger(__name__)

Place = tuple[str, int]

# A store is a schema with the table of migrations; the schema public is a store, but not an agent's.
AGENTS = """
SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'schema_migrations' AND c.relkind IN ('r', 'p') AND n.nspname <> 'public' ORDER BY 1
"""

SIZES = """
SELECT n.nspname, sum(pg_catalog.pg_total_relation_size(c.oid))::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' GROUP BY 1
"""

SIZES_OF_SHARDS = """
SELECT n.nspname, sum(s.shard_size)::bigint
FROM pg_catalog.citus_shards s JOIN pg_catalog.pg_class c ON c.oid = s.table_name
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace GROUP BY 1
"""

# All tables of a distributed schema are on one node. The view citus_shards would measure every shard.
PLACES = """
SELECT DISTINCT s.nspname, n.nodename, n.nodeport, n.groupid
FROM pg_catalog.pg_dist_schema d JOIN pg_catalog.pg_namespace s ON s.oid = d.schemaid
JOIN pg_catalog.pg_dist_partition p ON p.colocationid = d.colocationid
JOIN pg_catalog.pg_dist_shard h ON h.logicalrelid = p.logicalrelid
JOIN pg_catalog.pg_dist_placement q ON q.shardid = h.shardid
JOIN pg_catalog.pg_dist_node n ON n.groupid = q.groupid AND n.noderole = 'primary'
WHERE ?::text IS NULL OR s.nspname = ?
"""

NODES = """
SELECT nodename, nodeport, groupid FROM pg_catalog.pg_dist_node WHERE noderole = 'primary' AND isactive ORDER BY 1, 2
"""

GROUP = "SELECT groupid FROM pg_catalog.pg_dist_local_group"

MOVE = "SELECT pg_catalog.citus_schema_move(oid::regnamespace, ?, ?) FROM pg_catalog.pg_namespace WHERE nspname = ?"

_SECONDS_BETWEEN_TRIES = 60.0
"""After a node could not be used: until then its agents are reached through the server of the URL."""


class PoolShare:
    """One store's use of a pool that other stores use as well: closing it closes no connection."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._closed = False
        self.release = pool.release
        self.connections = pool.connections
        self.stats = pool.stats

    def acquire(self, timeout: float | None = None) -> PooledConnection:
        """Return a connection for the caller alone."""
        if self._closed:
            raise StoreClosed("the store is closed. Open a new one.")
        return self._pool.acquire(timeout)

    def close(self) -> None:
        """Refuse further connections."""
        self._closed = True


class FleetAgent(PostgresBackend):
    """The store of one agent, over pools of its fleet."""

    def __init__(self, fleet: PostgresFleet, agent: str, context: BackendContext) -> None:
        super().__init__(
            fleet.url_of(agent),
            context,
            pool=PoolShare(fleet.pool),
            watchdog=fleet.watchdog,
            timeline=fleet.timeline,
        )
        self._fleet = fleet

    def prepare(self, *, migrate: bool) -> None:
        """Migrate through the server of the URL, then use the node that has the agent's rows."""
        super().prepare(migrate=migrate)
        self.pool = PoolShare(self._fleet.pool_of(self.options.schema))

    def close(self) -> None:
        """Close this store alone."""
        self.pool.close()


class PostgresFleet(FleetBackend):
    """The schemas of a database, or of a Citus cluster if the server belongs to one."""

    def __init__(self, url: StoreURL) -> None:
        """Parse the URL; no server is contacted."""
        if "schema" in url.options:
            raise InvalidURL("each agent of a fleet has a schema of its own. Leave schema= out of the URL.")
        self._url = url
        self._options = options = ConnectOptions.from_url(url)
        self.watchdog = Watchdog(options.operation_timeout)
        self.timeline = Timeline() if len(url.hosts) > 1 else None
        self.pool = new_pool(options, self.watchdog)
        share, context = PoolShare(self.pool), BackendContext(SystemClock())
        self._admin = PostgresBackend(url, context, pool=share, watchdog=self.watchdog, timeline=self.timeline)
        self._lock = threading.Lock()
        self._pools: dict[Place, ConnectionPool] = {}
        self._unusable: dict[Place, float] = {}

    def url_of(self, agent: str) -> StoreURL:
        """Return the URL with the agent's schema."""
        return replace(self._url, options={**self._url.options, "schema": agent})

    def open(self, agent: str, clock: Clock, *, migrate: bool, create: bool) -> Backend:
        """Return the backend of the agent's schema."""
        return FleetAgent(self, agent, BackendContext(clock, migrate, create))

    # --- nodes ----------------------------------------------------------------------------------

    def pool_of(self, agent: str) -> ConnectionPool:
        """Return the pool of the node that has the rows of an agent; that of the URL if there is no other node."""
        found = self._places(agent).get(agent)
        return self.pool if found is None else self._pool_at(*found)

    def _places(self, agent: str | None = None) -> dict[str, tuple[Place, int]]:
        """Return the node and its group for each distributed schema."""
        with self._admin.single() as session:
            if not session.distributed:
                return {}
            rows = session.rows(PLACES, (agent, agent))
        return {schema: ((host, port), group) for schema, host, port, group in rows}

    def _pool_at(self, place: Place, group: int) -> ConnectionPool:
        # Under the lock, so that threads that open stores at the same time make one pool.
        with self._lock:
            if place in self._pools:
                return self._pools[place]
            if time.monotonic() - self._unusable.get(place, -NEVER) < _SECONDS_BETWEEN_TRIES:
                return self.pool
            options = replace(self._options, keywords=at_host(self._options.keywords, *place))
            pool = new_pool(options, self.watchdog)
            problem = _check_group(pool, group)
            if problem is None:
                self._pools[place] = pool
                return pool
            pool.close()
            self._unusable[place] = time.monotonic()
            log.warning("the node %s:%s is reached through the server of the URL: %s", *place, problem)
            return self.pool

    def agents(self) -> list[AgentPlace]:
        """Return the schemas that hold a store, each with its node."""
        places = self._places()
        with self._admin.single() as session:
            own = _name(_address(session.connection))
            names = [row[0] for row in session.rows(AGENTS)]
        return [AgentPlace(name, _name(places[name][0]) if name in places else own) for name in names]

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each agent's tables and indexes."""
        with self._admin.single() as session:
            agents = {row[0] for row in session.rows(AGENTS)}
            sizes = dict(session.rows(SIZES))
            if session.distributed:
                sizes |= dict(session.rows(SIZES_OF_SHARDS))
        return {agent: sizes.get(agent, 0) for agent in sorted(agents)}

    def nodes(self) -> list[FleetNode]:
        """Return the nodes of the cluster, or the one server."""
        agents = [place.node for place in self.agents()]
        with self._admin.single() as session:
            if not session.distributed:
                own = _name(_address(session.connection))
                return [FleetNode(own, len(agents), *session.rows(CONNECTIONS)[0])]
            nodes = session.rows(NODES)
        return [self._node((host, port), group, agents.count(_name((host, port)))) for host, port, group in nodes]

    def _node(self, place: Place, group: int, agents: int) -> FleetNode:
        options = replace(self._options, keywords=at_host(self._options.keywords, *place), pool_size=1)
        pool = new_pool(options, self.watchdog)
        try:
            problem = _check_group(pool, group)
            if problem is not None:
                return FleetNode(_name(place), agents, problem=problem)
            with pool.connection() as connection, connection.raw.cursor() as cursor:
                cursor.execute(CONNECTIONS)
                [counts] = cursor.fetchall()
                return FleetNode(_name(place), agents, *counts)
        finally:
            pool.close()

    def move(self, agent: str, node: str) -> None:
        """Move a schema to another node of the cluster."""
        with self._admin.single(write=True) as session:
            if not session.distributed:
                super().move(agent, node)
            nodes = {_name((host, port)): (host, port) for host, port, _ in session.rows(NODES)}
            if node not in nodes:
                raise NotFound(
                    f"there is no node {node!r}", kind="node", key=node, hint=f"The nodes are {', '.join(nodes)}."
                )
            if agent not in self._places(agent):
                raise NotSupported(
                    f"the schema of {agent!r} is not distributed. Run SELECT citus_schema_distribute('\"{agent}\"');"
                )
            # A large schema takes longer than any call of a store.
            timeout, session.timeout = session.timeout, NEVER
            try:
                session.rows(MOVE, (*nodes[node], agent))
                return
            except OutcomeUnknown as error:
                unknown = error
            finally:
                session.timeout = timeout
        # Citus reports a move that it refused with the SQLSTATE of one that it may have made.
        if self._places(agent)[agent][0] != nodes[node]:
            problem = unknown.__cause__
            raise Unavailable(f"{agent!r} was not moved. Run the call again. The server said: {problem}") from problem

    def stats(self) -> Mapping[str, Any]:
        """Return the counts of all pools together, and the number of pools."""
        with self._lock:
            pools = [self.pool, *self._pools.values()]
        counts = [pool.stats() for pool in pools]
        return {"pools": len(pools), **{name: sum(each[name] for each in counts) for name in counts[0]}}

    def close(self) -> None:
        """Close all pools."""
        with self._lock:
            pools = [self.pool, *self._pools.values()]
        for pool in pools:
            pool.close()
        self.watchdog.close()


def _check_group(pool: ConnectionPool, group: int) -> str | None:
    """Return the reason why the server of a pool is not the node of a cluster that it should be; None if it is."""
    # Another server may answer at the address of a node: behind a firewall, the addresses mean other hosts.
    try:
        with pool.connection() as connection, connection.raw.cursor() as cursor:
            cursor.execute(GROUP)
            found = cursor.fetchone()
    except StoreError as error:
        return str(error)
    except Exception as error:
        return f"the server is no node of Citus ({type(error).__name__})"
    return None if found == (group,) else f"the server says that it is group {found and found[0]}, not {group}"


def _address(connection: PooledConnection) -> Place:
    info = connection.raw.info
    return info.host, info.port


def _name(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
