"""Rules for all statements, so that the store works behind poolers and on a distributed server."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType

import psycopg2
import pytest
from psycopg2 import extensions

import ciris_store_core.sql
import ciris_store_postgres
from ciris_store_core import open_store
from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN
from ciris_store_core.sql import load_migrations
from ciris_store_postgres.backend import NOW
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_postgres.graph import INSERT
from ciris_store_postgres.node_statements import upsert
from tests.support.pgserver import ExternalServer, PostgresServer, execute

_STATEMENT = re.compile(
    r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|COPY|CREATE|ALTER|DROP|SET|BEGIN|MERGE|LOCK|TRUNCATE)\b", re.I
)

SESSION_STATE = r"""(?x)
    (\A|;)\s*SET\s+(?!LOCAL\b|TRANSACTION\b) | \bSET\s+(SESSION|ROLE|CONSTRAINTS|search_path|TIME\s+ZONE)\b
    | \bset_config\s*\( | \bRESET\s+\w+\s*(;|\Z) | \bDISCARD\s+(ALL|TEMP|PLANS|SEQUENCES)\b | \bLOAD\s+'
    | \b(UN)?LISTEN\s+\w+\s*(;|\Z) | \b(PREPARE|DEALLOCATE)\s+\w+ | \bWITH\s+HOLD\b
    | \b(TEMP|TEMPORARY)\s+(TABLE|VIEW|SEQUENCE)\b | \bINTO\s+TEMP | \bpg_(try_)?advisory_(lock|unlock)
"""
CHANGES_BY_ITSELF = r"""(?x)
    \b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|gen_random_uuid|nextval)\s*\(
    | \b(current_(timestamp|date|time)|localtime|localtimestamp)\b | '(now|today|tomorrow|yesterday)'
"""
INSERTS_SELECT = r"\bINSERT\s+INTO\s+[^()]*\([^()]*\)\s*(WITH|SELECT)\b"
# Citus computes those functions of INSERT ... SELECT itself that are not IMMUTABLE, and rebuilds some of them wrongly.
# These are likely; a test below asks the server about all that are called.
STABLE = r"""(?x)
    \b(jsonb?_to_record(set)?|jsonb?_populate_record(set)?|jsonb?_build_(object|array)|to_jsonb?|jsonb?_agg|to_char
    |to_timestamp|concat|concat_ws|format|array_to_string|date_trunc|current_setting)\s*\(
"""
SUBQUERY_IN_SET = r"\bDO\s+UPDATE\s+SET\b(?:(?!\bWHERE\b).)*?\(\s*SELECT\b"
WRITES = r"\b(INSERT\s+INTO|UPDATE\s+[\"{\w]|DELETE\s+FROM|ON\s+CONFLICT|DO\s+UPDATE)"
DDL_IN_IT = r"(?:\A|;)\s*(CREATE|ALTER|DROP|TRUNCATE)\b"
SEVERAL = r";\s*\S"
_NOISE = re.compile(r"--[^\n]*|/\*.*?\*/|\$\$.*?\$\$", re.S)
#: They parse SQL of other programs and send none of their own.
NOT_SENT = ("translate", "tokens")


def modules(package: ModuleType) -> list[ModuleType]:
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(name) for name in names if not name.endswith(NOT_SENT)]


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, (tuple, list, set, frozenset)) else []


MODULES = [*modules(ciris_store_core.sql), *modules(ciris_store_postgres)]
STATEMENTS = [
    (f"{module.__name__}.{name}", text)
    for module in MODULES
    for name, value in vars(module).items()
    if not name.startswith("__")
    for text in texts(value)
    if _STATEMENT.match(_NOISE.sub("", text))
]
DDL = [
    (f"{migration.version:03}_{migration.name}", statement)
    for migration in load_migrations("ciris_store_postgres")
    for statement in migration.statements
]


def literals(source: str) -> list[str]:
    """Every text in a program that is not a docstring; an f-string as one text, with {x} where values stand."""
    tree = ast.parse(source)
    skipped = {id(part) for each in ast.walk(tree) if isinstance(each, ast.JoinedStr) for part in each.values}
    for each in ast.walk(tree):
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            skipped.add(id(each.value))
    found = []
    for each in ast.walk(tree):
        if isinstance(each, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{x}" for part in each.values))
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in skipped:
            found.append(each.value)
    return found


LITERALS = [
    (f"{module.__name__}:{text[:40]!r}", text)
    for module in MODULES
    for text in literals(Path(str(module.__file__)).read_text())
    if " " in text.strip() or "(" in text
]


def problems(statement: str) -> list[str]:
    """Return the rules that a statement breaks."""
    plain = _NOISE.sub(" ", statement)
    writes = re.search(WRITES, plain, re.I)
    rules = {
        "session state": re.search(SESSION_STATE, plain, re.I | re.S),
        "MERGE": re.search(r"\bMERGE\s+INTO\b", plain, re.I),
        "trigger": re.search(r"\bTRIGGER\b", plain, re.I),
        "changes by itself in a write": writes and re.search(CHANGES_BY_ITSELF, plain, re.I),
        "STABLE function in INSERT ... SELECT": re.search(INSERTS_SELECT, plain, re.I)
        and re.search(STABLE, plain, re.I),
        "subquery in DO UPDATE SET": re.search(SUBQUERY_IN_SET, plain, re.I | re.S),
        "SELECT *": re.search(r"\bSELECT\s+(\w+\.)?\*|\bRETURNING\s+\*", plain, re.I),
        "REPLACE": re.search(r"\bOR\s+REPLACE\b", plain, re.I),
        "DDL among others": re.search(DDL_IN_IT, plain, re.I) and re.search(SEVERAL, plain),
    }
    return [name for name, found in rules.items() if found]


def rendered(statement: str) -> str:
    """Return the text for the driver, with table names and PostgreSQL's fragments."""
    return PostgresDialect("agent").render(statement)


def test_statements_were_found() -> None:
    print(f"{len(STATEMENTS)} statements, {len(DDL)} of DDL, {len(LITERALS)} texts of the sources")
    assert len(STATEMENTS) > 80
    assert len(DDL) > 30
    assert len(LITERALS) > 300
    assert {name.rpartition(".")[0] for name, _ in STATEMENTS} > {
        f"ciris_store_{part}" for part in ("core.sql.tasks", "core.sql.audit", "postgres.tasks", "postgres.migrate")
    }


@pytest.mark.parametrize(("name", "statement"), STATEMENTS + DDL, ids=[name for name, _ in STATEMENTS + DDL])
def test_nothing_forbidden(name: str, statement: str) -> None:
    assert problems(statement) == []
    assert problems(rendered(statement)) == []


def test_nothing_forbidden_in_pieces_that_are_put_together_later() -> None:
    found = [(name, problems(text)) for name, text in LITERALS if problems(text)]
    assert found == []


def test_only_one_text_of_the_sources_asks_the_server_for_its_time() -> None:
    asking = [text for _, text in LITERALS if re.search(CHANGES_BY_ITSELF, text, re.I) and _STATEMENT.match(text)]
    assert asking == [NOW]


ALIKE = [
    upsert(INSERT, mode, frozenset(given), has_refs, keys)
    for mode in ("merge", "replace")
    for given in ((), KEPT_UNLESS_GIVEN)
    for has_refs in (False, True)
    for keys in (None, 2)
]


@pytest.mark.parametrize("statement", ALIKE)
def test_nothing_forbidden_in_writes_of_nodes_that_are_put_together(statement: str) -> None:
    assert problems(statement) == []


@pytest.mark.postgres
def test_no_insert_of_a_selection_calls_a_function_that_is_not_immutable(postgres_server: ExternalServer) -> None:
    inserts = [text for _, text in STATEMENTS if re.search(INSERTS_SELECT, _NOISE.sub(" ", text), re.I)]
    called = {name for text in inserts for name in re.findall(r"\b([a-z_0-9]+) ?\(", rendered(text))}
    assert {"unnest", "jsonb_array_elements"} < called
    url = postgres_server.create_database()
    names = ", ".join(f"'{name}'" for name in called)
    found = execute(url, f"SELECT proname FROM pg_proc WHERE provolatile <> 'i' AND proname IN ({names})")
    postgres_server.drop_database(url)
    assert found == []


def parse_trees(cursor: extensions.cursor, statement: str) -> str:
    """Return the server's parse trees of a text for the driver, with the number of each function and operator."""
    cursor.connection.notices.clear()
    for piece in statement.split(";"):
        numbers = itertools.count(1)
        cursor.execute("PREPARE p AS " + re.sub("%s", lambda _: f"${next(numbers)}", piece).replace("%%", "%"))  # noqa: B023
        cursor.execute("DEALLOCATE p")
    return "".join(cursor.connection.notices)


@pytest.mark.postgres
def test_no_write_calls_a_function_or_an_operator_that_is_not_immutable(postgres_server: ExternalServer) -> None:
    """Citus refuses an UPDATE that computes such a function of a column."""
    url = postgres_server.create_database()
    open_store(f"{url}?schema=agent").close()
    writes = [(name, rendered(text)) for name, text in STATEMENTS if re.search(WRITES, _NOISE.sub(" ", text), re.I)]
    whole = [(name, text) for name, text in writes if not re.search(r"\{\w+\}", text)]
    print(f"{len(whole)} of {len(writes)} writes; the others are put together when they are run")
    assert len(whole) > 80
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid::text, proname FROM pg_proc WHERE provolatile <> 'i'")
        changing = dict(cursor.fetchall())
        cursor.execute("SET client_min_messages = log; SET debug_print_parse = on; SET debug_pretty_print = off")
        called = {name: re.findall(r":(?:op)?funcid (\d+)", parse_trees(cursor, text)) for name, text in whole}
    assert sum(map(len, called.values())) > 100
    assert [(name, changing[number]) for name, found in called.items() for number in found if number in changing] == []
    postgres_server.drop_database(url)


@pytest.mark.postgres
def test_each_change_of_tables_and_indexes_is_alone_in_its_message() -> None:
    with PostgresServer(fast=True, settings="log_statement = ddl\n") as server, open_store(server.url()) as store:
        store.documents.create_index("a")
        with store.transaction() as tx:
            tx.documents.create_index("b")
        store.documents.drop_index("a")
        messages = re.findall(r"LOG:  statement: \s*(\w+ \w+)", server.log())
    assert {"CREATE TABLE", "CREATE INDEX", "DROP INDEX"} <= set(messages)
    assert [each for each in messages if each.split()[0] not in ("CREATE", "ALTER", "DROP")] == []


def test_fragments_of_the_dialect_ask_no_clock() -> None:
    assert not [text for text in PostgresDialect("agent")._names.values() if re.search(CHANGES_BY_ITSELF, text, re.I)]


@pytest.mark.parametrize("statement", [text for _, text in DDL], ids=[name for name, _ in DDL])
def test_migrations_ask_no_clock(statement: str) -> None:
    assert not re.search(CHANGES_BY_ITSELF, statement, re.I)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("SET search_path = agent", "session state"),
        ("SET /* for now */ search_path = agent", "session state"),
        ("BEGIN; SET work_mem = '5MB'", "session state"),
        ("SET work_mem TO 5; SELECT 1", "session state"),
        ("SET TIME ZONE 'UTC'", "session state"),
        ("SELECT set_config('work_mem', '5MB', false)", "session state"),
        ("SELECT pg_advisory_lock(1)", "session state"),
        ("SELECT pg_catalog.pg_try_advisory_lock(1)", "session state"),
        ("CREATE TEMPORARY TABLE t (a int)", "session state"),
        ("create temp\ntable t (a int)", "session state"),
        ("LISTEN channel", "session state"),
        ("PREPARE a AS SELECT 1", "session state"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "session state"),
        ("MERGE INTO tasks USING x", "MERGE"),
        ("CREATE TRIGGER t AFTER INSERT ON tasks", "trigger"),
        ("UPDATE {tasks} SET updated_at = now()", "changes by itself in a write"),
        ("UPDATE {tasks} SET updated_at = now/**/()", "changes by itself in a write"),
        ("WITH a AS (SELECT clock_timestamp() AS t) UPDATE {tasks} SET a = t FROM a", "changes by itself in a write"),
        ("INSERT INTO {tasks} VALUES (CURRENT_TIMESTAMP)", "changes by itself in a write"),
        ("INSERT INTO {tasks} VALUES ('now'::timestamptz)", "changes by itself in a write"),
        ("INSERT INTO {tasks} VALUES (gen_random_uuid())", "changes by itself in a write"),
        (
            "WITH v AS (SELECT a FROM jsonb_to_recordset(?) AS r (a text)) INSERT INTO {t} AS e (a) SELECT a FROM v",
            "STABLE function in INSERT ... SELECT",
        ),
        ("INSERT INTO {t} (a)\nSELECT to_char(b, 'YYYY') FROM {u}", "STABLE function in INSERT ... SELECT"),
        (
            "INSERT INTO {t} (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET b = 1, c = (\n SELECT max(c) FROM {u})",
            "subquery in DO UPDATE SET",
        ),
        ("SELECT * FROM {tasks}", "SELECT *"),
        ("SELECT t.* FROM {tasks} t", "SELECT *"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int", "REPLACE"),
        ("BEGIN; CREATE TABLE t (a int)", "DDL among others"),
        ("CREATE TABLE t (a int); CREATE TABLE u (a int)", "DDL among others"),
    ],
)
def test_the_rules_catch_what_they_are_for(statement: str, problem: str) -> None:
    assert problem in problems(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL lock_timeout = '1s'",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 1",
        "SELECT clock_timestamp()",
        "SELECT pg_try_advisory_xact_lock(1)",
        "UPDATE {tasks} SET fence = 1",
        "UPDATE {tasks} SET status = 'done' WHERE a = ?",
        "CREATE TABLE t (a int);",
        "INSERT INTO {t} (a) VALUES (to_jsonb(?::text))",
        "INSERT INTO {t} (a, b) SELECT v ->> 0, v -> 1 FROM jsonb_array_elements(?::jsonb) v",
        "INSERT INTO {t} (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET b = (t.b + 1) WHERE NOT EXISTS (SELECT 1)",
    ],
)
def test_the_rules_let_the_harmless_through(statement: str) -> None:
    assert problems(statement) == []


