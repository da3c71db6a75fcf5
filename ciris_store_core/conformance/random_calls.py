"""Random calls of every method of the contract, as Python text.

Ids, owners, times and values come from small sets, so that calls act on records of earlier calls. Each set lists its
plainest value first. Calls avoid what the contract leaves open, such as the choice of expired records that a bounded
deletion removes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

Text = Callable[[Random], str]
"""Function that returns a Python expression, chosen by random numbers."""


def one_of(*texts: str) -> Text:
    """Return one of several expressions."""
    return lambda random: random.choice(texts)


def named(*names: str) -> Text:
    """Return one of several texts, as a literal."""
    return one_of(*map(ascii, names))


def listed(item: Text, most: int = 3) -> Text:
    """Return a list of different items."""
    return lambda random: "[" + ", ".join(_different(random, item, most)) + "]"


def tupled(item: Text, most: int = 2) -> Text:
    """Return a tuple of one or more items."""
    return lambda random: "(" + "".join(f"{each}, " for each in _different(random, item, most, least=1)) + ")"


def _different(random: Random, item: Text, most: int, least: int = 0) -> list[str]:
    return list(dict.fromkeys(item(random) for _ in range(random.randint(least, most))))


def call(method: str, *arguments: Text) -> Text:
    """Return a call with these arguments."""
    return lambda random: f"{method}({', '.join(argument(random) for argument in arguments)})"


def made(what: str, *arguments: Text, **fields: Text) -> Text:
    """Return the construction of an object with a random choice of its fields."""
    return lambda random: f"{what}({', '.join([*(each(random) for each in arguments), *_some(random, fields)])})"


def _some(random: Random, fields: Mapping[str, Text], share: int = 4) -> list[str]:
    return [f"{name}={text(random)}" for name, text in fields.items() if random.randrange(share) == share - 1]


def changes(**fields: Text) -> Text:
    """Return changes of a record: its update time and a random choice of its other fields."""

    def make(random: Random) -> str:
        given = _some(random, fields, 3)
        pairs = [f"'{name}': {value}" for name, value in (each.split("=", 1) for each in given)]
        return "{" + ", ".join([*pairs, f"'updated_at': {TIME(random)}"]) + "}"

    return make


def members(enum: str, names: str) -> Text:
    """Return a member of an enum."""
    return one_of(*(f"{enum}.{name}" for name in names.split()))


def mapping(key: Text, value: Text, most: int) -> Text:
    """Return a dict."""
    return lambda random: "{" + ", ".join(f"{each}: {value(random)}" for each in _different(random, key, most)) + "}"


def joined(separator: str, *parts: Text) -> Text:
    """Return several expressions joined into one."""
    return lambda random: separator.join(part(random) for part in parts)


def batch(make: Callable[[Random, str], str], key: Text, most: int = 3) -> Text:
    """Return a list of records with different keys."""
    return lambda random: "[" + ", ".join(make(random, each) for each in _different(random, key, most, 1)) + "]"


def record(what: str, *arguments: Text, **fields: Text) -> Callable[[Random, str], str]:
    """Return a function that makes a record of a given key."""
    return lambda random, key: made(what, lambda _: key, *arguments, **fields)(random)


# --- values -----------------------------------------------------------------------------------

NONE = one_of("None")
ID = named("a", "b", "A", "\u00e9", "a_b")
OWNER = named("default", "o", "O", "p")
MAYBE_OWNER = one_of("None", "None", "'default'", "'o'", "'O'")
TIME = one_of("T0", "at(1)", "at(-1)", "at(1e-06)", "at(60)", "at(3600.5)", "at(-86400)")
NUMBER = one_of("1", "0", "2", "3", "9")
LIMIT = one_of("100", "1", "2", "3")
JSON = one_of(
    "1", "1.0", "True", "None", "'x'", "'1'", "''", "0.1", "[1, {'a.b': 1.5}]", "{'k': None}", "2**53 + 1", "-2.5",
    "False", "'\\u00e9'", "[]", "0",
)  # fmt: skip
ATTRIBUTE = named("k", "l", "a.b", "$", "a'b", 'a"b', "")
SCALAR = one_of("1", "1.0", "True", "None", "'x'", "'1'", "''", "0.1", "0", "False", "2**53 + 1")
OBJECT = mapping(ATTRIBUTE, JSON, 3)
TAG = named("h", "z.1", "a'b")
TAG_VALUE = named("x", "y", "")
TAGS = mapping(TAG, TAG_VALUE, 2)
SCOPE = members("GraphScope", "LOCAL LOCAL LOCAL NETWORK")
DIRECTION = members("Direction", "OUT IN BOTH")
TASK_STATUS = members("TaskStatus", "PENDING ACTIVE FAILED COMPLETED")
THOUGHT_STATUS = members("ThoughtStatus", "PENDING PROCESSING FAILED COMPLETED")
RESOLUTION = members("Resolution", "RAW HOURLY DAILY")
FENCE = one_of("0", "1", "2", "3")
FUTURE = one_of("at(10)", "at(1)", "at(100)", "at(4000)")


def session(method: str, *arguments: Text) -> Text:
    """Return a call of a session's method."""
    return call(f"session.{method}", *arguments)


