"""Raw statements in SQLite's style: translated without harm, run on both databases, or refused by name."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciris_store_core import open_store
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.sql.translate import Table, translate
from tests.support.pgserver import ExternalServer, shared_server

TABLES = (
    Table("tasks", (("task_id",),)),
    Table("graph_nodes", (("id", "scope"), ("label",)), frozenset({"attributes"})),
)
TARGETS: tuple[Literal["sqlite"], Literal["postgres"]] = ("sqlite", "postgres")


def postgres(sql: str) -> str:
    return translate(sql, "postgres", tables=TABLES)


def sqlite(sql: str) -> str:
    return translate(sql, "sqlite", tables=TABLES)


# --- placeholders and what looks like them ----------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ?", "SELECT %s"),
        ("SELECT a FROM t WHERE b=? AND c>=? OR d<>?", "SELECT a FROM t WHERE b=%s AND c>=%s OR d<>%s"),
        ("VALUES (?,?, -?)", "VALUES (%s,%s, -%s)"),
        ("SELECT ?||'x', ?|4, ?&4", "SELECT %s||'x', %s|4, %s&4"),
        ("SELECT CASE WHEN ? THEN ? ELSE ? END", "SELECT CASE WHEN %s THEN %s ELSE %s END"),
        ("SELECT 1 LIMIT ? OFFSET ?", "SELECT 1 LIMIT %s OFFSET %s"),
        ("SELECT ?1, ?2, ?", "SELECT %s, %s, %s"),
        ("SELECT :a, :b_2 WHERE x = :a", "SELECT %(a)s, %(b_2)s WHERE x = %(a)s"),
        ("SELECT :a::text, x::jsonb, '1'::int", "SELECT %(a)s::text, x::jsonb, '1'::int"),
        ("SELECT '12:30', ':name', '?', 'it''s ?'", "SELECT '12:30', ':name', '?', 'it''s ?'"),
        ("SELECT '100%', 7 % ? -- 5% ?", "SELECT '100%%', 7 %% %s -- 5%% ?"),
        ('SELECT "a?:b%", "q""?" FROM t', 'SELECT "a?:b%%", "q""?" FROM t'),
        ("SELECT 1 /* ? :x 'open */ , ?", "SELECT 1 /* ? :x 'open */ , %s"),
        ("SELECT 1 -- it's ?\n, ?", "SELECT 1 -- it's ?\n, %s"),
        ("SELECT $$ ? :a % $$, $q$ $$ ? $q$, ?", "SELECT $$ ? :a %% $$, $q$ $$ ? $q$, %s"),
        (r"SELECT E'a\'?', ?", r"SELECT E'a\'?', %s"),
        (r"SELECT 'a\', ?", r"SELECT 'a\', %s"),
        ("SELECT a ? 'k', a ?| array['x'], b ?& ARRAY[?]", "SELECT a ? 'k', a ?| array['x'], b ?& ARRAY[%s]"),
        ("SELECT a ? ? AND (b) ? ?", "SELECT a ? %s AND (b) ? %s"),
        ("SELECT t.offset ? 'k', a::jsonb ? ?", "SELECT t.offset ? 'k', a::jsonb ? %s"),
        ("SELECT a @> ?, a @? ?, a #>> ?, a ->> 'k'", "SELECT a @> %s, a @? %s, a #>> %s, a ->> 'k'"),
        ("SELECT a WHERE b == ?", "SELECT a WHERE b = %s"),
        ("SELECT IN('a?')", "SELECT IN('a?')"),
    ],
)  # fmt: skip
def test_only_placeholders_are_placeholders(sql: str, expected: str) -> None:
    assert postgres(sql) == expected


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT 'open", "Close the string"),
        ('SELECT "open', "Close the quoted name"),
        ("SELECT 1 /* open", "Close the comment"),
        ("SELECT 1 /* a /* b */", "comment inside a comment"),
        ("SELECT 1 -- a\r, ?\n", "carriage return"),
        ("SELECT `a`", "double quotes"),
        ("SELECT [a] FROM t", r"\["),
        ("SELECT $a", "placeholders as"),
        ("SELECT @a", "placeholders as"),
        ("SELECT :1", "placeholders as"),
        ("SELECT x'AB'", "Bind the value"),
        ("SELECT U&'x'", "Bind the value"),
        ("SELECT ?, :a", "both"),
        ("SELECT ?2, ?1", r"\?2 is placeholder number 1"),
        ("SELECT ?1, ?1", r"\?1 is placeholder number 2"),
        ("SELECT a ?1", "jsonb"),
        ("SELECT foo ? FROM t", "jsonb"),
        ("SELECT foo ?, 1", "jsonb"),
        ("SELECT ? 'x'", "followed by a value"),
        ("SELECT a :x", "follows a value"),
        ("SELECT 1; DELETE FROM tasks", "more than one statement"),
        ("SELECT '\0'", "NUL"),
        ("SELECT '\ud800'", "half of a character"),
        ("SELECT \v1", "no meaning"),
        ("SELECT attributes ->> '$.a'", "json_extract"),
        ("SELECT attributes -> '0'", "json_extract"),
        ("SELECT attributes ->> ?", "simple key"),
        ("SELECT attributes ->> 'a.b'", "simple key"),
        ("SELECT attributes -> ('$.a')", "simple key"),
        ("SELECT attributes -> 0", "simple key"),
        ("SELECT ?12345678901", "followed by a value"),
        ("SELECT json_extract(attributes, ?)", "bound path"),
        ("SELECT json_extract(attributes, '$.a', '$.b')", "JSON column"),
        ("SELECT json_extract(description, '$.a')", "JSON column"),
        ("SELECT json_extract(lower(attributes), '$.a')", "JSON column"),
        ("SELECT json_extract(attributes)", "one column and one path"),
        ("SELECT json_extract(attributes, '$.a'", "not closed"),
        ("SELECT json_extract(attributes, 'a')", "path"),
        ("SELECT json_extract(attributes, '$.')", "path"),
        ("SELECT json_extract(attributes, '$.a\"b')", "path"),
        (r"SELECT json_extract(attributes, '$.a\b')", "path"),
        ("SELECT json_extract(attributes, '$[*]')", "path"),
        ("SELECT a LIKE ? || '%'", "parentheses"),
        ("UPDATE OR REPLACE tasks SET a = 1", "UPDATE OR REPLACE"),
        ("INSERT OR ABORT INTO tasks (task_id) VALUES (?)", "INSERT OR ABORT"),
        ("INSERT OR REPLACE INTO other (a) VALUES (?)", "not the store's"),
        ("INSERT OR REPLACE INTO tasks VALUES (?)", "list of columns"),
        ("INSERT OR REPLACE INTO tasks (description) VALUES (?)", "Name task_id"),
        ("INSERT OR REPLACE INTO graph_nodes (id) VALUES (?)", "Name id and scope"),
        ("INSERT OR IGNORE INTO tasks (task_id) VALUES (?) ON CONFLICT DO NOTHING", "with ON CONFLICT"),
        ("INSERT OR IGNORE INTO tasks (task_id) SELECT id FROM graph_nodes", "without WHERE"),
        ("INSERT OR IGNORE", "without INTO"),
    ],
)
def test_what_is_not_safe_is_refused_by_name_for_both(sql: str, named: str) -> None:
    for target in TARGETS:
        with pytest.raises(InvalidArgument, match=named):
            translate(sql, target, tables=TABLES)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="mysql"):
        translate("SELECT 1", "mysql", tables=TABLES)  # type: ignore[arg-type]


def test_sqlite_gets_its_own_text_back() -> None:
    sql = "SELECT json_extract(attributes, '$.a') == ?, '12:30%' LIKE ? -- ?"
    assert sqlite(sql) == sql


# --- INSERT OR ... ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "INSERT OR REPLACE INTO tasks (task_id, description) VALUES (?, ?)",
            "INSERT INTO tasks (task_id, description) VALUES (?, ?)"
            " ON CONFLICT (task_id) DO UPDATE SET description = excluded.description",
        ),
        (
            'replace into "tasks" ("task_id", priority) VALUES (?, ?) RETURNING task_id;',
            'INSERT into "tasks" ("task_id", priority) VALUES (?, ?)'
            ' ON CONFLICT ("task_id") DO UPDATE SET priority = excluded.priority RETURNING task_id;',
        ),
        (
            "INSERT OR REPLACE INTO graph_nodes (label, attributes) VALUES (?, ?)",
            "INSERT INTO graph_nodes (label, attributes) VALUES (?, ?)"
            " ON CONFLICT (label) DO UPDATE SET attributes = excluded.attributes",
        ),
        (
            "INSERT OR REPLACE INTO tasks (task_id) VALUES (?)",
            "INSERT INTO tasks (task_id) VALUES (?) ON CONFLICT (task_id) DO UPDATE SET task_id = excluded.task_id",
        ),
        (
            "INSERT --c\n OR --d\n IGNORE INTO tasks AS t (task_id) VALUES ('RETURNING') -- end",
            "INSERT --c\n --d\n INTO tasks AS t (task_id) VALUES ('RETURNING') ON CONFLICT DO NOTHING -- end",
        ),
        (
            "WITH n(x) AS (SELECT 1) INSERT OR IGNORE INTO tasks (task_id) SELECT x FROM n WHERE true ;",
            "WITH n(x) AS (SELECT 1) INSERT INTO tasks (task_id) SELECT x FROM n WHERE true ON CONFLICT DO NOTHING ;",
        ),
        ("SELECT replace(a, 'b', 'c') FROM tasks", "SELECT replace(a, 'b', 'c') FROM tasks"),
    ],
)
def test_insert_or(sql: str, expected: str) -> None:
    assert sqlite(sql) == expected
    assert postgres(sql) == expected.replace("?", "%s")


# --- JSON and LIKE ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a", "(attributes  ->> 'a')"),
        ("$.a.b", "(attributes  -> 'a' ->> 'b')"),
        ('$."a.b%".c', "(attributes  -> 'a.b%%' ->> 'c')"),
        ("$.it''s", "(attributes  ->> 'it''s')"),
        ("$", "(attributes  #>> '{}')"),
        ("$.a[#-1]", "(jsonb_path_query_first(attributes , 'strict $.\"a\"[last - 0]', '{}', true) #>> '{}')"),
    ],
)
def test_json_extract(path: str, expected: str) -> None:
    assert postgres(f"SELECT json_extract(attributes, '{path}')") == f"SELECT {expected}"


def test_like() -> None:
    assert postgres("SELECT a NOT LIKE ? AND b") == "SELECT a NOT ILIKE %s COLLATE \"C\" ESCAPE '' AND b"
    assert postgres("SELECT a LIKE (? || '%') ESCAPE '!'") == "SELECT a ILIKE (%s || '%%') COLLATE \"C\" ESCAPE '!'"


def test_an_insert_that_ends_in_a_pattern_keeps_both_additions() -> None:
    sql = "INSERT OR IGNORE INTO tasks (task_id) SELECT id FROM graph_nodes WHERE id LIKE ?"
    assert postgres(sql).endswith("id ILIKE %s COLLATE \"C\" ESCAPE '' ON CONFLICT DO NOTHING")


# --- any statement ----------------------------------------------------------------------------

_TEXT = st.text(st.sampled_from("ab?:%$'\"\\-/*;[]{}\n é0"), max_size=8)
_STRINGS = _TEXT.map(lambda text: "'" + text.replace("'", "''") + "'")
_NAMES = _TEXT.map(lambda text: '"n' + text.replace('"', '""') + '"')
_DOLLARS = _TEXT.map(lambda text: "$q$" + text.replace("$", "") + "$q$")
_COMMENTS = st.one_of(
    _TEXT.map(lambda text: "/* " + text.replace("*", "").replace("/", "") + " */"),
    _TEXT.map(lambda text: "--" + text.replace("\n", "") + "\n"),
)
_WORDS = st.sampled_from(["a", "b.c", "x::text", "f(1)", "a ? 'k'", "a ?| ARRAY['%']", "7 % 2", ".5", "NULL"])
_PLACEHOLDERS = st.sampled_from(["?", "(?)", "-?", "a = ?", "a ? ?", "'%' || ?", "?::text"])
_ITEMS = st.tuples(st.one_of(_STRINGS, _NAMES, _DOLLARS, _WORDS, _PLACEHOLDERS), _COMMENTS | st.just(" "))

_OPAQUE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$q\$[^$]*\$q\$|--[^\n]*|/\*.*?\*/""", re.DOTALL)


