"""Diagnosis of a schema and its server, from the system catalogs and statistics views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.errors import AccessDenied, Corrupt, DatabaseError
from ciris_store_core.models.operations import Diagnosis, Finding, Severity, TableSize
from ciris_store_core.sql import load_migrations
from ciris_store_core.sql.drift import expected, foreign, missing
from ciris_store_core.sql.migrate import APPLIED
from ciris_store_postgres.citus import IS_DISTRIBUTED
from ciris_store_postgres.session import PostgresSession

OBJECTS = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'i', 'I', 'v')
"""

TRIGGERS = """
SELECT t.tgname, c.relname
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND NOT t.tgisinternal ORDER BY 1, 2
"""

# A view depends on the tables that its rewrite rule reads; it may stand in any schema.
VIEWS = """
SELECT DISTINCT vn.nspname || '.' || v.relname, c.relname
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
JOIN pg_catalog.pg_class v ON v.oid = r.ev_class JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    AND n.nspname = ? AND v.oid <> c.oid AND v.relkind IN ('v', 'm') ORDER BY 1, 2
"""

SIZES = """
SELECT c.relname, pg_catalog.pg_total_relation_size(c.oid), pg_catalog.pg_indexes_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND c.relkind = 'r' ORDER BY 2 DESC, 1
"""

# The tables of a distributed schema are empty on every node but one, where their shards have the rows.
SIZES_OF_SHARDS = """
SELECT name, total, total - pg_catalog.citus_table_size(id) FROM (
    SELECT c.relname AS name, c.oid AS id, pg_catalog.citus_total_relation_size(c.oid) AS total
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ? AND c.relkind = 'r'
) sizes ORDER BY 2 DESC, 1
"""

INVALID = """
SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND NOT (i.indisvalid AND i.indisready) ORDER BY 1
"""

# Indexes that every write maintains and no query has used since the statistics were reset.
UNUSED = """
SELECT s.indexrelname, pg_catalog.pg_relation_size(s.indexrelid)
FROM pg_catalog.pg_stat_user_indexes s JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
WHERE s.schemaname = ? AND s.idx_scan = 0 AND NOT i.indisunique AND pg_catalog.pg_relation_size(s.indexrelid) > ?
ORDER BY 2 DESC
"""

TABLES = """
SELECT relname, n_live_tup, n_dead_tup, seq_scan, seq_tup_read, idx_scan,
    last_analyze IS NULL AND last_autoanalyze IS NULL
FROM pg_catalog.pg_stat_user_tables WHERE schemaname = ? ORDER BY 1
"""

LONG = """
SELECT pid, usename, application_name, state, xact_start FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND xact_start < ? AND pid <> pg_catalog.pg_backend_pid() ORDER BY xact_start
"""

CONNECTIONS = """
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::int
"""

AGE = "SELECT pg_catalog.age(datfrozenxid) FROM pg_catalog.pg_database WHERE datname = current_database()"

SLOTS = """
SELECT slot_name, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint
FROM pg_catalog.pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL AND NOT pg_catalog.pg_is_in_recovery()
"""

SETTINGS = """
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name
"""

AMCHECK = """
SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'amcheck'
"""

TREES = """
SELECT c.relname, c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE n.nspname = ? AND c.relkind = 'i' AND a.amname = 'btree' ORDER BY 1
"""

LONG_TRANSACTION = timedelta(minutes=5)
LARGE_INDEX = 8 * 2**20
MANY_DEAD = 10_000
MANY_ROWS = 100_000
OLD_AGE = 1_000_000_000
"""Transactions. The server stops accepting writes at two billion."""
MUCH_WAL = 2**30

Check = Callable[[PostgresSession, str, datetime], Iterator[Finding]]


def diagnose(session: PostgresSession, schema: str, now: datetime, *, thorough: bool) -> Diagnosis:
    """Return the findings about the schema and the server, and the sizes of the tables."""
    findings: list[Finding] = []
    for check in (*CHECKS, *(THOROUGH if thorough else ())):
        try:
            findings += check(session, schema, now)
        except (AccessDenied, DatabaseError):  # this server lacks the view or function, or the role the right to use it
            name = check.__name__.removeprefix("_")
            summary = f"the check {name} needs a role with more rights"
            findings.append(
                Finding("not_checked", Severity.INFO, summary, "GRANT pg_monitor TO the role", {"check": name})
            )
    return Diagnosis(findings, [TableSize(*row) for row in session.rows(_sizes(session, schema), (schema,))])


def _sizes(session: PostgresSession, schema: str) -> str:
    return SIZES_OF_SHARDS if session.distributed and session.row(IS_DISTRIBUTED, (schema,)) else SIZES