def paged(method: str, query: Text) -> Text:
    """Return a listing of one page or of all pages."""
    whole, part = call("pages", one_of(f"session.{method}"), query), session(method, query)
    return lambda random: random.choice((part, part, whole))(random)


# --- graph ------------------------------------------------------------------------------------

NODE_KEY = call("NodeKey", ID, SCOPE)
EDGE_KEY = call("EdgeKey", ID, ID, named("knows", "likes"), SCOPE)
NODE_FIELDS: dict[str, Text] = {
    "type": named("concept", "user", "my_own"), "updated_at": one_of("at(1)", "at(2)"),
    "created_at": TIME, "expires_at": FUTURE, "version": one_of("2", "3"), "updated_by": ID, "consent_stream": ID,
    "secret_refs": listed(ID), "metadata": OBJECT,
}  # fmt: skip
OPTIONAL = named("version", "updated_by", "consent_stream", "expires_at", "metadata")


def _write(random: Random, key: str) -> str:
    id, scope = key.split(" | ")
    node = made(
        "node", lambda _: id, lambda _: f"scope={scope}", joined("", one_of("attributes="), OBJECT), **NODE_FIELDS
    )(random)
    mode = random.choice(["'merge'", "'merge'", "'replace'", "'insert'"])
    more = _some(random, {"remove": listed(ATTRIBUTE), "expected": FENCE, "given": listed(OPTIONAL)})
    return f"put({', '.join([node, mode, *more])})"


def _edge(random: Random, key: str) -> str:
    source, target, relationship, scope = key.split(" | ")
    fields: dict[str, Text] = {
        "weight": one_of("0.5", "0.0", "0.1"),
        "attributes": one_of("{'created_at': at(1), 'x': 1}", "{'created_at': T0, 'context': 'c'}"),
        "metadata": OBJECT,
    }
    return f"edge({', '.join([source, target, relationship, f'scope={scope}', *_some(random, fields)])})"


NODE_QUERY = made(
    "NodeQuery", limit=LIMIT, scope=SCOPE, type=named("concept", "user"), id_prefix=named("a", "", "a%", "\u00e9"),
    attributes=tupled(call("", ATTRIBUTE, SCALAR), 1), updated_from=TIME, updated_to=TIME, now=FUTURE,
    after=call("", TIME, ID, named("local", "network")),
)  # fmt: skip
EDGE_QUERY = made(
    "EdgeQuery", limit=LIMIT, scope=SCOPE, source=ID, target=ID, relationship=named("knows", "likes"), now=FUTURE,
    after=call("", named("local", "network"), ID, ID, named("knows", "likes")),
)  # fmt: skip
RELATIONSHIPS = one_of("()", "('knows',)", "('likes', 'knows')")
WALK = call(
    "Traversal", tupled(ID), SCOPE, DIRECTION, RELATIONSHIPS, one_of("1", "2", "3", "4"), one_of("100", "2", "3")
)
ONE_WALK = call("Traversal", tupled(ID, 1), SCOPE, DIRECTION, RELATIONSHIPS, one_of("1", "2", "3", "4"))

# --- correlations -----------------------------------------------------------------------------