def test_a_statement_that_is_put_together_in_a_function_is_read() -> None:
    source = 'def f(name):\n    "A docstring: SET ROLE x."\n    return f"SET ROLE {name}"\n'
    assert [problems(text) for text in literals(source)] == [["session state"]]


# --- the same schema as on SQLite -----------------------------------------------------------------


def tables(package: str) -> dict[str, list[str]]:
    """The columns of each table of the contract, in order."""
    found: dict[str, list[str]] = {}
    for migration in load_migrations(package):
        for statement in migration.statements:
            if made := re.match(r"(?:--.*\n)*CREATE TABLE \{(\w+)\} ?\((.*)\)", statement, re.S):
                found[made[1]] = re.findall(r"^\s*([a-z]\w*) ", made[2], re.M)
            elif added := re.match(r"ALTER TABLE \{(\w+)\} ADD COLUMN (\w+)", statement):
                found[added[1]].append(added[2])
    return found


def indexes(package: str) -> set[str]:
    statements = [statement for migration in load_migrations(package) for statement in migration.statements]
    return {text for each in statements for text in re.findall(r"CREATE INDEX [^;]*", each) if "USING gin" not in text}


PARTS = "CREATE INDEX document_parts_by_value ON document_parts (index_number, value, path, key)"
"""SQLite's index of parts of documents, where PostgreSQL makes an index of an expression."""


def test_columns_and_indexes_are_those_of_sqlite() -> None:
    ours, theirs = tables("ciris_store_postgres"), tables("ciris_store_sqlite")
    theirs["graph_nodes"].remove("node_number")
    ours["graph_nodes"].remove("words")  # which SQLite has in a table of its own
    ours["documents"].remove("filtered")  # which SQLite reads from the text itself
    assert len(ours) == 16
    assert ours == theirs
    assert indexes("ciris_store_postgres") == indexes("ciris_store_sqlite") - {PARTS}