@given(st.lists(_ITEMS, min_size=1, max_size=8))
def test_literals_names_and_comments_come_out_as_they_went_in(items: list[tuple[str, str]]) -> None:
    sql = "SELECT " + ",".join(item + comment for item, comment in items)
    result = postgres(sql)
    bare = [_OPAQUE.sub("", item) for item, _ in items]
    wanted = sum(item.count("?") - ("a ?" in item) for item in bare)
    assert sqlite(sql) == sql
    assert [text.replace("%%", "%") for text in _OPAQUE.findall(result)] == _OPAQUE.findall(sql)
    assert len(re.findall(r"(?<!%)(?:%%)*%s", _OPAQUE.sub("''", result))) == wanted
    assert (result % (("?",) * wanted)) == sql


# --- both databases ---------------------------------------------------------------------------

_DDL = """
CREATE TABLE tasks (task_id TEXT PRIMARY KEY, description TEXT, priority INTEGER NOT NULL DEFAULT 0);
CREATE TABLE thoughts (thought_id TEXT PRIMARY KEY, task_id TEXT REFERENCES tasks ON DELETE CASCADE);
CREATE TABLE graph_nodes (id TEXT, scope TEXT, label TEXT UNIQUE, attributes {json}, PRIMARY KEY (id, scope));
INSERT INTO tasks VALUES ('t1', 'first', 5);
INSERT INTO thoughts VALUES ('h1', 't1');
"""
_ATTRIBUTES = {
    "a": {"b": "deep", "0": "zero"}, "a.b": "dotted", "it's": "quoted", "100%": "percent", "list": ["x", ["y"]],
    "text": "scalar", "null": None, "é": "accent", "number": 5,
}  # fmt: skip


