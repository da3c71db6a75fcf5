"""Random calls of the methods of documents and streams, as Python text. See ``random_calls``."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Text = Callable[[Random], str]


def _one_of(*texts: str) -> Text:
    return lambda random: random.choice(texts)


def _listed(item: Text) -> Text:
    """Return a list of up to three different expressions."""
    return lambda random: "[" + ", ".join(dict.fromkeys(item(random) for _ in range(random.randint(0, 3)))) + "]"


def _fields(random: Random, **fields: Text) -> str:
    """Return some of the keyword arguments, each with a comma before it."""
    return "".join(f", {name}={text(random)}" for name, text in fields.items() if random.randrange(3) == 2)


NAMESPACE = _one_of("('a',)", "('a',)", "('a', 'b')", "('a', '\\xe9')", "('A',)", "('ab',)")
PREFIX = _one_of("()", "('a',)", "('a', 'b')", "('A',)", "('?',)")
KEYS = ("'k'", "'l'", "'K'", "'k_'", "'\\xe9'", "'k' * 1500", "'k' * 1500 + 'l'")
KEY = _one_of(*KEYS)
TIME = _one_of("T0", "at(1)", "at(-1)", "at(1e-06)", "at(60)", "at(3600.5)")
MAYBE_TIME = _one_of("None", "at(10)", "at(1)", "at(100)")
FUTURE = _one_of("at(10)", "at(1)", "at(100)", "None")
TTL = _one_of("1.5", "0.25", "3600.0", "None")
LIMIT = _one_of("100", "1", "2", "3")
SCALAR = _one_of(
    "1", "1.0", "True", "None", "'x'", "'1'", "''", "0.1", "0", "False", "2**53 + 1", "2**63", "-2.5",
    "'\\xe9'", "'a\\0'",
)  # fmt: skip
VALUE = _one_of(
    "1", "'x'", "None", "{}", "[]", "[1, 'x']", "{'x': 1}", "{'x': 1.0, 'y': 'x'}", "{'x': '1'}", "{'x': None}",
    "{'x': [1, None, 'xy']}", "{'x': {'a.b': 1}, 'a.b': 2}", "{'x': 2**53 + 1}", "{'x': True, 'y': 0.1}",
    "{'y': 'a\\0', 'x': '\\xe9'}", "{'x': 2**63, '': -2.5}", "{'b': 1, 'a': 2}", "'\\ud800'",
)  # fmt: skip
ORDERED = _one_of("1", "0.1", "'x'", "''", "'1'", "2**63", "0", "'\\xe9'")
PATH = _one_of("'x'", "'x'", "'y'", "'x', 1", "'a.b'", "'x', 'a.b'", "", "0", "''")
METADATA = _one_of("{}", "{'m': 1}", "{'m': None, 'n': [1.5]}", "None")
PAYLOAD = _one_of(
    "ciphertext()", "ciphertext('k2')", *(f"PAYLOADS['{name}']" for name in ("bytes", "bytes_like_text", "surrogates"))
)


def _document(random: Random) -> str:
    what = random.choice(["", "", f", payload={PAYLOAD(random)}"])
    more = _fields(random, expires_at=FUTURE, ttl=TTL, metadata=METADATA, created_at=TIME, updated_at=TIME)
    return f"document({KEY(random)}, {VALUE(random)}, {NAMESPACE(random)}{what}{more})"


def _write(random: Random) -> str:
    mode = random.choice(["", "", "", ", 'insert'", ", 'restore'"])
    expected = random.choice(["", "", "", ", expected=0", ", expected=1", ", expected=2"]) * ("restore" not in mode)
    return f"write({_document(random)}{mode}{expected})"


def _writes(random: Random) -> str:
    """Return writes of different keys: their keys are drawn without repetition."""
    keys = random.sample(KEYS, random.randint(1, 3))
    writes = [f"write(document({key}, " + _write(random).split(", ", 1)[1] for key in keys]
    return f"[{', '.join(writes)}]"


_keys = _listed(lambda random: f"DocumentKey({NAMESPACE(random)}, {KEY(random)})")


def _condition(random: Random, depth: int = 0) -> str:
    number = random.randrange(8 if depth < 2 else 5)
    part = f"field({PATH(random)})"
    if number < 2:
        return f"{part}.{random.choice(['eq', 'ne', 'contains'])}({random.choice([SCALAR, VALUE])(random)})"
    if number == 2:
        return f"{part}.{random.choice(['gt', 'gte', 'lt', 'lte'])}({ORDERED(random)})"
    if number == 3:
        return f"{part}.is_in([{SCALAR(random)}, {VALUE(random)}])"
    if number == 4:
        return f"{part}.exists({random.choice(['', 'False'])})"
    if number == 5:
        return f"~({_condition(random, depth + 1)})"
    return f"({_condition(random, depth + 1)} {random.choice('&|')} {_condition(random, depth + 1)})"


def _query(random: Random, **more: str) -> str:
    given = _fields(
        random,
        prefix=PREFIX,
        filter=lambda r: f"cleaned({_condition(r)})",
        now=FUTURE,
        order=_one_of("'created'", "'updated'"),
        descending=_one_of("True"),
        key_prefix=_one_of("'k'", "''", "'K'", "'k' * 1500"),
    )
    return f"DocumentQuery({more.get('limit') or LIMIT(random)}{given})"


def _namespaces(random: Random) -> str:
    pattern = _one_of("()", "('a',)", "(None,)", "(None, 'b')", "('b',)")
    given = _fields(random, prefix=pattern, suffix=pattern, max_depth=_one_of("1", "2"), now=FUTURE)
    return f"NamespaceQuery({LIMIT(random)}{given})"


STREAM = _one_of(
    "StreamKey(('a',), 's')",
    "StreamKey(('a',), 's')",
    "StreamKey(('a',), 'S')",
    "StreamKey(('a', 'b'), 's')",
    "StreamKey(('a',), 's' * 1500)",
)
STREAMS = _listed(STREAM)
POSITION = _one_of("1", "0", "2", "3", "5", "9")
MAYBE_POSITION = _one_of("None", "None", "0", "1", "2", "3")


def _entries(random: Random) -> str:
    ids = random.sample(["None", "None", "None", "'x'", "'y'", "'X'"], random.randint(1, 3))
    made = [
        f"stream_entry({VALUE(random)}, {id}{_fields(random, kind=KEY, created_at=TIME, payload=PAYLOAD)})"
        for id in ids
    ]
    return "[" + ", ".join(made) + "]"


def _truncation(random: Random) -> str:
    bounds = random.choice([f"{POSITION(random)}, None", f"None, {POSITION(random)}"])
    return f"{STREAM(random)}, {bounds}, {TIME(random)}, {LIMIT(random)}"


def _stream_query(random: Random) -> str:
    names, order = _one_of("'s'", "'S'"), _one_of("'updated'")
    given = _fields(random, prefix=PREFIX, order=order, descending=_one_of("True"), name_prefix=names)
    return f"StreamQuery({LIMIT(random)}{given})"


def _call(method: str, *arguments: Text) -> Text:
    return lambda random: f"session.{method}({', '.join(argument(random) for argument in arguments)})"


def _paged(method: str, query: Text) -> Text:
    whole: Text = lambda random: f"pages(session.{method}, {query(random)})"  # noqa: E731
    return lambda random: random.choice((_call(method, query), whole))(random)


PAYLOAD_WRITES: tuple[Text, ...] = (
    *(_call("documents.put", _writes, TIME),) * 4,
    *(_call("streams.append", STREAM, _entries, TIME, MAYBE_POSITION),) * 4,
    _call("documents.touch", _keys, TIME),
    _call("documents.lock", _keys),
    _call("documents.delete", _keys, MAYBE_TIME),
    _call("documents.delete_matching", lambda random: _query(random, limit="1000")),
    _call("documents.delete_expired", TIME, _one_of("1000")),
    _call("documents.reencrypt", _document, PAYLOAD),
    _call("documents.create_index", _one_of("('x',)", "('a.b',)", "('x', 1)")),
    _call("documents.drop_index", _one_of("('x',)", "('a.b',)")),
    _call("streams.pop", STREAM, TIME),
    _call("streams.truncate", _truncation),
    _call("streams.fork", STREAM, STREAM, MAYBE_POSITION, TIME),
    _call("streams.delete", STREAMS),
    _call("streams.restore", _one_of("RESTORED"), _one_of("RESTORED_ENTRIES")),
    _call(
        "streams.reencrypt", STREAM, lambda r: f"stream_entry(payload=ciphertext(), position={POSITION(r)})", PAYLOAD
    ),
)
"""Calls that need a write transaction."""

PAYLOAD_READS: tuple[Text, ...] = (
    _call("documents.get", _keys, MAYBE_TIME),
    _paged("documents.find", _query),
    _paged("documents.find", _query),
    _call("documents.count", _query),
    _paged("documents.namespaces", _namespaces),
    _call("documents.find_encrypted", _one_of("'k1'", "'k2'"), _one_of("None", "DocumentKey(('a',), 'k')"), LIMIT),
    _call(
        "streams.read",
        STREAM,
        lambda random: f"EntryQuery({LIMIT(random)}{_fields(random, after=POSITION, reverse=_one_of('True'))})",
    ),
    _call("streams.get", STREAM, _listed(_one_of("'x'", "'y'", "'X'"))),
    _call("streams.info", STREAMS),
    _paged("streams.find", _stream_query),
    _call("streams.count", _stream_query),
    _call("streams.find_encrypted", _one_of("'k1'", "'k2'"), _one_of("None", "(StreamKey(('a',), 's'), 2)"), LIMIT),
)
"""Calls that may run in a read transaction."""
