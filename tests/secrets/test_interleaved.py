"""Secrets with references beside them, around them and within them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from ciris_store_core import GraphNode, KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.detector import Detector
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.secrets.references import REFERENCE, reference
from tests.secrets.corpus import Maker, Sample, positives

TYPED = reference("01890a5d-ac96-774b-bcce-b302099a8057", "api key")
KNOWN = Detector()
TEXTS = [
    each
    for each in positives()
    if isinstance(each.value, str) and each.secrets[0] in each.value and KNOWN.find(each.value)
]


def written(text: object) -> str:
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        return str(put(store, text).attributes["value"])


def put(store: Store, value: object) -> GraphNode:
    return store.graph.put(GraphNode(id="n", type="concept", scope="local", attributes={"value": value}), merge=False)


def interleavings(sample: Sample) -> Iterator[tuple[str, list[str]]]:
    """The text with references at places of its secret, and the parts that they leave of it."""
    secret = sample.secrets[0]
    size = len(secret)
    for cuts in ((0,), (size,), (1,), (size // 2,), (size - 1,), (0, size), (size // 3, 2 * size // 3), (0, size // 2)):
        edges = [0, *cuts, size]
        parts = [secret[a:b] for a, b in pairwise(edges)]
        yield sample.value.replace(secret, TYPED.join(parts), 1), parts


@pytest.mark.parametrize("sample", TEXTS, ids=lambda sample: sample.kind)
def test_a_secret_is_found_around_references(sample: Sample) -> None:
    for text, parts in interleavings(sample):
        found = {text[m.start : m.end] for m in KNOWN.find(text)}
        assert not any("{SECRET:" in each for each in found), text
        left = text
        for each in found:
            left = left.replace(each, "")
        assert not [part for part in parts if len(part) > 3 and part in left], text


def test_what_was_encrypted_is_left_alone_when_it_is_written_again() -> None:
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        for sample in positives():
            once = put(store, sample.value)
            again = put(store, once.attributes["value"])
            assert again.attributes == once.attributes, sample.value


def test_a_key_block_with_references_among_its_lines() -> None:
    lines = Maker(5).pem("RSA ").split("\n")
    for at in range(len(lines) + 1):
        mixed = [*lines[:at], TYPED, *lines[at:]]
        for stored in (written("\n".join(mixed)), written("\r\n".join(mixed)), written(mixed)):
            assert not [line for line in lines if line in stored]
            assert TYPED in stored
    cut = f"{lines[0][:14]}{TYPED}{lines[0][14:]}\n" + "\n".join(lines[1:])
    assert not [line for line in lines if line in written(cut)]


def test_the_value_of_a_key_keeps_the_references_in_it() -> None:
    stored = written({"password": f"hunter2{TYPED}xZ9 {TYPED}"})
    assert "hunter2" not in stored and "xZ9" not in stored and stored.count(TYPED) == 2
    assert written({"password": TYPED}) == str({"password": TYPED})
    assert written({"authorization": f"Bearer {TYPED}"}) == str({"authorization": f"Bearer {TYPED}"})


def test_what_a_reference_is_the_value_of_hides_nothing_else() -> None:
    for text in (f"password={TYPED} user=bob12", f"password: {TYPED}\nuser: bob12", f'"token": "{TYPED}", "id": "x12"'):
        assert KNOWN.find(text) == [], text


def test_both_parts_come_back_in_their_places() -> None:
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        once = put(store, "password=hunter2xZ9")
        once.attributes["value"] += "Q7w8e9"
        stored = store.graph.put(once)
        assert "Q7w8e9" not in str(stored.attributes) and len(REFERENCE.findall(stored.attributes["value"])) == 2
        seen = store.secrets.resolve(stored, action="tool", accessor="me")
        assert seen.attributes["value"] == "password=hunter2xZ9Q7w8e9"
