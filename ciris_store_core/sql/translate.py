r"""Translation of raw statements in SQLite's style for the open database.

- ``INSERT OR REPLACE`` and ``REPLACE INTO`` become ``ON CONFLICT (key) DO UPDATE``, on SQLite too, because REPLACE
  deletes the old row, and with it the rows that depend on it. Columns that are not named keep their values. A clash
  with another unique key raises, and so does one key twice in a statement on PostgreSQL.
- ``INSERT OR IGNORE`` becomes ``ON CONFLICT DO NOTHING``, which does not ignore a broken NOT NULL or CHECK.
- ``json_extract(column, '$.a."b.c"')`` becomes ``(column -> 'a' ->> 'b.c')`` on PostgreSQL, and a path with an index
  ``jsonb_path_query_first``. That is a text, also where SQLite gives a number (1 and 0 for true and false): cast it.
- ``LIKE`` becomes ``ILIKE ... COLLATE "C"``, without an escape character unless ESCAPE names one: it ignores the case
  of ASCII letters only, as on SQLite. ``==`` becomes ``=``.
- ``?`` becomes ``%s``, ``:name`` becomes ``%(name)s``. ``?1``, ``?2`` may be written where each number is the place of
  its placeholder, so that the values stay a sequence; to use a value twice or in another order, write names.
- ``%`` is doubled, in comments and literals too, as psycopg2 wants it. So execute the result with a sequence or
  mapping of values, be it an empty one, never with None.

A ``?`` is a placeholder where an operand may begin: at the start, after an operator, ``(`` or ``,``, or after a
keyword such as WHERE. After an operand (a name, a literal, ``)``, a placeholder) ``?``, ``?|`` and ``?&`` are the
operators of jsonb and stay. Where the token that follows contradicts the choice, the statement is refused.

Literals, ``$$`` strings, quoted names, comments and casts stay as they are. A construct that the two databases read
differently and that is not translated is refused for both, so that no statement works on one and is refused on the
other. Each database decides the meaning of functions and types, and the place of NULLs in an order: write NULLS FIRST
or LAST.

The tokenizer is our own, one regular expression, because the text mixes both languages. sqlglot's, read as SQLite,
fails on ``E'\''`` and finds placeholders inside ``$$`` strings, gives no place to comments, and takes 80 ms to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.sql.tokens import AFTER_OPERAND, Token, ends_operand, refused, tokenize

Target = Literal["sqlite", "postgres"]


@dataclass(frozen=True, slots=True)
class Table:
    """Properties of a table that a translation uses. Names are in lower case."""

    name: str
    keys: tuple[tuple[str, ...], ...]
    """The primary key, then the other unique keys: INSERT OR REPLACE matches by the first that it names in full."""
    json_columns: frozenset[str] = frozenset()
    """Columns that PostgreSQL keeps as jsonb."""


def translate(sql: str, target: Target, *, tables: tuple[Table, ...]) -> str:
    """Translate one statement in SQLite's style for the driver of ``target`` (sqlite3, or psycopg2 with ``%s``).

    Args:
        sql: One statement, with ``?`` or ``:name`` placeholders (not both).
        target: The kind of the open database.
        tables: The tables that INSERT OR REPLACE and ``json_extract`` may name.

    Returns:
        The translated text. It is made once for equal arguments, and kept among the 512 used last.

    Raises:
        InvalidArgument: The statement holds a construct that cannot be translated safely; the message names it.
    """
    return _translate(sql, target, tables)


@lru_cache(maxsize=512)
def _translate(sql: str, target: Target, tables: tuple[Table, ...]) -> str:
    if target not in ("sqlite", "postgres"):
        raise InvalidArgument(f"statements are translated for sqlite and postgres, not for {target!r}")
    tokens = list(tokenize(sql))
    code = [token for token in tokens if token.kind not in ("space", "comment")]
    _check_neighbours(code)
    _check_placeholders(code)
    _check_or_clauses(code)
    _rewrite_insert(tokens, code, {table.name: table for table in tables})
    for_sqlite = "".join(token.out + token.after for token in tokens)
    _rewrite_for_postgres(code, tables)  # for SQLite too: a construct that it refuses is refused for both
    return for_sqlite if target == "sqlite" else "".join(map(_for_psycopg2, tokens))


def _rewrite_for_postgres(code: list[Token], tables: tuple[Table, ...]) -> None:
    for token in code:
        if token.key == "==":
            token.out = "="
    _rewrite_like(code)
    _rewrite_json_extract(code, frozenset().union(*(table.json_columns for table in tables)))


# --- checks -----------------------------------------------------------------------------------


def _check_neighbours(code: list[Token]) -> None:
    end = Token("op", "", 0, "")
    before = Token("op", "(", 0, "")
    for token, following in zip(code, [*code[1:], end], strict=True):
        if token.kind == "param":
            _check_placeholder_place(token, before, following)
        elif token.kind == "op":
            _check_operator(token, before, following)
        before = token


def _check_placeholder_place(token: Token, before: Token, following: Token) -> None:
    if following.kind in ("string", "number", "param", "name"):
        raise refused(f"{token.text} is followed by a value", "Write an operator or a comma between them.")
    if token.text.startswith(":") and ends_operand(before):
        raise refused(f"{token.text} follows a value", "Write an operator or a comma between them.")


def _check_operator(token: Token, before: Token, following: Token) -> None:
    if token.text.startswith("?") and not _starts_operand(following):
        raise refused(
            f"{token.text} follows a value, so it is the operator of jsonb, but no value follows it",
            "Write a placeholder only where a value is expected.",
        )
    if token.text == "[" and before.key != "ARRAY":
        raise refused("the character '['", 'Quote names with double quotes ("name").')
    if token.text == ";" and following.text:
        raise refused("more than one statement", "Run them one by one.")
    if token.text in ("->", "->>"):
        _check_arrow(token, following)


def _starts_operand(token: Token) -> bool:
    if token.kind == "op":
        return token.text in ("(", "-", "+")
    # Digits right after the mark look like ?1: a placeholder in a place where none can be.
    return token.kind != "number" and token.key not in AFTER_OPERAND


def _check_arrow(token: Token, following: Token) -> None:
    # SQLite takes other keys for paths or indexes, and PostgreSQL does not.
    if not re.fullmatch(r"""'[A-Za-z_\x80-\U0010ffff][^.\[\]"\\']*'""", following.text):
        raise refused(
            f"{token.text} with anything but a simple key as a literal", "Use json_extract(column, '$.a[0]')."
        )


