"""Faults of documents: writes, values, reads, deletions, listings. Those of filters have a module of their own."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.conformance.payload_samples import FULL
from ciris_store_core.errors import AlreadyExists, DatabaseError, NotFound
from ciris_store_core.inmemory.tables import TABLE_NAMES
from ciris_store_core.models.documents import DocumentKey, StoredDocument
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.payloads import Payload
from tests.mutants.planting import add, always, plant, raises_plain_conflict
from tests.mutants.records import _cleared, _on_reopening

TICK = timedelta(microseconds=1)
PLACE = TABLE_NAMES.index("documents")
DOC = "documents"
PUT = f"{DOC}.put"
FIND = f"{DOC}.find"


def _storing(change: Callable[[StoredDocument, StoredDocument | None], StoredDocument]) -> tuple[str, Any]:
    """Store the result of ``change(new row, stored row)`` in place of each row."""
    return ("session._tables.documents.put", lambda self, sound, key, row: sound(key, change(row, self.rows.get(key))))


def _writing(change: Callable[[Any, Any], Any]) -> tuple[str, Any]:
    """Put the result of ``change(write, stored document)`` in place of each write."""
    return (PUT, lambda self, sound, writes, now: sound([change(each, self._documents.rows.get(each.document.id)) for each in writes], now))


def _answering(change: Callable[[StoredDocument], StoredDocument]) -> tuple[str, Any]:
    """Change each document that ``put`` returns, and that it has stored."""
    def put(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        for each in sound(writes, now):
            self._documents.put(each.id, change(each))
        return self._documents.pick(each.document.id for each in writes)

    return (PUT, put)


# --- put --------------------------------------------------------------------------------------

add("a_new_document_has_the_revision_given", f"{PUT}.new", ("session._tables.documents.put", lambda self, sound, key, row: sound(key, replace(row, revision=7) if key.key == "a" else row)))
add("a_new_document_begins_at_zero", f"{PUT}.new", _answering(lambda row: replace(row, revision=row.revision - 1)))
add("puts_are_answered_in_the_order_of_keys", f"{PUT}.new {PUT}.batch", (PUT, lambda self, sound, writes, now: sorted(sound(writes, now), key=lambda each: each.id)))
add("a_put_stamps_its_own_time", f"{PUT}.new", (PUT, lambda self, sound, writes, now: sound([replace(each, document=replace(each.document, updated_at=now)) for each in writes], now)))
add("a_put_makes_created_at_new", f"{PUT}.replaces", _storing(lambda new, old: replace(new, created_at=new.updated_at if old else new.created_at)))
add("a_put_merges_metadata", f"{PUT}.replaces", _storing(lambda new, old: replace(new, metadata={**((old and old.metadata) or {}), **(new.metadata or {})})))
add("a_put_keeps_the_metadata", f"{PUT}.replaces", _storing(lambda new, old: replace(new, metadata=new.metadata or (old and old.metadata) or None)))
add("a_put_keeps_the_expiry", f"{PUT}.replaces", _storing(lambda new, old: replace(new, expires_at=new.expires_at or (old.expires_at if old else None))))
add("a_put_keeps_the_ttl", f"{PUT}.replaces", _storing(lambda new, old: replace(new, ttl=new.ttl or (old.ttl if old else None))))
for _field, _none in (("media_type", None), ("key_id", None), ("secret_refs", ()), ("searchable", None)):
    add(f"a_put_keeps_the_{_field}", f"{PUT}.replaces" + " documents.filters.searchable" * (_field == "searchable"), _storing(lambda new, old, name=_field: replace(new, payload=replace(new.payload, **{name: getattr(new.payload, name) or (getattr(old.payload, name) if old else getattr(new.payload, name))}))))
add("a_put_leaves_the_revision", f"{PUT}.replaces {PUT}.race {PUT}.deadlock", _storing(lambda new, old: replace(new, revision=old.revision) if old and old.payload is not new.payload else new))
add("a_revision_grows_by_two", f"{PUT}.replaces {PUT}.expected_revision {PUT}.race {PUT}.processes {PUT}.deadlock", _storing(lambda new, old: replace(new, revision=old.revision + 2) if old and new.revision == old.revision + 1 else new))
add("an_insert_of_a_document_overwrites", f"{PUT}.insert {PUT}.insert.race documents.refused", _writing(lambda write, old: replace(write, mode="put") if write.mode == "insert" else write))
add("an_insert_of_what_exists_does_nothing", f"{PUT}.insert {PUT}.insert.race documents.refused", (PUT, lambda self, sound, writes, now: sound([each for each in writes if each.mode != "insert" or each.document.id not in self._documents.rows], now)))
add("a_document_that_exists_is_a_plain_conflict", f"{PUT}.insert {PUT}.expected_revision {PUT}.restore", (PUT, raises_plain_conflict))


@plant(f"{PUT}.insert {PUT}.expected_revision {PUT}.restore documents.refused", PUT)
def a_batch_is_put_one_by_one(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    done: list[Any] = []
    for each in writes:
        try:
            done += sound([each], now)
        except AlreadyExists as error:
            raise error
        finally:
            # As with a database that commits each statement: a later error does not undo what was written.
            self.lab.database.committed[PLACE].update({row.id: row for row in done})
    return done


add("expected_revisions_are_not_judged", f"{PUT}.expected_revision documents.refused", _writing(lambda write, old: replace(write, expected_revision=None)))
add("an_expected_revision_of_zero_is_none", f"{PUT}.expected_revision {PUT}.insert.race documents.refused", _writing(lambda write, old: replace(write, expected_revision=write.expected_revision or None)))
add("a_later_revision_is_taken_for_the_expected_one", f"{PUT}.expected_revision", _writing(lambda write, old: replace(write, expected_revision=old.revision if write.expected_revision and old and old.revision < write.expected_revision else write.expected_revision)))
add("an_earlier_revision_is_taken_for_the_expected_one", f"{PUT}.expected_revision", _writing(lambda write, old: replace(write, expected_revision=old.revision if write.expected_revision and old and old.revision > write.expected_revision else write.expected_revision)))
add("a_revision_of_what_is_not_there_is_fine", f"{PUT}.expected_revision", _writing(lambda write, old: write if old else replace(write, expected_revision=None)))
add("that_it_exists_is_judged_before_the_revision", f"{PUT}.expected_revision", _writing(lambda write, old: replace(write, expected_revision=None) if write.mode == "insert" and old else write))
add("revisions_of_inserts_are_not_judged", f"{PUT}.expected_revision", _writing(lambda write, old: replace(write, expected_revision=None) if write.mode == "insert" else write))


@plant(f"{PUT}.expired", PUT)
def what_expired_stands_in_the_way(self: Any, sound: Any, writes: Any, now: Any) -> Any:
    return sound(writes, now - timedelta(days=9))


add("what_expires_now_still_counts_for_a_put", f"{PUT}.expired", (PUT, lambda self, sound, writes, now: sound(writes, now - TICK)))
add("what_expires_next_counts_as_absent_for_a_put", f"{PUT}.expired", (PUT, lambda self, sound, writes, now: sound(writes, now + TICK)))
add("revisions_begin_anew_after_an_expiry", f"{PUT}.expired", _storing(lambda new, old: replace(new, revision=1) if old and old.expires_at == FULL["created_at"].replace(year=2025, month=1, day=1, hour=12, second=10) else new))
add("created_at_outlives_an_expiry", f"{PUT}.expired", _storing(lambda new, old: replace(new, created_at=old.created_at) if old else new))
add("a_restored_document_is_new", f"{PUT}.restore", _writing(lambda write, old: replace(write, mode="insert")))
add("a_restored_document_replaces", f"{PUT}.restore documents.refused", (PUT, lambda self, sound, writes, now: sound(writes, now + 0 * TICK * len([self._documents.delete([each.document.id]) for each in writes if each.mode == "restore"]))))
add("a_restore_passes_over_what_expired", f"{PUT}.restore", (PUT, lambda self, sound, writes, now: sound(writes, now + 0 * TICK * len([self._documents.delete([each.document.id]) for each in writes if each.mode == "restore" and (old := self._documents.rows.get(each.document.id)) and old.expires_at and old.expires_at <= now]))))
add("a_batch_ends_at_500", f"{PUT}.batch", (PUT, lambda self, sound, writes, now: sound(writes[:500], now) + self._documents.pick(each.document.id for each in writes[500:])))
add("the_first_value_of_a_batch_is_that_of_all", f"{PUT}.batch documents.keys", (PUT, lambda self, sound, writes, now: sound([replace(each, document=replace(each.document, payload=writes[0].document.payload)) for each in writes], now)))


def _losing(share: int) -> Any:
    """Acknowledge one of some compare-and-sets without storing it."""
    def put(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        calls = vars(self.lab.database)
        calls["puts"] = calls.get("puts", 0) + 1
        if calls["puts"] % share == 0 and all(each.expected_revision for each in writes):
            return [each.document for each in writes]
        return sound(writes, now)

    return put


add("some_compare_and_sets_are_lost", f"{PUT}.race {PUT}.processes", (PUT, _losing(3)))
add("a_batch_of_twenty_loses_its_last", f"{PUT}.deadlock", (PUT, lambda self, sound, writes, now: sound(writes[:19], now)))

# --- values -----------------------------------------------------------------------------------

_PAYLOAD: dict[str, tuple[str, Callable[[Payload], Payload]]] = {
    "secret_refs_are_sorted": ("round_trip", lambda p: replace(p, secret_refs=tuple(sorted(p.secret_refs)))),
    "secret_refs_are_lost": ("round_trip find.whole", lambda p: replace(p, secret_refs=())),
    "media_types_are_lost": ("round_trip find.whole", lambda p: replace(p, media_type=None)),
    "key_ids_are_lost": ("round_trip", lambda p: replace(p, key_id=None)),
    "searchable_copies_are_lost": ("round_trip", lambda p: replace(p, searchable=None)),
    "the_searchable_copy_becomes_the_body": ("round_trip values", lambda p: replace(p, body=p.searchable or p.body, searchable=None)),
    "bytes_that_are_text_become_text": ("round_trip", lambda p: replace(p, body=p.body.decode()) if isinstance(p.body, bytes) and p.body.isascii() else p),
    "bytes_end_at_a_zero": ("round_trip size", lambda p: replace(p, body=p.body.split(b"\0")[0]) if isinstance(p.body, bytes) else p),
    "empty_bytes_become_json": ("round_trip", lambda p: p if p.body else Payload("json", "null")),
    "keys_of_objects_are_sorted": ("values", lambda p: replace(p, body=json.dumps(json.loads(p.body), sort_keys=True, ensure_ascii=False, separators=(",", ":"))) if isinstance(p.body, str) and p.format == "json" else p),
    "floats_that_are_whole_become_integers": ("values round_trip", lambda p: replace(p, body=p.body.replace("1.0", "1")) if isinstance(p.body, str) else p),
    "nul_is_cut_out": ("values", lambda p: replace(p, body=p.body.replace("\\u0000", "")) if isinstance(p.body, str) else p),
    "surrogates_are_replaced": ("values round_trip", lambda p: replace(p, body=p.body.decode(errors="replace")) if isinstance(p.body, bytes) and p.format == "json" else p),
    "texts_are_normalised": ("values", lambda p: replace(p, body=unicodedata.normalize("NFC", p.body)) if isinstance(p.body, str) else p),
    "values_are_cut_at_a_mebibyte": ("size", lambda p: replace(p, body=p.body[: 2**20])),
    "values_are_cut_at_16_million_bytes": ("size", lambda p: replace(p, body=p.body[:8_000_000] if isinstance(p.body, str) else p.body[:16_000_000])),
}
for _name, (_clauses, _bend) in _PAYLOAD.items():
    add(f"document_{_name}", " ".join(f"{DOC}.{each}" for each in _clauses.split()), _storing(lambda new, old, bend=_bend: replace(new, payload=bend(new.payload))))
for _field in ("metadata", "ttl", "expires_at"):
    add(f"documents_forget_the_{_field}", f"{DOC}.round_trip {DOC}.reopen {PUT}.new {FIND}.whole", _storing(lambda new, old, name=_field: replace(new, **{name: None})))
add("times_of_documents_are_cut_to_milliseconds", f"{DOC}.round_trip", _storing(lambda new, old: replace(new, updated_at=new.updated_at.replace(microsecond=new.updated_at.microsecond // 1000 * 1000))))
add("a_restart_loses_documents", f"{DOC}.reopen", ("harness.open", _on_reopening(_cleared("documents"))))


def _first_again(database: Any) -> None:
    database.committed = [{key: replace(row, revision=1) for key, row in rows.items()} if place == PLACE else rows for place, rows in enumerate(database.committed)]


add("a_restart_begins_revisions_anew", f"{DOC}.reopen", ("harness.open", _on_reopening(_first_again)))


def _folding(fold: Callable[[DocumentKey], DocumentKey]) -> tuple[tuple[str, Any], ...]:
    """Store and look for documents under another key."""
    def put(self: Any, sound: Any, writes: Any, now: Any) -> Any:
        folded = [(each, fold(each.document.id)) for each in writes]
        return sound(list({key: replace(each, document=replace(each.document, namespace=key.namespace, key=key.key)) for each, key in folded}.values()), now)

    return ((PUT, put), (f"{DOC}.get", lambda self, sound, keys, now: sound(list(map(fold, keys)), now)))


add("keys_of_documents_have_no_case", f"{DOC}.keys", *_folding(lambda key: DocumentKey(key.namespace, key.key.lower())))
add("keys_of_documents_are_cut", f"{DOC}.keys", *_folding(lambda key: DocumentKey(key.namespace, key.key[:1000])))
add("namespaces_are_joined", f"{DOC}.keys", *_folding(lambda key: DocumentKey(("".join(key.namespace),), key.key)))
add("namespaces_are_cut", f"{DOC}.keys", *_folding(lambda key: DocumentKey((" ".join(key.namespace)[:5000],), key.key)))
add("documents_are_stored_without_copying", f"{DOC}.values.separate", ("session._tables.documents.put", lambda self, sound, key, row: self._own().__setitem__(key, row)))
add("documents_are_returned_without_copying", f"{DOC}.values.separate", (f"{DOC}.get", lambda self, sound, keys, now: [self._documents.rows[key] for key in keys if key in self._documents.rows]))

# --- get, touch, lock -------------------------------------------------------------------------

add("what_expired_is_returned", f"{DOC}.get", (f"{DOC}.get", lambda self, sound, keys, now: sound(keys, None)))
add("what_expires_now_is_returned", f"{DOC}.get", (f"{DOC}.get", lambda self, sound, keys, now: sound(keys, now and now - TICK)))
add("documents_expire_a_tick_early", f"{DOC}.get", (f"{DOC}.get", lambda self, sound, keys, now: sound(keys, now and now + TICK)))
add("a_document_is_returned_twice", f"{DOC}.get", (f"{DOC}.get", lambda self, sound, keys, now: [row for key in keys for row in sound([key], now)]))
add("documents_of_other_namespaces_are_returned", f"{DOC}.get", (f"{DOC}.get", lambda self, sound, keys, now: sound([*keys, *(row for row in self._documents.rows if row.key in {key.key for key in keys})], now)))


def _touching(change: Callable[[StoredDocument, StoredDocument, datetime], StoredDocument]) -> tuple[str, Any]:
    """Store the result of ``change(document before, document after, now)`` of each touched document."""
    def touch(self: Any, sound: Any, keys: Any, now: Any) -> Any:
        before = {row.id: row for row in self.get(keys, now)}
        for row in sound(keys, now):
            self._documents.put(row.id, change(before[row.id], row, now))
        return self._documents.pick(before)

    return (f"{DOC}.touch", touch)


add("a_touch_revives", f"{DOC}.touch", (f"{DOC}.touch", lambda self, sound, keys, now: [self._documents.change(row.id, expires_at=now + timedelta(seconds=row.ttl)) for row in self._documents.pick(keys) if row.ttl] and self._documents.pick(keys)))
add("a_touch_reaches_what_has_no_ttl", f"{DOC}.touch", _touching(lambda old, new, now: replace(new, expires_at=now + timedelta(seconds=new.ttl or 60))))
add("a_touch_counts_as_a_write", f"{DOC}.touch", _touching(lambda old, new, now: replace(new, revision=new.revision + 1)))
add("a_touch_moves_updated_at", f"{DOC}.touch", _touching(lambda old, new, now: replace(new, updated_at=now)))
add("a_touch_adds_whole_seconds", f"{DOC}.touch", _touching(lambda old, new, now: replace(new, expires_at=now + timedelta(seconds=int(new.ttl))) if new.ttl else new))
add("a_touch_adds_to_the_expiry", f"{DOC}.touch {DOC}.touch.shorter", _touching(lambda old, new, now: replace(new, expires_at=old.expires_at + timedelta(seconds=new.ttl)) if new.ttl and old.expires_at else new))
add("a_touch_only_prolongs", f"{DOC}.touch.shorter", _touching(lambda old, new, now: replace(new, expires_at=old.expires_at and new.expires_at and max(old.expires_at, new.expires_at))))
add("a_touch_is_answered_with_the_old_expiry", f"{DOC}.touch {DOC}.touch.shorter", (f"{DOC}.touch", lambda self, sound, keys, now: sound(keys, now) and _living(self.before[PLACE], keys, now)))


def _living(rows: Any, keys: Any, now: Any) -> list[StoredDocument]:
    return [replace(rows[key]) for key in dict.fromkeys(keys) if key in rows and (rows[key].expires_at is None or rows[key].expires_at > now)]


add("a_touch_reaches_every_namespace", f"{DOC}.touch", (f"{DOC}.touch", lambda self, sound, keys, now: [row for row in sound([*self._documents.rows], now) if row.id in keys]))
add("expired_documents_are_not_locked", f"{DOC}.lock", (f"{DOC}.lock", lambda self, sound, keys: [row for row in sound(keys) if row.expires_at is None or row.metadata]))
add("a_lock_of_what_is_not_there_fails", f"{DOC}.lock", (f"{DOC}.lock", lambda self, sound, keys: sound(keys) if all(key in self._documents.rows for key in keys) else _missing()))
add("a_lock_returns_no_metadata", f"{DOC}.lock", (f"{DOC}.lock", lambda self, sound, keys: [replace(row, metadata=None) for row in sound(keys)]))


def _missing() -> Any:
    raise NotFound("no such document")


# --- delete -----------------------------------------------------------------------------------

add("a_deletion_counts_what_was_asked", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: sound(keys, now) and len(keys)))
add("a_deletion_counts_what_expired", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: sound(keys, None)))
add("a_deletion_leaves_what_expired", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: sound([row.id for row in self.get(keys, now)], now)))
add("a_deletion_reaches_every_namespace", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: sound([row for row in self._documents.rows if row.key in {key.key for key in keys}], now)))
add("a_deletion_reaches_below", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: sound(keys, now) + 0 * self._documents.delete([row for row in self._documents.rows for key in keys if row.key == key.key and row.namespace[:1] == key.namespace])))
add("deleted_documents_keep_their_revision", f"{DOC}.delete", (f"{DOC}.delete", lambda self, sound, keys, now: (vars(self.lab.database).setdefault("gone", {}).update({row.id: row.revision for row in self._documents.pick(keys)}), sound(keys, now))[1]), ("session._tables.documents.put", lambda self, sound, key, row: sound(key, replace(row, revision=row.revision + (key.key == "a" and row.created_at.second == 7)))))
add("a_matching_deletion_has_no_limit", f"{DOC}.delete_matching", (f"{DOC}.delete_matching", lambda self, sound, query: sound(replace(query, limit=10**6))))
add("a_matching_deletion_has_no_filter", f"{DOC}.delete_matching documents.delete_matching.interleaved", (f"{DOC}.delete_matching", lambda self, sound, query: sound(replace(query, filter=None))))
add("a_matching_deletion_has_no_prefix", f"{DOC}.delete_matching", (f"{DOC}.delete_matching", lambda self, sound, query: sound(replace(query, prefix=()))))
add("a_matching_deletion_has_no_key_prefix", f"{DOC}.delete_matching", (f"{DOC}.delete_matching", lambda self, sound, query: sound(replace(query, key_prefix=None))))
add("a_matching_deletion_reaches_what_expired", f"{DOC}.delete_matching", (f"{DOC}.delete_matching", lambda self, sound, query: sound(replace(query, now=None))))
add("a_matching_deletion_goes_on_after_the_cursor", f"{DOC}.delete_matching", (f"{DOC}.delete_matching", lambda self, sound, query: 0 if query.after else sound(query)))


@plant(f"{DOC}.delete_matching", f"{DOC}.delete_matching")
def the_limit_is_taken_before_the_filter_of_a_deletion(self: Any, sound: Any, query: Any) -> Any:
    first = self.find(replace(query, filter=None, after=None)).items
    met = {row.id for row in self.find(replace(query, limit=10**6, after=None)).items}
    return self._documents.delete([row.id for row in first if row.id in met])


add("expired_documents_are_deleted_without_a_limit", f"{DOC}.delete_expired", (f"{DOC}.delete_expired", lambda self, sound, now, limit: sound(now, 10**6)))
add("what_expires_now_is_not_deleted", f"{DOC}.delete_expired", (f"{DOC}.delete_expired", lambda self, sound, now, limit: sound(now - TICK, limit)))
add("what_expires_next_is_deleted", f"{DOC}.delete_expired", (f"{DOC}.delete_expired", lambda self, sound, now, limit: sound(now + TICK, limit)))
add("what_never_expires_is_deleted", f"{DOC}.delete_expired", (f"{DOC}.delete_expired", lambda self, sound, now, limit: sound(now, limit) + 0 * self._documents.delete([key for key, row in self._documents.rows.items() if row.expires_at is None])))
add("expired_documents_are_counted_and_kept", f"{DOC}.delete_expired", (f"{DOC}.delete_expired", lambda self, sound, now, limit: min(limit, sum(row.expires_at is not None and row.expires_at <= now for row in self._documents.rows.values()))))

# --- encryption, indexes, the store -----------------------------------------------------------

ENC = f"{DOC}.find_encrypted"
add("documents_of_every_key_are_found", ENC, (ENC, lambda self, sound, key_id, after, limit: sorted([row for each in ("k1", "k2", "K1") for row in sound(each, after, limit)], key=lambda row: row.id)[:limit]))
add("key_ids_of_documents_have_no_case", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, after, limit) + sound(key_id.upper(), after, limit)))
add("encrypted_documents_are_found_from_the_start", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, None, limit)))
add("encrypted_documents_are_found_backwards", ENC, (ENC, lambda self, sound, key_id, after, limit: sound(key_id, after, limit)[::-1]))
add("the_document_of_the_cursor_is_found_again", ENC, (ENC, lambda self, sound, key_id, after, limit: ([self._documents.rows[after]] if after in self._documents.rows else []) + sound(key_id, after, limit)))
add("expired_encrypted_documents_are_passed_over", ENC, (ENC, lambda self, sound, key_id, after, limit: [row for row in sound(key_id, after, limit) if row.expires_at is None]))
REENC = f"{DOC}.reencrypt"
add("documents_are_reencrypted_blindly", f"{REENC} {REENC}.interleaved", (REENC, lambda self, sound, document, payload: document.id in self._documents.rows and (self._documents.change(document.id, payload=payload), True)[1]))
add("reencryption_counts_as_a_write", REENC, (REENC, lambda self, sound, document, payload: sound(document, payload) and (self._documents.change(document.id, revision=document.revision + 1), True)[1]))
add("reencryption_leaves_the_key_id", REENC, (REENC, lambda self, sound, document, payload: sound(document, replace(payload, key_id="k1"))))
add("reencryption_reaches_every_namespace", REENC, (REENC, lambda self, sound, document, payload: sound(document, payload) and [self._documents.change(key, payload=payload) for key in self._documents.rows if key.key == document.key] != []))
add("reencryption_makes_metadata_empty", REENC, (REENC, lambda self, sound, document, payload: sound(document, payload) and (self._documents.change(document.id, metadata=None), True)[1]))
INDEX = f"{DOC}.create_index"


def _indexes(self: Any) -> list[Any]:
    found: list[Any] = vars(self.lab.database).setdefault("indexes", [])
    return found


@plant(INDEX, INDEX)
def an_index_that_exists_is_an_error(self: Any, sound: Any, path: Any) -> None:
    if path in _indexes(self):
        raise DatabaseError("the index exists already")
    _indexes(self).append(path)


add("an_index_that_is_not_there_is_an_error", INDEX, (f"{DOC}.drop_index", lambda self, sound, path: _refused("there is no such index") if path == ("never", 1) else None))
add("an_index_finds_what_was_there_before_it", INDEX, (INDEX, lambda self, sound, path: _indexes(self).append(path)), (FIND, lambda self, sound, query: less(sound(query), lambda row: not _indexes(self) or row.key != "later")))
add("an_index_has_no_case", INDEX, (INDEX, lambda self, sound, path: _indexes(self).append(path)), (FIND, lambda self, sound, query: ResultPage([*sound(query).items, *(row for row in self._documents.rows.values() if _indexes(self) and getattr(query.filter, "operand", None) == "a" and '"A"' in str(row.payload.body))])))
add("an_index_refuses_long_texts", f"{INDEX}.long", (INDEX, lambda self, sound, path: _indexes(self).append(path)), (PUT, lambda self, sound, writes, now: _refused("the index row is too large") if _indexes(self) and any(len(each.document.payload.body) > 2700 for each in writes) else sound(writes, now)))
add("an_index_passes_over_long_texts", f"{INDEX}.long", (INDEX, lambda self, sound, path: _indexes(self).append(path)), (FIND, lambda self, sound, query: less(sound(query), lambda row: not _indexes(self) or len(row.payload.body) < 2700)))


def _refused(why: str) -> Any:
    raise DatabaseError(why)


def less(page: Any, keep: Callable[[Any], bool]) -> Any:
    return ResultPage([row for row in page.items if keep(row)], page.next_after, page.corrupt)


add("is_empty_overlooks_documents", f"{DOC}.is_empty", ("backend.is_empty", lambda self, sound: not any(rows for place, rows in enumerate(self.database.committed) if place != PLACE)))
add("is_empty_remembers_documents", f"{DOC}.is_empty", ("backend.is_empty", lambda self, sound: sound() and not vars(self.database).get("met")), (PUT, lambda self, sound, writes, now: (vars(self.lab.database).update(met=True), sound(writes, now))[1]))
add("an_empty_listing_is_not_found", f"{DOC}.none", (FIND, lambda self, sound, query: sound(query) if self._documents.rows else _missing()))
add("an_empty_store_has_the_empty_namespace", f"{DOC}.none", (f"{DOC}.namespaces", lambda self, sound, query: sound(query) if self._documents.rows else ResultPage([()])))

# -
add("touches_are_always_empty", f"{DOC}.touch", (f"{DOC}.touch", always([])))