class Database:
    """One of the two, by what a caller does: a statement in SQLite's style, and values."""

    def __init__(self, target: Literal["sqlite", "postgres"], cursor: Any) -> None:
        self._target = target
        self._cursor = cursor

    def run(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(translate(sql, self._target, tables=TABLES), values)
        return list(self._cursor.fetchall()) if self._cursor.description else []


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    server = shared_server()
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "sqlite":
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript("PRAGMA foreign_keys = ON;" + _DDL.format(json="TEXT"))
            yield Database("sqlite", connection.cursor())
    else:
        # Never committed: closing the connection takes the tables away.
        with closing(psycopg2.connect(request.getfixturevalue("postgres_url"))) as other, other.cursor() as cursor:
            cursor.execute(_DDL.format(json="JSONB"))
            yield Database("postgres", cursor)


def test_replacing_keeps_what_depends_on_the_row_and_what_is_not_named(database: Database) -> None:
    database.run("INSERT OR REPLACE INTO tasks (task_id, description) VALUES (?, ?)", ("t1", "second"))
    assert database.run("SELECT description, priority FROM tasks") == [("second", 5)]
    assert database.run("SELECT thought_id FROM thoughts") == [("h1",)]


def test_ignoring_keeps_the_old_row(database: Database) -> None:
    source = "SELECT task_id, :d FROM thoughts WHERE true"
    sql = f"INSERT OR IGNORE INTO tasks (task_id, description) {source} RETURNING task_id"
    assert database.run(sql, {"d": "again"}) == []
    assert database.run("SELECT description FROM tasks") == [("first",)]


def test_literals_with_everything_in_them(database: Database) -> None:
    sql = "SELECT '12:30', '100%', '%s ? :a', 'it''s', 7 % ?, ? /* % ? */ -- 5% ?"
    assert database.run(sql, (4, "50%?")) == [("12:30", "100%", "%s ? :a", "it's", 3, "50%?")]
    assert database.run("SELECT '100%'") == [("100%",)]


def test_numbered_and_named_placeholders(database: Database) -> None:
    assert database.run("SELECT description FROM tasks WHERE task_id = ?1 AND priority = ?2", ("t1", 5)) == [("first",)]
    assert database.run("SELECT :é, :b, :é", {"é": "x", "b": "y"}) == [("x", "y", "x")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a.b", "deep"),
        ('$."a.b"', "dotted"),
        ("$.it''s", "quoted"),
        ("$.100%", "percent"),
        ("$.é", "accent"),
        ("$.list[0]", "x"),
        ("$.list[1][0]", "y"),
        ("$.list[#-2]", "x"),
        ("$.list[2]", None),
        ("$.a[0]", None),
        ('$.list."0"', None),
        ("$.text[0]", None),
        ("$.text[#-1]", None),
        ("$.text.b", None),
        ("$.null", None),
        ("$.absent.b", None),
    ],
)
def test_json_extract_finds_the_same_on_both(database: Database, path: str, expected: str | None) -> None:
    insert = "INSERT OR REPLACE INTO graph_nodes (id, scope, attributes) VALUES (?, ?, ?)"
    database.run(insert, ("n", "local", json.dumps(_ATTRIBUTES, ensure_ascii=False)))
    assert database.run(f"SELECT json_extract(n . attributes,'{path}') FROM graph_nodes n") == [(expected,)]
    compared = f"SELECT json_extract(attributes /* ' */, '{path}' ) = ? FROM graph_nodes"
    assert database.run(compared, (expected or "",)) == [(None if expected is None else True,)]