def _check_or_clauses(code: list[Token]) -> None:
    for verb, word, choice in zip(code, code[1:], code[2:], strict=False):
        if word.key != "OR" or verb.key not in ("INSERT", "UPDATE"):
            continue
        if verb.key == "UPDATE" or choice.key not in ("REPLACE", "IGNORE"):
            raise refused(f"{verb.key} OR {choice.key}", "Use INSERT OR REPLACE or INSERT OR IGNORE.")


def _check_placeholders(code: list[Token]) -> None:
    texts = [token.text for token in code if token.kind == "param"]
    if len({text[0] for text in texts}) > 1:
        raise refused("both ? and :name placeholders", "Use one kind.")
    for place, text in enumerate(texts, 1):
        if text[0] == "?" and text[1:] and int(text[1:]) != place:
            raise refused(f"{text} is placeholder number {place}", "Write :name to give values another order.")


def _closing(code: list[Token], opening: int) -> int:
    """Return the index of the parenthesis that closes the one at ``opening``."""
    for index in range(opening + 1, len(code)):
        if code[index].key == ")" and code[index].depth == code[opening].depth:
            return index
    raise refused("a parenthesis is not closed", "Close it.")


# --- INSERT OR ... ----------------------------------------------------------------------------


def _rewrite_insert(tokens: list[Token], code: list[Token], tables: dict[str, Table]) -> None:
    """Turn OR REPLACE, REPLACE INTO and OR IGNORE into ON CONFLICT."""
    start, into, choice = _find_insert(code)
    if not choice:
        return
    rest = code[into:]
    if not rest or rest[0].key != "INTO":
        raise refused(f"INSERT OR {choice} without INTO", "Write INTO and the table.")
    if any(token.key == "CONFLICT" for token in rest):
        raise refused(f"INSERT OR {choice} with ON CONFLICT", "Use one of them.")
    _check_source(rest, choice)
    clause = " ON CONFLICT DO NOTHING" if choice == "IGNORE" else _update_clause(rest, tables)
    code[start].out = "INSERT"
    for token in code[start + 1 : into]:
        _erase(tokens, token)
    _last_of_insert(rest).after = clause


