"""Factories of valid documents and stream entries for tests, and samples of values that conversions often change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ciris_store_core.conformance.backend_pair import plain
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.samples import AWKWARD_KEYS, AWKWARD_TEXT, AWKWARD_TEXTS, FIRST, LAST, awkward_json
from ciris_store_core.conformance.support import exact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models.documents import DocumentKey, DocumentWrite, Namespace, StoredDocument
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import StoredEntry, StreamInfo, StreamKey
from ciris_store_core.validation.payloads import bytes_payload, json_payload

NS = ("a",)
K = DocumentKey(NS, "k")
S = StreamKey(NS, "s")


def json_value(value: Any) -> Payload:
    """Return the payload of a JSON value, as the layer above makes it."""
    return json_payload(value)[0]


def ciphertext(key_id: str = "k1", body: bytes = b"encrypted") -> Payload:
    """Return an encrypted payload."""
    return Payload("encrypted", body, key_id=key_id)


def document(key: str = "k", value: Any = None, namespace: Namespace = NS, **fields: Any) -> StoredDocument:
    """Return a document of a JSON value, written at ``T0``, that does not expire."""
    given = {"payload": json_value(value), "created_at": T0, "updated_at": T0}
    return StoredDocument(namespace, key, **{**given, **fields})


def write(
    record: StoredDocument, mode: Literal["put", "insert", "restore"] = "put", expected: int | None = None
) -> DocumentWrite:
    """Return a write of a document."""
    return DocumentWrite(record, mode, expected)


def store(backend: Backend, *documents: StoredDocument) -> list[StoredDocument]:
    """Write documents in a transaction of their own."""
    with writing(backend) as session:
        return session.documents.put([write(each) for each in documents], T0)


def stream_entry(value: Any = None, id: str | None = None, **fields: Any) -> StoredEntry:
    """Return an entry of a JSON value, made at ``T0``."""
    return StoredEntry(**{"payload": json_value(value), "created_at": T0, "id": id, **fields})


def append(backend: Backend, values: Iterable[Any], stream: StreamKey = S) -> list[StoredEntry]:
    """Append an entry for each value, in a transaction of its own."""
    with writing(backend) as session:
        return session.streams.append(stream, [stream_entry(value) for value in values], T0, None)


def form(record: StoredDocument | StoredEntry | StreamInfo | None) -> Any:
    """Return a form of a record that compares all fields with their types; no metadata is empty metadata."""
    if isinstance(record, StoredDocument):
        given = {name: getattr(record, name) for name in StoredDocument.__slots__}
        return plain({**given, "metadata": record.metadata or {}, "namespace": [*record.namespace]})
    return exact(record) if isinstance(record, StreamInfo) else plain(record)


def forms(records: Sequence[StoredDocument] | Sequence[StoredEntry]) -> list[Any]:
    """Return the forms of documents by key, or of entries by position: for answers without an order."""
    return sorted(map(form, records), key=repr)


# --- samples ----------------------------------------------------------------------------------

_SURROGATES = 'a\ud800b\udfff"\udc00'

JSON_VALUES: dict[str, Any] = {
    "null": None, "true": True, "false": False, "zero": 0, "one": 1, "float_one": 1.0, "minus_zero": -0.0,
    "beyond_64_bits": [2**63, -(2**63) - 1, 2**64, 10**40, 2**63 - 1, -(2**63)],
    "very_long_integer": 10**4000 + 7,
    "floats": [0.1, 0.30000000000000004, 1e22, 1e300, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53],
    "integers": [2**31, 2**53 + 1, -(2**53) - 1, 10**15],
    "empty": ["", [], {}, [[]], [None], {"": ""}],
    "key_order": {"b": 1, "a": 2, "aa": 3, "B": 4, "10": 5, "9": 6, "": {"z": 1, "y": 2}},
    "equal_parts": [{"x": 1}, {"x": 1.0}, {"x": True}, [0, False, 0.0, ""]],
    "nul": {"a\0b": "\0", "x": ["a\0b", "\0\0"]},
    "surrogates": {_SURROGATES: [_SURROGATES, "\ud83d", "\ude00"], "pair": "\U0001f600"},
    "nul_and_surrogate": "\0\ud800",
    "texts": [*AWKWARD_TEXTS, "\ufffd", "\uffff", "\U0010ffff", "\u0085\u2028\u2029",
              "\\u0000", "\\ud800", "\\N", "\\x00"],
    "keys": dict.fromkeys([*AWKWARD_KEYS, "k" * 3000, "\ufffd"], 1),
    "like_others": ["2025-01-01T00:00:00Z", "1e5", "NaN", "Infinity", "{SECRET:x}", "true", {"$date": 1}],
    "awkward": awkward_json(),
    "text_that_looks_like_json": '{"a": 1}',
}  # fmt: skip
"""JSON values that some database, driver or format does not return as they were written."""

PAYLOADS: dict[str, Payload] = {
    "json": json_value({"b": 1, "a": [1.0, None]}),
    "surrogates": json_value(JSON_VALUES["surrogates"]),
    "bytes": bytes_payload(bytes(range(256)), "application/octet-stream"),
    "empty_bytes": bytes_payload(b"", None),
    "bytes_like_text": bytes_payload(b'{"a": 1}', AWKWARD_TEXT),
    "encrypted": ciphertext("\u00e9", bytes(range(255, -1, -1))),
    "redacted": Payload("json", '{"key":"{SECRET:s}"}', secret_refs=("b", "a", "\u00e9")),
    "searchable": Payload("json", "1e0", "1", secret_refs=("a",)),
}
"""Payloads of every format, and with every field set."""

FULL: dict[str, Any] = {
    "metadata": awkward_json(),
    "created_at": FIRST,
    "updated_at": T0.replace(microsecond=999_999),
    "expires_at": LAST,
    "ttl": 0.1,
}
"""Values of all further fields of a document."""

LONG = "\u00e9" * 1000
"""Text of 2,000 bytes, which is longer than index keys."""


def awkward_names() -> list[str]:
    """Return texts that are valid as segments, keys and names of streams, all different."""
    own = [
        "abc",
        "ABC",
        "abc ",
        " abc",
        "\u00c9",
        "\x02",
        "\x01",
        "\x01\x02",
        "\x02\x02",
        "a\x01b",
        "a\x02\x01b",
        "a/b",
    ]
    long = [LONG, f"{LONG}a", f"{LONG}b", f"{LONG}{'x' * 40}1", f"{LONG}{'x' * 40}2", "k" * 2048, f"{'k' * 2047}K"]
    return sorted({*AWKWARD_TEXTS, *AWKWARD_KEYS, *own, *long} - {""})


DEEP = tuple(f"{number:02}" for number in range(32))
"""Namespace with as many segments as there may be."""

WIDE = tuple(f"{'w' * 2046}{number}" for number in range(3))
"""Namespace of 6,141 bytes."""

RESTORED = StreamInfo(
    namespace=("restored",), name="s", length=2, first_position=5, last_position=6, created_at=FIRST, updated_at=T0
)
RESTORED_ENTRIES = [stream_entry(number, f"id {number}", position=number) for number in (5, 6)]
"""A stream that a copy brings, and its entries."""