def test_a_number_of_json_is_a_text_until_cast(database: Database) -> None:
    database.run("INSERT OR IGNORE INTO graph_nodes (id, scope, attributes) VALUES ('n', 'local', ?)", ('{"n": 5}',))
    assert database.run("SELECT CAST(json_extract(attributes, '$.n') AS INTEGER) > ? FROM graph_nodes", (4,)) == [
        (True,)
    ]


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [("ABC", "a%", True), ("É", "é", False), ("100%", "100%", True), (r"a\_b", r"a\_b", True), ("a_b", r"a\_b", False)],
)
def test_like_means_the_same_on_both(database: Database, value: str, pattern: str, expected: bool) -> None:
    assert database.run("SELECT ? LIKE ?", (value, pattern)) == [(expected,)]
    assert database.run("SELECT ? NOT LIKE (? || '') AND 1 == 1", (value, pattern)) == [(not expected,)]
    assert database.run("SELECT 'a%' LIKE 'A!%' ESCAPE '!', 'ab' LIKE 'A!%' ESCAPE '!'") == [(True, False)]


@pytest.mark.postgres
def test_operators_of_jsonb_and_dollar_strings_reach_postgresql(postgres_url: str) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        sql = "SELECT '{\"k\":1}'::jsonb ? ?, '{\"k\":1}'::jsonb ?| ARRAY['k'], $$ ? % $$, E'\\'?', ?::text"
        cursor.execute(postgres(sql), ("k", 3))
        assert cursor.fetchall() == [(True, True, " ? % ", "'?", "3")]


# --- cost -------------------------------------------------------------------------------------


def test_a_statement_is_translated_once() -> None:
    sql = "SELECT 'translated once', ?"
    assert postgres(sql) is postgres(sql)


def test_importing_it_loads_no_parser() -> None:
    code = "import sys, ciris_store_core.sql.translate; print('sqlglot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def dialect_of(store: Any) -> Any:
    return store._backend.dialect


def test_the_adapter_belongs_to_the_open_store(postgres_server: ExternalServer, tmp_path: Path) -> None:
    """Two stores of different kinds side by side: each translates for its own database."""
    raw = "INSERT OR REPLACE INTO tasks (task_id, description) VALUES (?, '100% ?')"
    url = postgres_server.create_database()
    with open_store(f"sqlite:///{tmp_path}/a.db") as one, open_store(url) as two:
        on_sqlite, on_postgres = (dialect_of(store).translate(raw) for store in (one, two))  # type: ignore[attr-defined]
    postgres_server.drop_database(url)
    assert "VALUES (?, '100% ?') ON CONFLICT (task_id) DO UPDATE" in on_sqlite
    assert "VALUES (%s, '100%% ?') ON CONFLICT (task_id) DO UPDATE" in on_postgres