def _find_insert(code: list[Token]) -> tuple[int, int, str]:
    for index, token in enumerate(code):
        following = [other.key for other in code[index + 1 : index + 4]]
        if token.key == "INSERT" and following[:1] == ["OR"]:
            return index, index + 3, following[1]
        if token.key == "REPLACE" and following[:1] == ["INTO"]:
            return index, index + 1, "REPLACE"
    return 0, 0, ""


def _erase(tokens: list[Token], token: Token) -> None:
    # The space after it is removed too, never the one before: that one may end a comment.
    index = next(index for index, other in enumerate(tokens) if other is token)
    token.out = ""
    if tokens[index + 1].kind == "space":
        tokens[index + 1].out = ""


def _check_source(rest: list[Token], choice: str) -> None:
    clauses = [token.key for token in rest if token.depth == 0 and token.key in ("FROM", "WHERE", "JOIN")]
    if clauses and clauses[-1] != "WHERE":
        raise refused(
            f"INSERT OR {choice} from a SELECT without WHERE",
            "Add WHERE true: without it SQLite takes ON CONFLICT for the condition of a join.",
        )


def _update_clause(rest: list[Token], tables: dict[str, Table]) -> str:
    table = tables.get(rest[1].identifier) if len(rest) > 1 else None
    if table is None:
        raise refused("INSERT OR REPLACE into a table that is not the store's", "Write INSERT ... ON CONFLICT.")
    columns = _named_columns(rest[2:])
    key = next((key for key in table.keys if columns.keys() >= set(key)), None)
    if key is None:
        raise refused(f"INSERT OR REPLACE into {table.name} without its key", f"Name {' and '.join(table.keys[0])}.")
    changed = [text for name, text in columns.items() if name not in key] or [columns[name] for name in key]
    assignments = ", ".join(f"{text} = excluded.{text}" for text in changed)
    return f" ON CONFLICT ({', '.join(columns[name] for name in key)}) DO UPDATE SET {assignments}"


def _named_columns(rest: list[Token]) -> dict[str, str]:
    """Return the columns that an INSERT names, with their spelling; ``rest`` begins after the table."""
    if rest and rest[0].key == "AS":
        rest = rest[2:]
    if not rest or rest[0].key != "(":
        raise refused("INSERT OR REPLACE without a list of columns", "Name the columns.")
    return {token.identifier: token.text for token in rest[1 : _closing(rest, 0)] if token.identifier}


def _last_of_insert(rest: list[Token]) -> Token:
    for before, token in pairwise(rest):
        if token.depth == 0 and token.key in ("RETURNING", ";"):
            return before
    return rest[-1]


# --- LIKE and json_extract --------------------------------------------------------------------


def _rewrite_like(code: list[Token]) -> None:
    """Make LIKE ignore the case of ASCII letters, without an escape character unless one is named."""
    for index, token in enumerate(code[:-1]):
        if token.key != "LIKE":
            continue
        last = _closing(code, index + 1) if code[index + 1].key == "(" else index + 1
        following = code[last + 1].key if last + 1 < len(code) else ""
        if following and following[0] not in "),;" and not following[0].isalpha():
            raise refused("LIKE with a pattern of several parts", "Put the pattern in parentheses.")
        token.out = "ILIKE"
        escape = "" if following == "ESCAPE" else " ESCAPE ''"
        code[last].after = f' COLLATE "C"{escape}{code[last].after}'