def _cluster(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    if not session.distributed:
        return
    if session.row(IS_DISTRIBUTED, (schema,)) is None:
        summary = f"the schema {schema} is not distributed: all its rows stay on the coordinator"
        fix = f"SELECT citus_schema_distribute('\"{schema}\"');"
        yield Finding("not_distributed", Severity.WARNING, summary, fix, {"schema": schema})
        return
    summary = "statistics, indexes, connections and settings were checked on this node only, not where the shards are"
    fix = (
        "SELECT DISTINCT nodename, nodeport FROM citus_shards s JOIN pg_class c ON c.oid = s.table_name "
        f"WHERE c.relnamespace = '\"{schema}\"'::regnamespace;"
    )
    yield Finding("not_checked", Severity.INFO, summary, fix, {"check": "shards"})


def _drift(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    applied = [row[0] for row in session.rows(APPLIED)]
    there = [row[0] for row in session.rows(OBJECTS, (schema,))]
    migrations = load_migrations(__package__)
    yield from missing(migrations, applied, there, session.dialect.spelled)
    # The schema may hold tables of other programs, whose triggers and views are none of the store's business.
    own = expected(migrations)
    found = [("trigger", *row) for row in session.rows(TRIGGERS, (schema,)) if row[1] in own]
    found += [("view", *row) for row in session.rows(VIEWS, (schema,)) if row[1] in own]
    yield from foreign(migrations, found)


def _invalid_indexes(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    for (name,) in session.rows(INVALID, (schema,)):
        fix = f'REINDEX INDEX CONCURRENTLY "{schema}"."{name}";'
        yield Finding(
            "invalid_index", Severity.ERROR, f"the index {name} is invalid, so no query uses it", fix, {"name": name}
        )


def _unused_indexes(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    for name, size in session.rows(UNUSED, (schema, LARGE_INDEX)):
        summary = f"the index {name} ({size // 2**20} MiB) has not been used since the server's statistics were reset"
        fix = "drop it if measurements show that none of your queries needs it"
        yield Finding("unused_index", Severity.INFO, summary, fix, {"name": name, "bytes": size})


def _tables(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    for name, live, dead, scans, read, lookups, never_analyzed in session.rows(TABLES, (schema,)):
        table = f'"{schema}"."{name}"'
        if dead > MANY_DEAD and dead * 4 > live:
            summary = f"{dead} of the {live + dead} rows of {name} are dead"
            yield Finding(
                "dead_rows", Severity.WARNING, summary, f"VACUUM (ANALYZE) {table};", {"table": name, "dead": dead}
            )
        if never_analyzed and live > MANY_DEAD:
            summary = f"{name} has {live} rows and no statistics, so the planner guesses"
            yield Finding("no_statistics", Severity.WARNING, summary, f"ANALYZE {table};", {"table": name})
        if live > MANY_ROWS and scans > 100 and scans > (lookups or 0):
            summary = f"{name} is scanned in full more often than by index: {scans} scans, {read} rows"
            fix = "run ANALYZE, create the indexes reported as missing, and EXPLAIN the slow query"
            yield Finding("full_reads", Severity.WARNING, summary, fix, {"table": name, "scans": scans})


def _long_transactions(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    for pid, user, application, state, since in session.rows(LONG, (now - LONG_TRANSACTION,)):
        minutes = int((now - since).total_seconds() // 60)
        summary = f"a transaction of {user} ({application or 'no name'}) is {state} and has been open for {minutes} min"
        fix = f"SELECT pg_terminate_backend({pid});"
        yield Finding("long_transaction", Severity.WARNING, summary, fix, {"pid": pid, "since": str(since)})


def _server(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    for name, _ in session.rows(SETTINGS):
        fix = f"run ALTER SYSTEM SET {name} = on, then reload the configuration"
        yield Finding(
            "unsafe_setting",
            Severity.WARNING,
            f"{name} is off, so power loss can lose or corrupt data",
            fix,
            {"name": name},
        )
    used, most = session.rows(CONNECTIONS)[0]
    if used * 5 > most * 4:
        fix = "lower pool_size in the URLs, raise max_connections, or use a connection pooler"
        yield Finding("connections", Severity.WARNING, f"{used} of {most} connections are in use", fix)
    age = session.rows(AGE)[0][0]
    if age > OLD_AGE:
        summary = f"the oldest transaction id is {age} transactions old; the server stops accepting writes at 2 billion"
        yield Finding("transaction_age", Severity.ERROR, summary, "VACUUM (FREEZE);", {"age": age})
    for slot, size in session.rows(SLOTS):
        if size > MUCH_WAL:
            summary = f"the unused replication slot {slot} retains {size // 2**20} MiB of write-ahead log"
            fix = f"SELECT pg_drop_replication_slot('{slot}');"
            yield Finding("idle_slot", Severity.WARNING, summary, fix, {"slot": slot, "bytes": size})


def _btrees(session: PostgresSession, schema: str, now: datetime) -> Iterator[Finding]:
    found: list[Any] = session.rows(AMCHECK)
    if not found:
        fix = "CREATE EXTENSION amcheck;"
        yield Finding(
            "not_checked", Severity.INFO, "indexes are checked only if the extension amcheck is installed", fix
        )
        return
    for name, oid in session.rows(TREES, (schema,)):
        try:
            session.rows(f'SELECT "{found[0][0]}".bt_index_check(?::oid::regclass)', (oid,))
        except Corrupt as error:
            fix = f'REINDEX INDEX CONCURRENTLY "{schema}"."{name}";'
            yield Finding("damaged", Severity.ERROR, f"the index {name} is damaged: {error}", fix, {"name": name})


CHECKS: tuple[Check, ...] = (
    _drift,
    _invalid_indexes,
    _unused_indexes,
    _tables,
    _long_transactions,
    _server,
    _cluster,
)
THOROUGH: tuple[Check, ...] = (_btrees,)