REQUEST = one_of(
    "correlation(request_data={'service_type': 's', 'method_name': 'm', 'task_id': 'a', 'channel_id': 'b', "
    "'request_timestamp': T0}).request_data",
    "None",
)
METRIC_NAME = named("cpu", "a.b")
CORRELATION_CHANGES: dict[str, Text] = {
    "timestamp": TIME, "tags": TAGS, "action_type": ID, "service_type": ID, "scope": SCOPE, "request_data": REQUEST,
    "status": members("CorrelationStatus", "FAILED COMPLETED"), "metadata": OBJECT, "parent_correlation_id": ID,
    "ttl_seconds": one_of("1", "60", "None"), "child_correlation_ids": listed(ID),
    "retention_policy": members("RetentionPolicy", "AGGREGATED DOWNSAMPLED"),
    "log_data": one_of("correlation(log_level='ERROR', log_message='m').log_data", "None"),
    "trace_context": one_of(
        "correlation(trace_context={'trace_id': 'a', 'span_id': 'b', 'span_name': ''}).trace_context",
    ),
}  # fmt: skip
CORRELATION_FIELDS: dict[str, Text] = {
    **CORRELATION_CHANGES, "correlation_type": named("torque", "metric_datapoint", "audit_event"),
    "agent_occurrence_id": OWNER, "resolution": RESOLUTION,
}  # fmt: skip
FILTER = made(
    "CorrelationFilter", types=tupled(named("torque", "metric_datapoint", "service_interaction")), scope=SCOPE,
    occurrence_id=OWNER, time_from=TIME, time_to=TIME, time_to_exclusive=one_of("True"),
    log_levels=tupled(named("ERROR", "INFO")), tags=tupled(call("", TAG, TAG_VALUE)), task_id=ID, channel_id=ID,
    metric_names=tupled(METRIC_NAME),
    action_type=ID, service_type=ID, status=members("CorrelationStatus", "PENDING FAILED"), trace_id=ID,
    parent_correlation_id=ID, resolutions=tupled(RESOLUTION), retention_policies=one_of("(RetentionPolicy.RAW,)"),
    now=one_of("at(10)", "at(1)", "at(100)", "at(4000)"),
)  # fmt: skip
CORRELATION_QUERY = made(
    "CorrelationQuery", where=FILTER, limit=LIMIT, descending=one_of("True"), after=call("", TIME, ID)
)
# Sums of these are exact, in whatever order they are added.
VALUE = one_of("1.0", "2.5", "-0.25", "1024.0", "0.0")
BUCKET = call("timedelta", one_of("hours=1", "days=7", "microseconds=7", "minutes=1"))
GROUPS = one_of("()", "('h',)", "('h', 'z.1')", '("a\'b",)')
AGGREGATE = call(
    "AggregateQuery", FILTER, named("count", "sum", "avg", "min", "max", "last"), BUCKET, GROUPS
)  # fmt: skip
# Between two samples, these are exact as well.
PERCENTILES = call("PercentileQuery", FILTER, one_of("(0.5,)", "(0.0, 0.25, 1.0)", "(0.5, 0.5)"), BUCKET, GROUPS)


def _event(random: Random, id: str) -> str:
    if random.randrange(2):
        return record("metric", VALUE, one_of("0", "1", "3600"), tags=TAGS, resolution=RESOLUTION)(random, id)
    return record("correlation", **CORRELATION_FIELDS)(random, id)


def _measurement(random: Random, id: str) -> str:
    unit = random.choice(["None", "''"])
    return f"Metric({METRIC_NAME(random)}, {VALUE(random)}, {TAGS(random)}, {TIME(random)}, {unit}, {id})"


# --- tasks and thoughts -----------------------------------------------------------------------