_STEP = re.compile(
    r"""\.(?:"(?P<quoted>[^"\\]+)"|(?P<plain>[^".\[\]\\]+))|\[(?P<index>\#-[1-9]\d{0,8}|\d{1,9})\]""", re.ASCII
)


def _rewrite_json_extract(code: list[Token], columns: frozenset[str]) -> None:
    for index, token in enumerate(code[:-1]):
        if token.key != "JSON_EXTRACT" or code[index + 1].key != "(":
            continue
        arguments = code[index + 2 : _closing(code, index + 1)]
        _check_arguments(arguments, columns)
        before, after = _postgres_path(arguments[-1].text[1:-1].replace("''", "'"))
        token.out = before
        code[index + 1].out = arguments[-2].out = ""
        arguments[-1].out = after


def _check_arguments(arguments: list[Token], columns: frozenset[str]) -> None:
    if arguments and arguments[-1].kind == "param":
        raise refused("json_extract with a bound path", "Write the path as a literal.")
    if len(arguments) < 3 or arguments[-2].key != "," or not arguments[-1].text.startswith("'"):
        raise refused("json_extract of other things than one column and one path", "Write json_extract(column, '$.a').")
    column = arguments[:-2]
    is_name = all(token.key == "." if place % 2 else token.identifier for place, token in enumerate(column))
    if not is_name or column[-1].identifier not in columns:
        raise refused("json_extract of an argument that is no JSON column of the store", "Name a JSON column.")


def _postgres_path(path: str) -> tuple[str, str]:
    """Return the texts that go before and after the column."""
    steps = list(_STEP.finditer(path, 1))
    if not path.startswith("$") or "".join(step[0] for step in steps) != path[1:]:
        raise refused("a path of json_extract", "Write '$.key', '$.\"any.key\"' or '$[0]', without backslashes.")
    keys = [step["quoted"] or step["plain"] for step in steps]
    if not keys:
        return "(", " #>> '{}'"
    if all(keys):
        literals = [_literal(key) for key in keys]
        return "(", "".join(f" -> {literal}" for literal in literals[:-1]) + f" ->> {literals[-1]}"
    # An index by the operators would find a number or text in the place of a list, and a key "0" with #>>.
    strict = "".join(
        f'."{key}"' if key else _strict_index(step["index"]) for key, step in zip(keys, steps, strict=True)
    )
    return "(jsonb_path_query_first(", f", {_literal('strict $' + strict)}, '{{}}', true) #>> '{{}}'"


def _strict_index(index: str) -> str:
    return f"[last - {int(index[2:]) - 1}]" if index.startswith("#") else f"[{int(index)}]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- the result -------------------------------------------------------------------------------


def _for_psycopg2(token: Token) -> str:
    after = token.after.replace("%", "%%")
    if token.kind != "param":
        return token.out.replace("%", "%%") + after
    return ("%s" if token.text.startswith("?") else f"%({token.text[1:]})s") + after


STORE_TABLES = (
    Table("graph_nodes", (("id", "scope"),), frozenset({"attributes", "secret_refs", "metadata"})),
    Table("graph_edges", (("scope", "source", "target", "relationship"),), frozenset({"attributes", "metadata"})),
    Table(
        "correlations",
        (("correlation_id",),),
        frozenset(
            [
                "request_data",
                "response_data",
                "metric_data",
                "log_data",
                "trace_context",
                "tags",
                "child_correlation_ids",
                "metadata",
            ]
        ),
    ),
    Table("tasks", (("task_id",),), frozenset({"context", "outcome", "metadata"})),
    Table("thoughts", (("thought_id",),), frozenset({"context", "ponder_notes", "final_action", "metadata"})),
    Table("schema_migrations", (("version",),)),
)
"""The store's own tables, for ``translate``."""
