"""Faults of single columns: cut, folded, exchanged, taken for something else."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ciris_store_core.conformance.suite.columns import CORRELATION_COLUMNS, TASK_COLUMNS, THOUGHT_COLUMNS
from ciris_store_core.contract import ThoughtSelector
from ciris_store_core.contract.filters import scalars_equal
from ciris_store_core.models.paging import ResultPage
from tests.mutants.planting import add, plant
from tests.mutants.records import bent, only, storing

# --- batches ----------------------------------------------------------------------------------

ADDS = ("tasks.add", "thoughts.add", "correlations.add", "secrets.add", "secrets.log_access", "audit.append")
"""Calls that take many records."""


def _in_batches(change: Callable[[Any], Any]) -> tuple[tuple[str, Any], ...]:
    """Change records that are stored together with others, and no single ones."""
    return tuple((target, lambda self, sound, rows: sound([change(row) for row in rows] if len(rows) > 1 else rows)) for target in ADDS)


def _texts(bend: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda record: bent(record, only(str)(bend))


for _name, _bend in {
    "take_backslash_n_for_none": lambda text: None if text == "\\N" else text,
    "take_quotes_for_empty_text": lambda text: "" if text == '""' else text,
    "take_empty_text_for_none": lambda text: text or None,
    "take_backslashes_for_escapes": lambda text: text.replace("\\t", "\t"),
    "end_texts_at_a_tab": lambda text: text.split("\t")[0] if "\n" in text else text,
    "take_braces_for_a_list": lambda text: [] if text == "{}" else text,
    "cut_texts_at_64k": lambda text: text[:65535],
}.items():
    add(f"batches_{_name}", "records.batch.each", *_in_batches(_texts(_bend)))


def _like_the_first(self: Any, sound: Any, rows: Any) -> Any:
    return sound([row.replaced(metadata=rows[0].metadata) for row in rows])



def _from_the_second_on(self: Any, sound: Any, rows: Any) -> Any:
    empty = [name for name, item in rows[-1] if item is None] if rows else []
    return sound([row.replaced(**dict.fromkeys(empty)) for row in rows])


add("a_batch_has_the_metadata_of_its_first", "records.batch.each", *((target, _like_the_first) for target in ADDS))
add("a_batch_has_the_columns_of_its_last", "records.batch.each", *((target, _from_the_second_on) for target in ADDS))

METRICS = "correlations.add_metrics"
add("measurements_take_backslash_n_for_none", f"{METRICS}.like", (METRICS, lambda self, sound, metrics, like: sound([each._replace(unit=None if each.unit == "\\N" else each.unit) for each in metrics], like)))
add("measurements_have_no_empty_unit", f"{METRICS}.like", (METRICS, lambda self, sound, metrics, like: sound([each._replace(unit=each.unit or None) for each in metrics], like)))
add("measurements_lose_empty_tags", f"{METRICS}.like", (METRICS, lambda self, sound, metrics, like: sound([each._replace(tags={key: value for key, value in each.tags.items() if value}) for each in metrics], like)))

# --- long and empty values --------------------------------------------------------------------


def _cut(name: str, length: int) -> Callable[[Any], Any]:
    """Cut one field of records of every depth."""

    def change(record: Any) -> Any:
        fields: dict[str, Any] = {}
        for key, item in record:
            if key == name and isinstance(item, str):
                fields[key] = item[:length]
            elif key == name and isinstance(item, list):
                fields[key] = [each[:length] for each in item]
            elif hasattr(item, "replaced"):
                fields[key] = change(item)
        return record.replaced(**fields) if fields else record

    return change


for _name in ("description", "content", "signature", "updated_info_content", "error_traceback", "log_message", "ponder_notes", "reasoning", "summary", "metric_unit", "span_name", "context", "entry_hash", "detected_by", "errors"):
    add(f"{_name}_is_cut_at_65535", "records.text.long", *storing(_cut(_name, 65_535)))
add("metadata_is_cut_at_64k", "records.text.long", *storing(lambda record: bent(record, only(str)(lambda text: text[:65_536]))))
add("bytes_of_long_texts_are_counted", "records.text.long", *storing(lambda record: bent(record, only(str)(lambda text: text.encode()[:131_072].decode(errors="ignore")))))


def _emptied(empty: Any, kept: Any) -> Any:
    return storing(lambda record: record.replaced(**{name: kept for name, item in record if item == empty and type(item) is type(empty) and name in ("context", "ponder_notes", "signature", "updated_info_content", "created_by", "consent_stream", "detected_by")}))


add("an_empty_context_is_none", "records.empty", *_emptied({}, None))
add("empty_notes_are_none", "records.empty", *_emptied([], None))
add("an_empty_text_is_none", "records.empty", *_emptied("", None))
add("a_text_of_zero_is_none", "records.empty", *_emptied("0", None))
add("a_count_of_zero_is_none", "records.empty", *storing(lambda record: record.replaced(metric_data=record.metric_data.replaced(sample_count=record.metric_data.sample_count or None)) if getattr(record, "metric_data", None) else record))
add("keys_of_none_are_left_out", "records.empty", *storing(lambda record: record.replaced(**{name: {k: v for k, v in item.items() if v is not None} for name, item in record if isinstance(item, dict)})))
add("no_consent_stream_is_the_usual_one", "records.empty", *storing(lambda record: record.replaced(consent_stream="temporary") if "consent_stream" in type(record).model_fields else record))

# --- what filters tell apart ------------------------------------------------------------------

FOLDS: dict[str, Callable[[str], str]] = {
    "their_first_63_characters": lambda text: text[:63],
    "their_first_254_characters": lambda text: text[:254],
    "case": str.casefold,
    "trailing_spaces": str.rstrip,
    "accents": lambda text: "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)),
}


def _folded_column(build: Any, name: str, fold: Callable[[str], str], store: str) -> Any:
    """Compare one column by what a fold leaves of it."""

    def matching(self: Any, sound: Any, query: Any) -> Any:
        wanted = getattr(query, name)
        found = list(sound(replace(query, **{name: () if isinstance(wanted, tuple) else None})))
        if not wanted:
            return iter(found) if store == "correlations" else found
        given = {fold(each) for each in wanted} if isinstance(wanted, tuple) else {fold(wanted)}
        kept = [row for row in found if (value := _value(row, name)) is not None and fold(value) in given]
        return iter(kept) if store == "correlations" else kept

    return (f"{store}._matching", matching)


def _value(row: Any, name: str) -> Any:
    here = {
        "occurrence_id": "agent_occurrence_id", "types": "correlation_type", "metric_names": "metric_name",
        "log_levels": "log_level",
    }.get(name, name)  # fmt: skip
    if type(row).__name__ == "Task" and name == "correlation_id":
        return row.context and row.context.correlation_id
    if type(row).__name__ == "Correlation" and name in ("task_id", "thought_id", "channel_id"):
        return row.request_data and getattr(row.request_data, name)
    if name == "trace_id":
        return row.trace_context and row.trace_context.trace_id
    return getattr(row, here)


for _store, _columns in (("tasks", TASK_COLUMNS), ("thoughts", THOUGHT_COLUMNS), ("correlations", CORRELATION_COLUMNS)):
    for _place, _name in enumerate(_columns):
        if _name in ("tags", "tag_keys", "types"):
            continue
        # Each column with two of the folds, all folds among the columns.
        for _fold in (list(FOLDS)[_place % len(FOLDS)], list(FOLDS)[(_place + 2) % len(FOLDS)]):
            add(f"{_store}_{_name}_is_equal_but_for_{_fold}", f"{_store}.find.exact", _folded_column(None, _name, FOLDS[_fold], _store))


def _folded_tags(fold: Callable[[str], str], keys: bool) -> Any:
    def matching(self: Any, sound: Any, where: Any) -> Any:
        pairs = [(fold(key) if keys else key, value if keys else fold(value)) for key, value in where.tags]
        rows = list(sound(replace(where, tags=())))
        return iter([row for row in rows if all(pair in [(fold(k) if keys else k, v if keys else fold(v)) for k, v in row.tags.items()] for pair in pairs)])

    return ("correlations._matching", matching)


add("tags_are_equal_in_their_first_200_characters", "correlations.find.exact", _folded_tags(lambda text: text[:200], False))
add("keys_of_tags_have_no_case", "correlations.find.exact", _folded_tags(str.casefold, True))
add("own_types_are_equal_in_their_first_63_characters", "correlations.find.exact", ("correlations._matching", lambda self, sound, where: iter([row for row in sound(replace(where, types=())) if not where.types or str(row.correlation_type)[:63] in {str(each)[:63] for each in where.types}])))


def _attribute(fold: Callable[[Any], Any]) -> Any:
    def matching(self: Any, sound: Any, query: Any) -> Any:
        rows = sound(replace(query, attributes=()))
        return iter([row for row in rows if all(key in row.attributes and scalars_equal(fold(row.attributes[key]), fold(value)) for key, value in query.attributes)])

    return ("graph._matching", matching)


def _on_text(change: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value


for _length in (200, 2704, 8191):
    add(f"attributes_are_equal_in_their_first_{_length}_characters", "graph.list_nodes.exact" if _length > 3000 else "graph.list_nodes.exact graph.list_nodes.attributes.texts", _attribute(_on_text(lambda text, n=_length: text[:n])))
add("attributes_that_look_like_times_are_times", "graph.list_nodes.attributes.texts", _attribute(_on_text(lambda text: text.replace(" ", "T").replace("Z", "+00:00") if text.startswith("2025-") else text)))
add("attributes_that_look_like_dates_are_times", "graph.list_nodes.attributes.texts", _attribute(_on_text(lambda text: text[:10] if text.startswith("2025-") else text)))
add("types_have_63_characters", "graph.list_nodes.exact", ("graph._matching", lambda self, sound, query: iter([row for row in sound(replace(query, type=None)) if query.type is None or str(row.type)[:63] == str(query.type)[:63]])))
add("long_keys_of_attributes_are_alike", "graph.list_nodes.exact", ("graph._matching", lambda self, sound, query: iter([row for row in sound(replace(query, attributes=())) if all(value in [v for k, v in row.attributes.items() if k[:200] == key[:200]] for key, value in query.attributes)])))
add("a_missing_attribute_is_none", "graph.list_nodes.attributes.none", ("graph._matching", lambda self, sound, query: iter([row for row in sound(replace(query, attributes=())) if all(scalars_equal(row.attributes.get(key), value) for key, value in query.attributes)])))
add("an_empty_attribute_is_none", "graph.list_nodes.attributes.none", _attribute(lambda value: None if value == "" else value))

# --- prefixes ---------------------------------------------------------------------------------


def _by_bound(bound: Callable[[str], str | None]) -> Any:
    """Find ids from the prefix on, below an upper bound."""

    def matching(self: Any, sound: Any, query: Any) -> Any:
        prefix = query.id_prefix
        rows = list(sound(replace(query, id_prefix=None)))
        if not prefix:
            return iter(rows)
        below = bound(prefix)
        return iter([row for row in rows if prefix.encode() <= row.id.encode() and (below is None or row.id.encode() < below.encode("utf-8", "surrogatepass"))])

    return ("graph._matching", matching)


PREFIX = "graph.list_nodes.id_prefix"
add("a_prefix_ends_at_u_ffff", PREFIX, _by_bound(lambda prefix: prefix + "\uffff"))
add("a_prefix_ends_before_the_next_utf_16_unit", PREFIX, _by_bound(lambda prefix: prefix[:-1] + chr(min(ord(prefix[-1]) + 1, 0xFFFF))))
add("a_prefix_of_the_last_character_has_no_end", PREFIX, _by_bound(lambda prefix: None if prefix[-1] == "\U0010ffff" else prefix[:-1] + chr(ord(prefix[-1]) + 1)))
add("a_prefix_of_the_last_character_finds_nothing", PREFIX, _by_bound(lambda prefix: prefix if prefix[-1] == "\U0010ffff" else prefix[:-1] + chr(ord(prefix[-1]) + 1)))
add("a_prefix_ends_at_the_last_of_ascii", PREFIX, _by_bound(lambda prefix: prefix + "\x7f"))

# --- keys of several long names ---------------------------------------------------------------


def _cut_keys(length: int) -> Any:
    """Take edges for one whose keys, joined, are equal up to a length."""

    def put_edges(self: Any, sound: Any, edges: Any, *more: Any) -> Any:
        known: dict[str, Any] = {"".join(key[:3])[:length]: key for key in self._edges.rows}
        kept: dict[str, Any] = {}
        for edge in edges:
            name = "".join(edge.key[:3])[:length]
            if name not in known or known[name] == edge.key:
                kept[name] = edge
        return sound(list(kept.values()), *more)

    return ("graph.put_edges", put_edges)


add("keys_of_edges_are_cut_at_764_bytes", "graph.list_edges.exact", _cut_keys(764))
add("keys_of_edges_are_cut_at_255_bytes", "graph.list_edges.exact", _cut_keys(255))
for _name in ("source", "target", "relationship"):
    add(f"edges_are_listed_by_{_name}_without_case", "graph.list_edges.exact", ("graph.list_edges", lambda self, sound, query, name=_name: _edges_by(sound, query, name)))


def _edges_by(sound: Any, query: Any, name: str) -> Any:
    wanted = getattr(query, name)
    page = sound(replace(query, **{name: None}, limit=1000) if wanted else query)
    return ResultPage([row for row in page.items if not wanted or getattr(row, name).casefold() == wanted.casefold()], page.next_after if not wanted else None)


# --- owners -----------------------------------------------------------------------------------


def _owner(fold: Callable[[str], str], *path: str) -> Any:
    """Replace an owner by the first stored one that looks the same."""

    def alias(self: Any, owner: Any) -> Any:
        table = self._tasks if type(self).__name__ == "MemoryTasks" else self._thoughts
        return next((row.agent_occurrence_id for row in table.rows.values() if owner and fold(row.agent_occurrence_id) == fold(owner)), owner)

    return alias


def _owners(target: str, place: int, fold: str) -> Any:
    alias = _owner(FOLDS[fold])

    def method(self: Any, sound: Any, *arguments: Any) -> Any:
        return sound(*arguments[:place], alias(self, arguments[place]), *arguments[place + 1 :])

    return (target, method)


for _target, _place in (("tasks.get", 1), ("tasks.update", 2), ("tasks.count_by_status", 0), ("tasks.claim_next", 1), ("tasks.transfer", 1), ("thoughts.get", 1), ("thoughts.update", 2), ("thoughts.escalate", 1), ("thoughts.retry", 1), ("thoughts.transfer", 1), ("thoughts.count_by_status", 0)):
    _fold = list(FOLDS)[_place % 3]
    add(f"{_target}_knows_owners_but_for_{_fold}", "tasks.owner.exact", _owners(_target, _place, _fold))
add("owners_have_64_characters", "tasks.owner.exact tasks.find.exact", *storing(lambda record: record.replaced(agent_occurrence_id=record.agent_occurrence_id[:64]) if hasattr(record, "agent_occurrence_id") else record))

for _target in ("put_occurrence", "heartbeat", "remove_occurrence", "acquire_lease", "renew_lease"):

    def _named(self: Any, sound: Any, first: Any, *more: Any) -> Any:
        short = first[:64] if isinstance(first, str) else first.replaced(occurrence_id=first.occurrence_id[:64])
        return sound(short, *more)

    add(f"{_target}_cuts_names_at_64_characters", "coordination.ids", (f"coordination.{_target}", _named))
add("owners_of_leases_have_no_case", "coordination.ids", ("coordination.renew_lease", lambda self, sound, name, owner, *more: sound(name, self._leases.rows[name].owner if name in self._leases.rows and self._leases.rows[name].owner.casefold() == owner.casefold() else owner, *more)))
add("the_living_are_known_by_63_characters", "coordination.ids", ("tasks._matching", lambda self, sound, query: [row for row in sound(query) if query.owner_dead_at is None or row.agent_occurrence_id[:63] not in {key[:63] for key, each in self._tables.occurrences.rows.items() if each.alive(query.owner_dead_at)}]))
add("keys_of_secrets_have_no_case", "secrets.find.exact", ("secrets.find", lambda self, sound, page, key: ResultPage([row for row in sound(page, None).items if key is None or row.key_id.casefold() == key.casefold()])))
add("the_log_is_read_by_64_characters", "secrets.find.exact", ("secrets.list_access", lambda self, sound, page, id: ResultPage([row for row in sound(page, None).items if id is None or row.secret_id[:64] == id[:64]])))
add("chains_have_names_of_64_characters", "secrets.find.exact", ("audit.head", lambda self, sound, chain: max((sound(each) for each in self.chains() if each[:64] == chain[:64]), default=None)))
add("chains_have_no_case", "secrets.find.exact", ("audit.find", lambda self, sound, query: ResultPage([row for row in sound(replace(query, chain=None, limit=1000)).items if query.chain is None or row.chain.casefold() == query.chain.casefold()])))


@plant("tasks.owner.exact", "thoughts.transfer")
def a_transfer_of_thoughts_takes_those_of_all_owners_named_alike(self: Any, sound: Any, selector: Any, source: str, target: str, now: Any) -> int:
    alike = {row.agent_occurrence_id for row in self._thoughts.rows.values() if row.agent_occurrence_id[:63] == source[:63]}
    return sum(sound(selector, each, target, now) for each in alike | {source}) + (selector.task_id == "t" and sound(ThoughtSelector(task_id="x"), source, target, now))
