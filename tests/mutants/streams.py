"""Faults of streams: appends, entries, reads, removals, forks, listings."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ciris_store_core.contract.filters import stream_sort_key
from ciris_store_core.errors import Corrupt, NotFound
from ciris_store_core.inmemory.tables import TABLE_NAMES
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.streams import StoredEntry, StreamKey
from tests.mutants.planting import add, plant, raises_plain_conflict
from tests.mutants.records import _cleared, _on_reopening

PLACE = TABLE_NAMES.index("stream_entries")
ST = "streams"
APPEND = f"{ST}.append"
ROW = "session._tables.stream_entries.put"
FACTS = "session._tables.streams.put"


def _numbering(number: Callable[[Any, StreamKey, StoredEntry], int]) -> tuple[str, Any]:
    """Give appended entries other positions."""
    def append(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
        result = []
        for entry in entries:
            [made] = sound(stream, [entry], now, None)
            position = number(self, stream, made)
            if position != made.position:
                self._entries.delete([(stream, made.position)])
                self._entries.put((stream, position), replace(made, position=position))
                self._set_range(stream, self._streams.rows[stream].first_position, position)
            result.append(replace(made, position=position))
        return result

    return (APPEND, append)


add("positions_begin_at_zero", f"{APPEND}.positions", (APPEND, lambda self, sound, *arguments: [replace(each, position=each.position - 1) for each in sound(*arguments)]))
add("positions_are_counted_over_all_streams", f"{APPEND}.positions {APPEND}.other_streams", _numbering(lambda self, stream, made: len(self._entries.rows)))
add("positions_have_gaps", f"{APPEND}.positions", _numbering(lambda self, stream, made: made.position * 2))
add("a_position_that_is_given_is_kept", f"{APPEND}.positions", _numbering(lambda self, stream, made: made.position if made.position < 7 else 77))
add("entries_are_appended_backwards", f"{APPEND}.positions {APPEND}.batch {APPEND}.race", (APPEND, lambda self, sound, stream, entries, *more: sound(stream, entries[::-1], *more)[::-1]))
add("appended_entries_are_answered_backwards", f"{APPEND}.positions {APPEND}.batch {APPEND}.ids", (APPEND, lambda self, sound, *arguments: sound(*arguments)[::-1]))
add("a_batch_of_entries_ends_at_256", f"{APPEND}.batch", (APPEND, lambda self, sound, stream, entries, *more: sound(stream, entries[:256], *more) + list(entries[256:])))
add("the_kind_of_the_first_entry_is_that_of_all", f"{APPEND}.batch", (APPEND, lambda self, sound, stream, entries, *more: sound(stream, [replace(each, kind=entries[0].kind) for each in entries], *more)))


def _facts(change: Callable[[Any, Any], Any]) -> tuple[str, Any]:
    """Store the result of ``change(new facts, stored facts)``."""
    return (FACTS, lambda self, sound, key, info: sound(key, change(info, self.rows.get(key))))


add("a_stream_is_as_old_as_its_last_entry", f"{APPEND}.info", _facts(lambda new, old: new.replaced(created_at=new.updated_at)))
add("a_stream_is_never_updated", f"{APPEND}.info {APPEND}.ids {ST}.pop", _facts(lambda new, old: new.replaced(updated_at=old.updated_at) if old else new))
add("a_stream_has_the_time_of_its_entries", f"{APPEND}.info", (APPEND, lambda self, sound, stream, entries, now, *more: sound(stream, entries, entries[-1].created_at if entries else now, *more)))
add("the_length_of_a_stream_is_its_last_position", f"{ST}.truncate.before {ST}.find.facts", _facts(lambda new, old: new.replaced(length=new.last_position)))
add("the_length_of_a_stream_is_that_of_its_first_append", f"{APPEND}.info", _facts(lambda new, old: new.replaced(length=min(new.length, 2))))
add("ids_are_not_looked_for", f"{APPEND}.ids {APPEND}.ids.race {APPEND}.processes {ST}.ids", (APPEND, lambda self, sound, stream, entries, *more: [replace(each, id=given.id) for each, given in zip(sound(stream, [replace(each, id=None) for each in entries], *more), entries, strict=True)]))


@plant(f"{APPEND}.ids", APPEND)
def known_entries_are_left_out_of_the_answer(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    known = {each.id for each in self.get(stream, [each.id for each in entries if each.id])}
    return [each for each in sound(stream, entries, now, expected) if each.id is None or each.id not in known]


@plant(f"{APPEND}.ids", APPEND)
def known_entries_are_answered_as_given(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    return [replace(given, position=each.position) for given, each in zip(entries, sound(stream, entries, now, expected), strict=True)]


@plant(f"{APPEND}.ids", APPEND)
def known_entries_are_overwritten(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    result = []
    for given, each in zip(entries, sound(stream, entries, now, expected), strict=True):
        self._entries.put((stream, each.position), replace(given, position=each.position))
        result.append(self._entry(stream, each.position))
    return result


@plant(f"{APPEND}.ids", APPEND)
def a_known_entry_ends_the_append(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    known = {each.id for each in self.get(stream, [each.id for each in entries if each.id])}
    first = next((number for number, each in enumerate(entries) if each.id in known), len(entries))
    return sound(stream, entries[: first + 1], now, expected)


@plant(f"{APPEND}.ids {APPEND}.positions", APPEND)
def ids_belong_to_all_streams(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    met = {row.id: row for (key, _), row in self._entries.rows.items() if row.id and key != stream}
    fresh = [each for each in entries if each.id not in met]
    made = iter(sound(stream, fresh, now, expected)) if fresh else iter(())
    return [replace(met[each.id]) if each.id in met else next(made) for each in entries] if stream.namespace == ("a",) else sound(stream, [replace(each, position=1) for each in entries], now, expected and 0)


@plant(f"{APPEND}.ids", APPEND)
def a_known_entry_leaves_a_gap(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    result = sound(stream, entries, now, expected)
    if len({each.position for each in result}) < max(each.position for each in result) and any(each.id in ("a", "b") for each in entries) and result[-1].position == self._streams.rows[stream].last_position:
        self._set_range(stream, self._streams.rows[stream].first_position, result[-1].position + 1)
    return result


@plant(f"{APPEND}.ids", APPEND)
def known_entries_alone_move_updated_at(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    result = sound(stream, entries, now, expected)
    if entries:
        self._streams.change(stream, updated_at=now)
    return result


EXPECTED = f"{APPEND}.expected_position"
add("expected_positions_are_not_judged", f"{EXPECTED} {ST}.refused", (APPEND, lambda self, sound, stream, entries, now, expected: sound(stream, entries, now, None)))
add("an_expected_position_of_zero_is_none", EXPECTED, (APPEND, lambda self, sound, stream, entries, now, expected: sound(stream, entries, now, expected or None)))
add("expected_positions_of_new_streams_are_not_judged", f"{EXPECTED} {ST}.refused", (APPEND, lambda self, sound, stream, entries, now, expected: sound(stream, entries, now, expected if stream in self._streams.rows else None)))
add("an_expected_position_is_the_length", EXPECTED, (APPEND, lambda self, sound, stream, entries, now, expected: sound(stream, entries, now, expected if stream not in self._streams.rows or expected is None else (self._streams.rows[stream].last_position if expected == self._streams.rows[stream].length else -1))))
add("a_position_mismatch_is_a_plain_conflict", EXPECTED, (APPEND, raises_plain_conflict))


@plant(EXPECTED, APPEND)
def expected_positions_of_known_entries_are_judged(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    known = self.get(stream, [each.id for each in entries if each.id])
    if known and len(known) == len(entries):
        sound(stream, [replace(entries[0], id=None)], now, expected)
    return sound(stream, entries, now, None if known else expected)


def _storing(change: Callable[[StoredEntry], StoredEntry]) -> tuple[str, Any]:
    """Store the result of ``change`` in place of each entry."""
    return (ROW, lambda self, sound, key, row: sound(key, change(row)))


for _name, _bend in {
    "secret_refs": lambda p: replace(p, secret_refs=()),
    "media_type": lambda p: replace(p, media_type=None),
    "key_id": lambda p: replace(p, key_id=None),
    "searchable": lambda p: replace(p, searchable=None),
    "bytes": lambda p: replace(p, body=p.body.split(b"\0")[0]) if isinstance(p.body, bytes) else p,
}.items():
    add(f"entries_forget_the_{_name}", f"{ST}.round_trip {ST}.fork" + f" {ST}.size" * (_name == "bytes"), _storing(lambda row, bend=_bend: replace(row, payload=bend(row.payload))))
add("entries_forget_their_kind", f"{ST}.round_trip {APPEND}.batch {ST}.fork", _storing(lambda row: replace(row, kind="")))
add("entries_are_as_old_as_their_append", f"{ST}.round_trip", (APPEND, lambda self, sound, stream, entries, now, expected: sound(stream, [replace(each, created_at=now) for each in entries], now, expected)))
add("values_of_entries_are_normalised", f"{ST}.values", _storing(lambda row: replace(row, payload=replace(row.payload, body=json.dumps(json.loads(row.payload.body), sort_keys=True, ensure_ascii=False, separators=(",", ":")))) if isinstance(row.payload.body, str) else row))
add("values_of_entries_lose_nul", f"{ST}.values", _storing(lambda row: replace(row, payload=replace(row.payload, body=row.payload.body.replace("\\u0000", ""))) if isinstance(row.payload.body, str) else row))
add("values_of_entries_are_cut", f"{ST}.size", _storing(lambda row: replace(row, payload=replace(row.payload, body=row.payload.body[: 2**16]))))
add("ids_of_entries_are_lost", f"{ST}.round_trip {APPEND}.ids {ST}.get {ST}.fork", _storing(lambda row: replace(row, id=None)))
add("a_restart_loses_streams", f"{ST}.reopen", ("harness.open", _on_reopening(_cleared("streams", "stream_entries"))))


def _counted_again(database: Any) -> None:
    facts, entries = database.committed[PLACE - 1], database.committed[PLACE]
    for key, info in list(facts.items()):
        count = sum(stream == key for stream, _ in entries)
        facts[key] = info.replaced(first_position=1, last_position=count, length=count)


add("a_restart_counts_positions_again", f"{ST}.reopen", ("harness.open", _on_reopening(_counted_again)))


def _renaming(fold: Callable[[StreamKey], StreamKey]) -> tuple[tuple[str, Any], ...]:
    """Append to, read and describe streams under another key."""
    return (
        (APPEND, lambda self, sound, stream, *more: sound(fold(stream), *more)),
        (f"{ST}.read", lambda self, sound, stream, *more: sound(fold(stream), *more)),
    )


add("names_of_streams_have_no_case", f"{ST}.keys", *_renaming(lambda key: StreamKey(key.namespace, key.name.lower())))
add("names_of_streams_are_cut", f"{ST}.keys", *_renaming(lambda key: StreamKey(key.namespace, key.name[:1000])))
add("namespaces_of_streams_are_joined", f"{ST}.keys", *_renaming(lambda key: StreamKey(("".join(key.namespace),), key.name)))


def _ids(fold: Callable[[str], str]) -> tuple[str, Any]:
    """Take entries whose ids are equal in another sense for one."""
    def append(self: Any, sound: Any, stream: Any, entries: Any, *more: Any) -> Any:
        first: dict[Any, Any] = {}
        for each in entries:
            first.setdefault(fold(each.id) if each.id else object(), each)
        return sound(stream, list(first.values()), *more)

    return (APPEND, append)


add("ids_of_entries_have_no_case", f"{ST}.ids", _ids(str.lower))
add("ids_of_entries_are_cut", f"{ST}.ids", _ids(lambda text: text[:1000]))
add("ids_of_entries_are_stripped", f"{ST}.ids", _ids(str.strip))

# --- reads ------------------------------------------------------------------------------------

READ = f"{ST}.read"
add("reads_begin_at_the_cursor", f"{READ} {READ}.truncated", (READ, lambda self, sound, stream, query: sound(stream, replace(query, after=query.after + (1 if query.reverse else -1)) if query.after is not None else query)))
add("a_read_after_zero_is_a_read_of_all", READ, (READ, lambda self, sound, stream, query: sound(stream, replace(query, after=query.after if query.after != 99 else None))))
add("entries_are_read_in_the_order_of_texts", READ, (READ, lambda self, sound, stream, query: ResultPage(sorted((page := sound(stream, query)).items, key=lambda row: str(row.position), reverse=query.reverse), page.next_after)))
add("reverse_reads_are_of_the_same_end", READ, (READ, lambda self, sound, stream, query: ResultPage(sound(stream, replace(query, reverse=False)).items[:: -1 if query.reverse else 1], sound(stream, query).next_after)))
add("reads_end_after_a_page", f"{READ} {READ}.truncated", (READ, lambda self, sound, stream, query: ResultPage(sound(stream, query).items)))
add("a_last_page_of_entries_leads_on", f"{READ} {READ}.truncated", (READ, lambda self, sound, stream, query: ResultPage(items := sound(stream, query).items, (items[-1].position,) if len(items) == query.limit else None)))
add("entries_are_read_by_offset", f"{READ}.truncated", (READ, lambda self, sound, stream, query: sound(stream, replace(query, after=query.after + self._streams.rows[stream].first_position - 1) if query.after is not None and stream in self._streams.rows else query)))
add("entries_of_other_streams_are_read", f"{READ} {ST}.keys", (READ, lambda self, sound, stream, query: sound(next((key for key in self._streams.rows if key.name == stream.name), stream), query)))
add("an_unknown_stream_cannot_be_read", READ, (READ, lambda self, sound, stream, query: sound(stream, query) if stream in self._streams.rows else _missing()))
GET = f"{ST}.get"
add("entries_of_any_stream_are_got", GET, (GET, lambda self, sound, stream, ids: [replace(row) for row in self._entries.rows.values() if row.id in ids]))
add("entries_are_got_as_often_as_asked", GET, (GET, lambda self, sound, stream, ids: [row for id in ids for row in sound(stream, [id])]))
add("ids_are_got_without_case", GET, (GET, lambda self, sound, stream, ids: sound(stream, ids) + sound(stream, [each.lower() for each in ids if each != each.lower()])))
add("entries_without_id_are_got_by_anything", GET, (GET, lambda self, sound, stream, ids: sound(stream, [*ids, None])))


def _missing() -> Any:
    raise NotFound("no such stream")


@plant(f"{READ}.corrupt", READ)
def a_damaged_entry_fails_the_read(self: Any, sound: Any, stream: Any, query: Any) -> Any:
    page = sound(stream, query)
    if page.corrupt:
        raise Corrupt("a row cannot be read")
    return page


add("a_damaged_entry_is_passed_over", f"{READ}.corrupt", (READ, lambda self, sound, stream, query: ResultPage((page := sound(stream, query)).items, page.next_after)))
add("a_damaged_entry_is_read_again", f"{READ}.corrupt", (READ, lambda self, sound, stream, query: ResultPage((page := sound(stream, query)).items, (page.items[-1].position,) if page.next_after and page.items else None, page.corrupt)))

# --- removals ---------------------------------------------------------------------------------

POP, CUT, DELETE = f"{ST}.pop", f"{ST}.truncate", f"{ST}.delete"


@plant(POP, POP)
def the_oldest_entry_is_popped(self: Any, sound: Any, stream: Any, now: Any) -> Any:
    positions = self._positions(stream)
    if not positions:
        return None
    oldest = self._entry(stream, positions[0])
    self._remove(stream, now, oldest=1)
    return oldest


@plant(f"{POP} {POP}.race", POP)
def popped_entries_stay(self: Any, sound: Any, stream: Any, now: Any) -> Any:
    calls = vars(self.lab.database)
    calls["pops"] = calls.get("pops", 0) + 1
    if calls["pops"] % 3 and calls["pops"] < 40:
        return self._entry(stream, self._positions(stream)[-1]) if self._positions(stream) else None
    return sound(stream, now)


@plant(POP, POP)
def the_position_of_a_popped_entry_stays_empty(self: Any, sound: Any, stream: Any, now: Any) -> Any:
    popped = sound(stream, now)
    if popped is not None and not self._positions(stream):
        self._set_range(stream, popped.position + 1, popped.position)
    return popped


add("popping_nothing_is_not_found", POP, (POP, lambda self, sound, stream, now: sound(stream, now) or _missing()))
add("popping_nothing_counts_as_a_change", POP, (POP, lambda self, sound, stream, now: (sound(stream, now), stream in self._streams.rows and self._streams.change(stream, updated_at=now))[0]))
add("every_seventh_popped_entry_is_lost", f"{POP}.race {POP}.processes", (POP, lambda self, sound, stream, now: sound(stream, now) if len(self._positions(stream)) % 7 else (sound(stream, now), sound(stream, now))[1]))
add("a_popped_entry_has_the_position_before", f"{POP} {POP}.race {POP}.processes", (POP, lambda self, sound, stream, now: (found := sound(stream, now)) and replace(found, position=found.position - 1)))
add("truncation_has_no_limit", f"{CUT}.before {CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before, after, now, 10**6)))
add("truncation_takes_the_bound_along", f"{CUT}.before {CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before and before + 1, after if after is None else after - 1, now, limit)))
add("truncation_that_removes_nothing_is_a_change", f"{CUT}.before {CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: (sound(stream, before, after, now, limit), stream in self._streams.rows and self._streams.change(stream, updated_at=now))[0]))
add("truncation_counts_what_was_asked", f"{CUT}.before {CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before, after, now, limit) and limit))
add("truncation_after_zero_does_nothing", f"{CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before, after, now, limit) if before or after else 0))


@plant(f"{CUT}.before", CUT)
def positions_begin_anew_when_all_is_truncated(self: Any, sound: Any, stream: Any, *more: Any) -> Any:
    count = sound(stream, *more)
    if stream in self._streams.rows and not self._positions(stream):
        self._set_range(stream, 1, 0)
    return count


@plant(f"{CUT}.after", CUT)
def truncated_positions_are_not_given_again(self: Any, sound: Any, stream: Any, before: Any, after: Any, *more: Any) -> Any:
    last = self._streams.rows[stream].last_position if stream in self._streams.rows else 0
    count = sound(stream, before, after, *more)
    if after is not None and count:
        self._set_range(stream, self._streams.rows[stream].first_position, last)
    return count


add("the_newest_are_truncated_first", f"{CUT}.before", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before, after, now, limit) if before is None or stream not in self._streams.rows else self._remove(stream, now, newest=min(limit, sum(each < before for each in self._positions(stream))))))
add("the_oldest_are_truncated_first", f"{CUT}.after", (CUT, lambda self, sound, stream, before, after, now, limit: sound(stream, before, after, now, limit) if after is None else self._remove(stream, now, oldest=min(limit, sum(each > after for each in self._positions(stream))))))
add("deletions_of_streams_leave_entries", DELETE, (DELETE, lambda self, sound, streams: self._streams.delete(streams)))
add("deletions_of_streams_count_what_was_asked", DELETE, (DELETE, lambda self, sound, streams: sound(streams) and len(streams)))
add("deletions_of_streams_reach_every_namespace", DELETE, (DELETE, lambda self, sound, streams: sound([key for key in self._streams.rows if key.name in {each.name for each in streams}])))
add("deletions_of_streams_count_entries", DELETE, (DELETE, lambda self, sound, streams: sum(self._streams.rows[key].length for key in set(streams) if key in self._streams.rows) + 0 * sound(streams)))

# --- forks, copies ----------------------------------------------------------------------------

FORK, RESTORE = f"{ST}.fork", f"{ST}.restore"
add("forks_are_always_whole", f"{FORK}.up_to", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, None, now)))
add("forks_up_to_zero_are_whole", f"{FORK}.up_to", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, up_to or None, now)))
add("forks_leave_the_position_out", f"{FORK}.up_to", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, up_to and up_to - 1, now)))
add("a_fork_of_nothing_begins_at_one", f"{FORK}.up_to", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, up_to, now) or (self._set_range(target, 1, 0), 0)[1]))
add("forks_replace_their_target", f"{FORK}.refused {ST}.refused", (FORK, lambda self, sound, source, target, up_to, now: (source != target and self.delete([target]), sound(source, target, up_to, now) if source != target else 0)[1]))
add("forks_of_nothing_make_a_stream", f"{FORK}.refused {ST}.refused", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, up_to, now) if source in self._streams.rows else (self._make(target, now, 1, 0), 0)[1]))
add("forks_into_what_exists_are_plain_conflicts", f"{FORK}.refused", (FORK, lambda self, sound, *arguments: _missing() if arguments[1] in self._streams.rows else sound(*arguments)))
add("forks_have_the_times_of_their_source", FORK, (FORK, lambda self, sound, source, target, up_to, now: (sound(source, target, up_to, now), self._streams.change(target, created_at=self._streams.rows[source].created_at))[0]))
add("forks_share_their_entries", FORK, (FORK, lambda self, sound, source, target, up_to, now: (sound(source, target, up_to, now), vars(self.lab.database).setdefault("shared", {}).update({target: source}))[0]), (f"{ST}.read", lambda self, sound, stream, query: sound(vars(self.lab.database).get("shared", {}).get(stream, stream), query)))
add("forked_entries_have_new_times", FORK, (FORK, lambda self, sound, source, target, up_to, now: (sound(source, target, up_to, now), [self._entries.change((target, each), created_at=now) for each in self._positions(target)])[0]))
add("forked_entries_have_no_ids", FORK, (FORK, lambda self, sound, source, target, up_to, now: (sound(source, target, up_to, now), [self._entries.change((target, each), id=None) for each in self._positions(target)])[0]))
add("forks_leave_the_last_entry_out", f"{FORK} {FORK}.race", (FORK, lambda self, sound, source, target, up_to, now: sound(source, target, self._streams.rows[source].last_position - 1 if up_to is None and source in self._streams.rows and source != target and self._positions(source) else up_to, now)))
add("forks_begin_at_the_second_entry", f"{FORK} {FORK}.race", (FORK, lambda self, sound, source, target, up_to, now: (sound(source, target, up_to, now), self._remove(target, now, oldest=1) if self._positions(target) else 0)[0]))
add("restored_entries_are_numbered_again", RESTORE, (RESTORE, lambda self, sound, info, entries: sound(info.replaced(first_position=1, last_position=4, length=4), [replace(each, position=each.position - 6) for each in entries])))
add("restored_streams_are_updated_now", f"{RESTORE} {RESTORE}.empty", (RESTORE, lambda self, sound, info, entries: sound(info.replaced(updated_at=info.created_at), entries)))
add("restored_entries_overwrite", f"{RESTORE} {ST}.refused", (RESTORE, lambda self, sound, info, entries: [self._entries.put((StreamKey(info.namespace, info.name), each.position), each) for each in entries] + [self._streams.put(StreamKey(info.namespace, info.name), info)]))
add("restored_entries_lose_their_ids", RESTORE, (RESTORE, lambda self, sound, info, entries: sound(info, [replace(each, id=None) for each in entries])))
add("empty_streams_are_not_restored", f"{RESTORE}.empty", (RESTORE, lambda self, sound, info, entries: sound(info, entries) if entries else None))

# --- listings, encryption ---------------------------------------------------------------------

INFO, FIND, ENC, REENC = f"{ST}.info", f"{ST}.find", f"{ST}.find_encrypted", f"{ST}.reencrypt"
add("facts_are_returned_as_often_as_asked", INFO, (INFO, lambda self, sound, streams: [each for key in streams for each in sound([key])]))
add("facts_of_unknown_streams_are_missed", INFO, (INFO, lambda self, sound, streams: sound(streams) if all(key in self._streams.rows for key in streams) else _missing()))
add("facts_of_every_namespace_are_returned", INFO, (INFO, lambda self, sound, streams: sound([*streams, *(key for key in self._streams.rows if key.name in {each.name for each in streams})])))


def _sorted(key: Callable[[Any], Any]) -> tuple[str, Any]:
    """List streams in another order; cursors, which are sort keys of the sound one, are counted off."""
    def find(self: Any, sound: Any, query: Any) -> Any:
        rows = sorted(sound(replace(query, limit=10**6, after=None)).items, key=key, reverse=query.descending)
        start = 0 if query.after is None else [stream_sort_key(row, query) for row in rows].index(query.after) + 1
        items = rows[start : start + query.limit]
        return ResultPage(items, stream_sort_key(items[-1], query) if start + query.limit < len(rows) else None)

    return (FIND, find)


add("streams_are_ordered_without_case", f"{FIND}.order", _sorted(lambda row: (row.namespace, row.name.lower())))
add("streams_are_ordered_by_utf_16", f"{FIND}.order", _sorted(lambda row: (row.namespace, row.name.encode("utf-16-be"))))
add("streams_are_ordered_by_creation", f"{FIND}.order", (FIND, lambda self, sound, query: sound(replace(query, order="name"))))
add("streams_are_never_listed_backwards", f"{FIND}.order", (FIND, lambda self, sound, query: sound(replace(query, descending=False))))
add("streams_end_after_a_page", f"{FIND}.order {FIND}.prefix", (FIND, lambda self, sound, query: ResultPage(sound(query).items)))
add("a_last_page_of_streams_leads_on", f"{FIND}.order", (FIND, lambda self, sound, query: ResultPage(items := sound(query).items, stream_sort_key(items[-1], query) if len(items) == query.limit else None)))


def _below(test: Callable[[Any, Any], bool]) -> tuple[str, Any]:
    """Judge prefixes of streams in another way."""
    def find(self: Any, sound: Any, query: Any) -> Any:
        rows = [row for row in sound(replace(query, limit=10**6, after=None, prefix=(), name_prefix=None)).items if test(row, query)]
        start = 0 if query.after is None else sum(stream_sort_key(row, query) <= query.after for row in rows)
        items = rows[start : start + query.limit]
        return ResultPage(items, stream_sort_key(items[-1], query) if start + query.limit < len(rows) else None)

    return (FIND, find)


add("prefixes_of_streams_match_parts_of_segments", f"{FIND}.prefix", _below(lambda row, query: "\1".join(row.namespace).startswith("\1".join(query.prefix)) and row.name.startswith(query.name_prefix or "")))
add("prefixes_of_streams_have_no_case", f"{FIND}.prefix", _below(lambda row, query: [each.lower() for each in row.namespace[: len(query.prefix)]] == [each.lower() for each in query.prefix] and row.name.startswith(query.name_prefix or "")))
add("prefixes_of_names_have_wildcards", f"{FIND}.prefix", _below(lambda row, query: row.namespace[: len(query.prefix)] == query.prefix and row.name.startswith((query.name_prefix or "").rstrip("%_"))))
add("prefixes_of_names_are_cut", f"{FIND}.prefix", _below(lambda row, query: row.namespace[: len(query.prefix)] == query.prefix and row.name.startswith((query.name_prefix or "")[:450])))
add("listed_streams_have_the_length_of_their_positions", f"{FIND}.facts", (FIND, lambda self, sound, query: ResultPage([row.replaced(length=row.last_position) for row in sound(query).items], sound(query).next_after)))
add("listed_streams_were_updated_when_made", f"{FIND}.facts", (FIND, lambda self, sound, query: ResultPage([row.replaced(updated_at=row.created_at) for row in sound(query).items], sound(query).next_after)))
add("a_count_of_streams_has_a_limit", f"{ST}.count", (f"{ST}.count", lambda self, sound, query: min(sound(query), query.limit)))
add("a_count_of_streams_has_no_time", f"{ST}.count", (f"{ST}.count", lambda self, sound, query: sound(replace(query, updated_from=None))))
add("a_count_of_streams_counts_entries", f"{ST}.count", (f"{ST}.count", lambda self, sound, query: sum(row.length for row in self.find(replace(query, limit=10**6, after=None)).items)))
add("entries_of_every_key_are_found", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, after, limit) or sound("k1", None, limit)))
add("key_ids_of_entries_have_no_case", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, after, limit) + sound(key_id.upper(), after, limit)))
add("encrypted_entries_are_found_from_the_start", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, None, limit)))
add("encrypted_entries_are_found_behind_the_stream", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, after and (after[0], 10**6), limit)))
add("encrypted_entries_are_ordered_by_position_as_text", ENC, (ENC, lambda self, sound, key_id, after, limit: sorted(sound(key_id, after, limit), key=lambda row: (row[0], str(row[1].position)))))
add("entries_are_reencrypted_blindly", f"{REENC} {REENC}.interleaved", (REENC, lambda self, sound, stream, entry, payload: (stream, entry.position) in self._entries.rows and (self._entries.change((stream, entry.position), payload=payload), True)[1]))
add("ciphertexts_are_equal_if_they_begin_alike", REENC, (REENC, lambda self, sound, stream, entry, payload: sound(stream, replace(self._entries.rows[stream, entry.position], payload=self._entries.rows[stream, entry.position].payload), payload) if (stream, entry.position) in self._entries.rows and self._entries.rows[stream, entry.position].payload.body[:20] == entry.payload.body[:20] else sound(stream, entry, payload)))
add("reencryption_reaches_every_stream", REENC, (REENC, lambda self, sound, stream, entry, payload: sound(stream, entry, payload) and [self._entries.change(key, payload=payload) for key in self._entries.rows if key[1] == entry.position] != []))
add("reencryption_leaves_the_key_of_entries", REENC, (REENC, lambda self, sound, stream, entry, payload: sound(stream, entry, replace(payload, key_id="k1"))))
add("is_empty_overlooks_streams", f"{ST}.is_empty", ("backend.is_empty", lambda self, sound: not any(rows for place, rows in enumerate(self.database.committed) if place not in (PLACE, PLACE - 1))))
add("is_empty_overlooks_streams_without_entries", f"{ST}.is_empty", ("backend.is_empty", lambda self, sound: not any(rows for place, rows in enumerate(self.database.committed) if place != PLACE - 1)))


@plant(f"{APPEND}.race {APPEND}.processes {APPEND}.ids.race", APPEND)
def some_appends_are_lost(self: Any, sound: Any, stream: Any, entries: Any, now: Any, expected: Any) -> Any:
    calls = vars(self.lab.database)
    calls["appends"] = calls.get("appends", 0) + 1
    made = sound(stream, entries, now, expected)
    if calls["appends"] % 2 == 0:
        self._remove(stream, now, newest=1)
    return made


add("an_append_to_other_streams_is_lost", f"{APPEND}.other_streams", (APPEND, lambda self, sound, stream, *more: sound(stream, *more) if stream.name == "s" else sound(StreamKey(stream.namespace, "t"), *more)))