TASK_CHANGES: dict[str, Text] = {
    "status": TASK_STATUS, "priority": one_of("0", "5", "10"), "description": named("x", ""), "channel_id": ID,
    "parent_task_id": one_of("None", "'a'", "'b'"), "metadata": OBJECT,
    "context": one_of("None", "task(context={'correlation_id': 'a'}).context"), "signature": one_of("None", "''"),
    "outcome": one_of("None", "task(outcome={'status': '', 'summary': 's', 'errors': ['e']}).outcome"),
    "updated_info_available": one_of("True", "False"),
}  # fmt: skip
TASK_FIELDS: dict[str, Text] = {
    **TASK_CHANGES, "agent_occurrence_id": OWNER, "created_at": TIME, "updated_at": TIME, "fence": FENCE,
    "shared_type": named("S", "a_b", "aXb"),
}  # fmt: skip
TASK_QUERY = made(
    "TaskQuery", limit=LIMIT, occurrence_id=OWNER, statuses=tupled(TASK_STATUS), channel_id=ID, parent_task_id=ID,
    shared_type=named("S", "a_b"), only_shared=one_of("True"), correlation_id=ID, created_from=TIME, updated_to=TIME,
    orphaned=one_of("True"), owner_dead_at=FUTURE, needs_seed_thought=one_of("True"),
)  # fmt: skip
THOUGHT_CHANGES: dict[str, Text] = {
    "status": THOUGHT_STATUS, "content": named("x", ""), "context": OBJECT, "metadata": OBJECT, "channel_id": ID,
    "ponder_notes": one_of("None", "[]", "['n', '']"), "thought_depth": one_of("0", "7"),
    "thought_type": members("ThoughtType", "PONDER URGENT"), "parent_thought_id": one_of("None", "'a'"),
    "final_action": one_of("None", "thought(final_action={'action_type': 's', 'reasoning': ''}).final_action"),
}  # fmt: skip
THOUGHT_FIELDS: dict[str, Text] = {
    **THOUGHT_CHANGES, "agent_occurrence_id": OWNER, "created_at": TIME, "updated_at": TIME, "retry_count": FENCE,
    "escalation_level": FENCE, "round_number": FENCE,
}  # fmt: skip
THOUGHT_QUERY = made(
    "ThoughtQuery", limit=LIMIT, occurrence_id=OWNER, statuses=tupled(THOUGHT_STATUS), source_task_id=ID,
    parent_thought_id=ID, thought_types=tupled(members("ThoughtType", "STANDARD PONDER")),
    of_active_tasks=one_of("True"), orphaned=one_of("True"), owner_dead_at=FUTURE, created_from=TIME, updated_to=TIME,
)  # fmt: skip
SELECTOR = one_of(
    *(f"ThoughtSelector({which})" for which in ("task_id='a'", "thought_ids=['a', 'b']", "thought_ids=[]"))
)
AFTERS = {
    "created": call("", TIME, ID),
    "updated_desc": call("", TIME, ID),
    "priority": call("", one_of("0", "5"), TIME, ID),
}


def _ordered(query: Text, orders: Sequence[str]) -> Text:
    """Return a query with one of its orders, and perhaps a position that fits the order."""

    def make(random: Random) -> str:
        text, order = query(random), random.choice(orders)
        more = [f"order={order!r}"] if order != "created" else []
        more += _some(random, {"after": AFTERS[order]})
        return text if not more else f"replace({text}, {', '.join(more)})"

    return make


TASKS_IN_ORDER = _ordered(TASK_QUERY, ["created", "priority", "updated_desc"])
THOUGHTS_IN_ORDER = _ordered(THOUGHT_QUERY, ["created", "updated_desc"])

# --- coordination, secrets, audit -------------------------------------------------------------

LEASE = named("job", "Job")
LEASES = batch(record("lease", owner=OWNER, fence=one_of("3"), expires_at=FUTURE), LEASE, 2)
ENTRY = call("entry", one_of("1", "2", "3"), OWNER)
PAGE = made("PageRequest", limit=LIMIT)

ADDING: tuple[Text, ...] = (
    session("tasks.add", batch(record("task", **TASK_FIELDS), ID)),
    session("thoughts.add", batch(record("thought", ID, **THOUGHT_FIELDS), ID), one_of("False", "False", "True")),
    session("graph.put_nodes", batch(_write, joined(" | ", ID, SCOPE)), TIME),
    session("graph.put_edges", batch(_edge, joined(" | ", ID, ID, named("knows", "likes"), SCOPE), 2)),
    session("correlations.add", batch(_event, ID)),
)
"""Calls that add the records on which most calls act."""

