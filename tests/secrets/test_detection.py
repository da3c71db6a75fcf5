"""Recall, precision and cost of detection."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from ciris_store_core import GraphNode, InvalidArgument, KeyRing, SecretPattern, SecretsConfig, open_store
from ciris_store_core.models import Sensitivity
from ciris_store_core.secrets.detector import Detector
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.secrets.prefilter import suspicious
from ciris_store_core.secrets.references import REFERENCE, references_in, texts_of
from tests.secrets.corpus import Sample, negatives, positives

PRECISION, RECALL = 0.99, 0.985


def written(value: Any, store: Any) -> str:
    """Return the stored form, as text."""
    node = GraphNode(id="n", type="concept", scope="local", attributes={"value": value})
    return "\n".join(map(str, texts_of(store.graph.put(node, merge=False).attributes)))


def test_precision_and_recall() -> None:
    found, alarms, missed = 0, [], []
    good, bad = list(positives()), list(negatives())
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        for sample in good:
            text = written(sample.value, store)
            if "{SECRET:" in text and not any(secret in text for secret in sample.secrets):
                found += 1
            else:
                missed.append(sample)
        for sample in bad:
            if "{SECRET:" in written(sample.value, store):
                alarms.append(sample)
    precision, recall = found / (found + len(alarms)), found / len(good)
    print(f"\n{len(good)} positive and {len(bad)} negative samples: precision {precision:.4f}, recall {recall:.4f}")
    print("missed:", *(f"{sample.kind}: {str(sample.value)[:90]}" for sample in missed), sep="\n  ")
    print("false alarms:", *(str(sample.value)[:100] for sample in alarms), sep="\n  ")
    assert len(good) >= 200 and len(bad) >= 500
    assert precision >= PRECISION and recall >= RECALL


LONG = [each for each in positives() if isinstance(each.value, str)][::5]


@pytest.mark.parametrize("sample", LONG, ids=lambda s: s.kind)
def test_a_secret_is_found_in_long_texts_too(sample: Sample) -> None:
    detector = Detector()
    hidden = [*detector.find(sample.value)]
    around = "And so it went on, day after day.\n" * 2000
    long = f"{around} {sample.value}\n{around}"
    assert [long[m.start : m.end] for m in detector.find(long)] == [sample.value[m.start : m.end] for m in hidden]


def test_references_are_left_alone() -> None:
    secret_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    text = f"password: {{SECRET:{secret_id}:password}} and api_key={{SECRET:{secret_id}:api key}}"
    assert Detector().find(text) == []
    assert [*references_in({"a": [text]})] == [secret_id]
    for wrong in (text.upper(), "{SECRET:1:x}", f"{{SECRET:{secret_id}:{'x' * 60}}}"):
        assert not REFERENCE.search(wrong)


# --- patterns of one's own --------------------------------------------------------------------------


def test_own_patterns() -> None:
    badge = SecretPattern("badge", r"badge (?P<secret>[A-Z]{2}-[0-9]{4}) ", "critical")
    odd = SecretPattern("odd_one", r"^only this$", Sensitivity.LOW)
    detector = Detector([badge, odd])
    text = "the badge AB-1234 is mine"
    (found,) = detector.find(text)
    assert (text[found.start : found.end], found.pattern.sensitivity) == ("AB-1234", Sensitivity.CRITICAL)
    assert detector.harmless(["nothing", "not only this"]) and not detector.harmless(["nothing", "only this"])
    assert not Detector().find(text)
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()), patterns=[badge])) as store:
        node = GraphNode(id="n", type="user", scope="local", attributes={text: 1})
        assert "badge {SECRET:" in str(store.graph.put(node))
        (known,) = store.secrets.find().items
        assert (known.description, known.detected_by, known.sensitivity) == ("badge", "badge", "critical")


def test_built_in_kinds_can_be_left_out() -> None:
    text = "536-22-1234 and 4111 1111 1111 1111"
    assert [m.pattern.name for m in Detector().find(text)] == ["us_ssn", "card_number"]
    assert [m.pattern.name for m in Detector(without=["us_ssn"]).find(text)] == ["card_number"]
    assert Detector(without=["password"]).key("password") is None
    for wrong in (["nope"], "us_ssn"):
        with pytest.raises(InvalidArgument, match="us_ssn"):
            Detector(without=wrong)


@pytest.mark.parametrize(
    ("name", "regex"), [("Bad", "x"), ("", "x"), ("a b", "x"), ("x" * 41, "x"), ("ok", "("), ("ok", 5)]
)
def test_bad_patterns(name: str, regex: Any) -> None:
    with pytest.raises(InvalidArgument):
        SecretPattern(name, regex)


# --- cost: see also test_linear ------------------------------------------------------------------------


def test_harmless_texts_are_seen_to_be_so_at_first_sight() -> None:
    harmless = [text for sample in negatives() for text in texts_of(sample.value)]
    rate = Counter(map(suspicious, harmless))[True] / len(harmless)
    print(f"\n{rate:.1%} of the negative samples, which were made to look suspicious, need a second look")
    assert rate < 0.6


COLD_START = """
import sys
from ciris_store_core import KeyRing, SecretsConfig, Task, open_store
from ciris_store_core.secrets.keys import new_key

def write(text):
    store.tasks.add(Task(task_id=str(len(text)), channel_id="c", description=text))
    print("ciris_store_core.secrets.searches" in sys.modules)

with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
    write("greet the user")
    write("the password is hunter2!")
"""


def test_expressions_are_compiled_at_the_first_suspicious_write() -> None:
    done = subprocess.run([sys.executable, "-c", COLD_START], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
