"""Faults of listings of documents, of their counts and of their namespaces."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ciris_store_core.contract.filters import DOCUMENT_ORDERS
from ciris_store_core.errors import Corrupt
from ciris_store_core.models.documents import StoredDocument
from ciris_store_core.models.paging import ResultPage
from tests.mutants.documents import DOC, FIND, TICK, less
from tests.mutants.planting import add, plant


def _sorted(key: Callable[[StoredDocument], Any]) -> tuple[str, Any]:
    """List in another order; cursors, which are sort keys of the sound one, are counted off."""
    def find(self: Any, sound: Any, query: Any) -> Any:
        rows = sorted(sound(replace(query, limit=10**6, after=None)).items, key=key, reverse=query.descending)
        start = 0 if query.after is None else [DOCUMENT_ORDERS[query.order](row) for row in rows].index(query.after) + 1
        items = rows[start : start + query.limit]
        return ResultPage(items, DOCUMENT_ORDERS[query.order](items[-1]) if start + query.limit < len(rows) else None)

    return (FIND, find)


ORDER = f"{FIND}.order"
add("documents_are_ordered_without_case", ORDER, _sorted(lambda row: (row.namespace, row.key.lower())))
add("documents_are_ordered_by_utf_16", ORDER, _sorted(lambda row: ([each.encode("utf-16-be") for each in row.namespace], row.key.encode("utf-16-be"))))
add("namespaces_are_ordered_as_joined_texts", ORDER, _sorted(lambda row: ("/".join(row.namespace), row.key)))
add("documents_are_ordered_by_creation_for_updates", ORDER, (FIND, lambda self, sound, query: sound(replace(query, order="created") if query.order == "updated" else query)))
add("documents_of_one_time_are_in_any_order", ORDER, _sorted(lambda row: (row.created_at, row.payload.body)))
add("documents_are_never_listed_backwards", f"{ORDER} {FIND}.next_after", (FIND, lambda self, sound, query: sound(replace(query, descending=False))))


@plant(ORDER, FIND)
def ties_stay_when_the_order_is_turned_round(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    if query.descending and query.order != "key":
        page.items = sorted(sorted(page.items, key=lambda row: row.id), key=lambda row: getattr(row, f"{query.order}_at"), reverse=True)
    return page


NEXT = f"{FIND}.next_after"
add("documents_end_after_a_page", f"{NEXT} {ORDER}", (FIND, lambda self, sound, query: ResultPage(sound(query).items)))
add("a_last_page_of_documents_leads_on", NEXT, (FIND, lambda self, sound, query: ResultPage(items := sound(query).items, DOCUMENT_ORDERS[query.order](items[-1]) if len(items) == query.limit else None)))
add("cursors_of_documents_need_their_row", NEXT, (FIND, lambda self, sound, query: sound(query) if query.after is None or any(DOCUMENT_ORDERS[query.order](row) == query.after for row in self._documents.rows.values()) else sound(replace(query, after=None))))
add("cursors_of_documents_hold_the_key_only", NEXT, (FIND, lambda self, sound, query: ResultPage(items := sound(query).items, (items[-1].key,) if sound(query).next_after else None)))
PREFIX = f"{FIND}.prefix"


def _below(test: Callable[[Any, Any], bool], field: str = "prefix") -> tuple[tuple[str, Any], ...]:
    """Judge the prefix of a query in another way."""
    def find(self: Any, sound: Any, query: Any) -> Any:
        rows = [row for row in sound(replace(query, limit=10**6, after=None, **{field: () if field == "prefix" else None})).items if test(row, getattr(query, field))]
        start = 0 if query.after is None else [DOCUMENT_ORDERS[query.order](row) for row in rows].index(query.after) + 1
        items = rows[start : start + query.limit]
        return ResultPage(items, DOCUMENT_ORDERS[query.order](items[-1]) if start + query.limit < len(rows) else None)

    return ((FIND, find), (f"{DOC}.count", lambda self, sound, query: len(find(self, self.find, replace(query, limit=10**6)).items)))


add("prefixes_match_parts_of_segments", PREFIX, *_below(lambda row, prefix: "\1".join(row.namespace).startswith("\1".join(prefix))))
add("prefixes_have_no_case", PREFIX, *_below(lambda row, prefix: [each.lower() for each in row.namespace[: len(prefix)]] == [each.lower() for each in prefix]))
add("prefixes_match_whole_namespaces_only", PREFIX, *_below(lambda row, prefix: not prefix or row.namespace == prefix))
add("prefixes_match_below_only", PREFIX, *_below(lambda row, prefix: not prefix or (row.namespace[: len(prefix)] == prefix and len(row.namespace) > len(prefix))))
add("prefixes_end_at_u_ffff", PREFIX, *_below(lambda row, prefix: row.namespace[: len(prefix)] == prefix and "\U0010ffff" not in "".join(row.namespace[len(prefix):])))
add("percent_is_a_wildcard_of_prefixes", PREFIX, *_below(lambda row, prefix: len(row.namespace) >= len(prefix) and all(mine == theirs or (theirs.endswith("%") and mine.startswith(theirs[:-1])) for mine, theirs in zip(row.namespace, prefix, strict=False))))
KEYS = f"{FIND}.key_prefix"
add("percent_is_a_wildcard_of_keys", KEYS, *_below(lambda row, prefix: row.key.startswith((prefix or "").rstrip("%")), "key_prefix"))
add("underscore_is_a_wildcard_of_keys", KEYS, *_below(lambda row, prefix: row.key.startswith(prefix or "") or (prefix == "a_" and row.key[:1] == "a" and len(row.key) > 1), "key_prefix"))
add("key_prefixes_have_no_case", KEYS, *_below(lambda row, prefix: row.key.lower().startswith((prefix or "").lower()), "key_prefix"))
add("key_prefixes_are_cut", KEYS, *_below(lambda row, prefix: row.key.startswith((prefix or "")[:450]), "key_prefix"))
add("key_prefixes_are_contained", KEYS, *_below(lambda row, prefix: (prefix or "") in row.key, "key_prefix"))
EXPIRED = f"{FIND}.expired"
add("expired_documents_are_listed", EXPIRED, (FIND, lambda self, sound, query: sound(replace(query, now=None))))
add("expired_documents_are_counted", f"{EXPIRED} {DOC}.count", (f"{DOC}.count", lambda self, sound, query: sound(replace(query, now=None))))
add("what_expires_now_is_listed", EXPIRED, (FIND, lambda self, sound, query: sound(replace(query, now=query.now and query.now - TICK))), (f"{DOC}.count", lambda self, sound, query: sound(replace(query, now=query.now and query.now - TICK))))
add("expired_documents_are_listed_by_filters", EXPIRED, (FIND, lambda self, sound, query: sound(replace(query, now=None) if query.filter else query)), (f"{DOC}.count", lambda self, sound, query: sound(replace(query, now=None) if query.filter else query)))
PAGES = f"{FIND}.filter_pages"


@plant(PAGES, FIND)
def the_limit_is_taken_before_the_filter(self: Any, sound: Any, query: Any) -> Any:
    page = sound(replace(query, filter=None))
    met = {row.id for row in sound(replace(query, limit=10**6, after=None)).items}
    return ResultPage([row for row in page.items if row.id in met], None)


add("a_count_has_no_filter", f"{PAGES} {DOC}.count", (f"{DOC}.count", lambda self, sound, query: sound(replace(query, filter=None))))
add("a_filter_is_judged_over_the_first_hundred", PAGES, (FIND, lambda self, sound, query: ResultPage([row for row in sound(query).items if not query.filter or row.key < "k100"], sound(query).next_after)))
LONG = f"{FIND}.long"
add("long_keys_are_ordered_in_full", LONG, _sorted(lambda row: (row.namespace, row.key)))
add("documents_with_long_keys_are_passed_over", LONG, (FIND, lambda self, sound, query: less(sound(query), lambda row: len(row.key) < 1001)))
add("long_prefixes_are_not_judged", LONG, *_below(lambda row, prefix: "".join(row.namespace)[:900] == "".join(prefix)[:900] if prefix and len("".join(prefix)) > 900 else row.namespace[: len(prefix)] == prefix))
add("listed_documents_have_no_metadata", f"{FIND}.whole", (FIND, lambda self, sound, query: ResultPage([replace(row, metadata=None) for row in sound(query).items], sound(query).next_after)))
add("listed_documents_have_no_bytes", f"{FIND}.whole", (FIND, lambda self, sound, query: ResultPage([replace(row, payload=replace(row.payload, body=b"")) if isinstance(row.payload.body, bytes) else row for row in sound(query).items], sound(query).next_after)))


@plant(f"{FIND}.corrupt", FIND)
def a_damaged_document_fails_the_listing(self: Any, sound: Any, query: Any) -> Any:
    page = sound(query)
    if page.corrupt:
        raise Corrupt("a row cannot be read")
    return page


add("a_damaged_document_is_passed_over", f"{FIND}.corrupt", (FIND, lambda self, sound, query: ResultPage(sound(query).items, sound(query).next_after)))
add("a_damaged_document_ends_the_listing", f"{FIND}.corrupt", (FIND, lambda self, sound, query: ResultPage((page := sound(query)).items, None if page.corrupt else page.next_after, page.corrupt)))
add("a_count_has_no_time", f"{DOC}.count", (f"{DOC}.count", lambda self, sound, query: sound(replace(query, updated_from=None))))
add("a_count_has_a_limit", f"{DOC}.count", (f"{DOC}.count", lambda self, sound, query: min(sound(query), query.limit)))
add("a_count_begins_at_the_cursor", f"{DOC}.count", (f"{DOC}.count", lambda self, sound, query: len(self.find(replace(query, limit=10**6)).items)))
NS = f"{DOC}.namespaces"
add("none_is_no_wildcard", NS, (NS, lambda self, sound, query: sound(replace(query, prefix=tuple(each or "?" for each in query.prefix)))))
add("wildcards_match_many_segments", NS, (NS, lambda self, sound, query: sound(replace(query, prefix=query.prefix[:-1] if query.prefix[-1:] == (None,) else query.prefix))))
add("suffixes_are_not_judged", NS, (NS, lambda self, sound, query: sound(replace(query, suffix=()))))
add("suffixes_are_judged_once_shortened", NS, (NS, lambda self, sound, query: less(sound(replace(query, suffix=(), limit=100, after=None)), lambda ns: not query.suffix or (len(ns) >= len(query.suffix) and all(b in (None, a) for a, b in zip(ns[-len(query.suffix):], query.suffix, strict=True))))))
add("namespaces_are_listed_for_each_document", f"{NS} {NS}.order", (NS, lambda self, sound, query: ResultPage([ns for ns in sound(query).items for _ in range(1 + (ns == ("a", "b") or len(ns) > 2))], sound(query).next_after)))
add("namespaces_are_never_shortened", NS, (NS, lambda self, sound, query: sound(replace(query, max_depth=None))))
add("shorter_namespaces_are_left_out", NS, (NS, lambda self, sound, query: less(sound(query), lambda ns: query.max_depth is None or len(ns) >= query.max_depth)))
add("namespaces_of_expired_documents_are_listed", NS, (NS, lambda self, sound, query: sound(replace(query, now=None))))
add("a_namespace_expires_with_one_document", NS, (NS, lambda self, sound, query: less(sound(query), lambda ns: query.now is None or all(row.expires_at is None for row in self._documents.rows.values() if row.namespace == ns))))
add("namespaces_are_ordered_by_segment_without_escape", f"{NS}.order", (NS, lambda self, sound, query: ResultPage(sorted(sound(query).items, key=lambda ns: "/".join(ns)), sound(query).next_after)))
add("a_page_of_namespaces_begins_anew", f"{NS}.order", (NS, lambda self, sound, query: ResultPage(sound(query).items, None)))
add("namespaces_are_strings", NS, (NS, lambda self, sound, query: ResultPage([list(ns) for ns in sound(query).items], sound(query).next_after)))
add("long_namespaces_are_cut", f"{NS}.long", (NS, lambda self, sound, query: ResultPage([(ns[0][:250], *ns[1:]) for ns in sound(query).items], sound(query).next_after)))
add("long_namespaces_are_ordered_in_full", f"{NS}.long", (NS, lambda self, sound, query: ResultPage(sorted((page := sound(query)).items), page.next_after)))