WRITES: tuple[Text, ...] = (
    *ADDING * 4,
    session("tasks.add_or_get", lambda random: record("task", **TASK_FIELDS)(random, ID(random))),
    session("tasks.update", ID, changes(**TASK_CHANGES), MAYBE_OWNER, one_of("None", "None", "0", "1")),
    session("tasks.delete", listed(ID)),
    session("tasks.claim_next", OWNER, OWNER, NUMBER, TIME),
    session("tasks.claim_next", OWNER, named("default"), NUMBER, TIME),
    session("tasks.release", MAYBE_OWNER, TIME, NUMBER),
    session("tasks.transfer", listed(ID), OWNER, OWNER, TIME),
    session("tasks.lock", listed(ID), MAYBE_OWNER),
    session("tasks.lock_claim", ID, FENCE),
    session("thoughts.update", ID, changes(**THOUGHT_CHANGES), MAYBE_OWNER),
    session("thoughts.retry", ID, MAYBE_OWNER, NUMBER, TIME),
    session("thoughts.escalate", ID, MAYBE_OWNER, TIME),
    session("thoughts.lock", listed(ID), MAYBE_OWNER),
    session("thoughts.delete", listed(ID, 2)),
    session("thoughts.transfer", SELECTOR, OWNER, OWNER, TIME),
    session("graph.lock_nodes", listed(NODE_KEY)),
    session("graph.lock_edges", listed(EDGE_KEY)),
    session("graph.increment", NODE_KEY, tupled(ATTRIBUTE), one_of("1", "0.5", "-2"), TIME),
    session("graph.delete_nodes", listed(NODE_KEY, 2)),
    session("graph.delete_expired_nodes", FUTURE, one_of("1000")),
    session("graph.delete_edges", listed(EDGE_KEY)),
    session("correlations.update", ID, changes(**CORRELATION_CHANGES), one_of("None", "at(1)", "at(4000)")),
    session("correlations.lock", listed(ID)),
    session("correlations.find_locked", CORRELATION_QUERY),
    session("correlations.add_metrics", batch(_measurement, ID), made("correlation", scope=SCOPE, metadata=OBJECT)),
    session("correlations.delete", listed(ID, 2)),
    session("correlations.delete_expired", FUTURE, one_of("1000")),
    session(
        "coordination.put_occurrence", made("occurrence", OWNER, expires_at=FUTURE, metadata=OBJECT, started_at=TIME)
    ),
    session("coordination.heartbeat", OWNER, TIME, FUTURE),
    session("coordination.remove_occurrence", OWNER),
    session("coordination.acquire_lease", LEASE, OWNER, TIME, FUTURE),
    session("coordination.add_leases", LEASES),
    session("coordination.renew_lease", LEASE, OWNER, FENCE, TIME, FUTURE),
    session("coordination.release_lease", LEASE, OWNER, FENCE, TIME),
    session("secrets.add", batch(record("secret", key_id=named("k1", "k2"), metadata=OBJECT), ID)),
    session("secrets.reencrypt", ID, one_of("b'encrypted'", "b'new'"), named("k1", "k2"), one_of("b'new'", "b'\\x00'")),
    session("secrets.delete", listed(ID, 2)),
    session("secrets.log_access", batch(record("access", ID, at=TIME, granted=one_of("False")), ID, 2)),
    session(
        "audit.append", batch(lambda random, key: f"entry({key})", joined(", ", one_of("1", "2", "3", "4"), OWNER))
    ),
    session("audit.prune", call("anchor", one_of("1", "2", "4"), OWNER)),
    session("audit.head", OWNER),
)
"""Calls that need a write transaction."""

READS: tuple[Text, ...] = (
    paged("tasks.find", TASKS_IN_ORDER),
    paged("thoughts.find", THOUGHTS_IN_ORDER),
    paged("graph.list_nodes", NODE_QUERY),
    paged("correlations.find", CORRELATION_QUERY),
    session("graph.get_nodes", listed(NODE_KEY), one_of("None", "at(10)")),
    session("graph.count_nodes", NODE_QUERY),
    session("graph.get_edges", listed(EDGE_KEY), one_of("None", "at(10)")),
    paged("graph.list_edges", EDGE_QUERY),
    session("graph.neighbours", listed(ID), SCOPE, DIRECTION, RELATIONSHIPS, one_of("None", "at(10)")),
    session("graph.degrees", SCOPE, DIRECTION, RELATIONSHIPS, LIMIT, one_of("None", "at(10)")),
    session("graph.traverse", WALK),
    session("graph.shortest_path", ONE_WALK, ID),
    session("correlations.get", listed(ID)),
    session("correlations.count", FILTER),
    session("correlations.points", CORRELATION_QUERY),
    session("correlations.aggregate", AGGREGATE),
    session("correlations.percentiles", PERCENTILES),
    session("correlations.metric_names", one_of("None", "at(1)", "at(4000)")),
    session("tasks.get", listed(ID), MAYBE_OWNER),
    session("tasks.count", TASK_QUERY),
    session("tasks.count_by_status", MAYBE_OWNER),
    session("thoughts.get", listed(ID), MAYBE_OWNER),
    session("thoughts.count", THOUGHT_QUERY),
    session("thoughts.count_by_status", MAYBE_OWNER),
    session("coordination.list_occurrences", one_of("None", "at(10)", "at(100)")),
    session("coordination.list_leases", one_of("None", "at(10)", "at(100)")),
    session("secrets.get", listed(ID)),
    session("secrets.find", PAGE, one_of("None", "'k1'")),
    session("secrets.list_access", PAGE, one_of("None", "'a'")),
    paged("audit.find", made("AuditQuery", limit=LIMIT, chain=OWNER)),
    session("audit.chains"),
    session("audit.unlisted"),
    session("audit.anchor", OWNER),
)
"""Calls that may run in a read transaction."""
