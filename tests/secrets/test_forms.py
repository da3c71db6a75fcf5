"""Recall of detection in contexts of all kinds, kind by kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core import KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.keys import new_key
from tests.secrets.corpus import Sample
from tests.secrets.forms import lookalikes, promised, usual, vendors
from tests.secrets.test_detection import written


@pytest.fixture(scope="module")
def memory() -> Iterator[Store]:
    with open_store("memory://", secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        yield store


def is_found(sample: Sample, store: Store) -> bool:
    text = written(sample.value, store)
    return "{SECRET:" in text and not any(secret in text for secret in sample.secrets)


@pytest.mark.parametrize(
    ("samples", "least", "count"),
    [(promised(), 0.99, 250), (vendors(), 0.99, 70), (usual(), 0.75, 170)],
    ids=["promised", "vendors", "usual"],
)
def test_recall(samples: list[Sample], least: float, count: int, memory: Store) -> None:
    missed = [sample for sample in samples if not is_found(sample, memory)]
    recall = 1 - len(missed) / len(samples)
    print(f"\n{len(samples)} samples, recall {recall:.3f}; missed:", *(repr(s.value)[:110] for s in missed), sep="\n  ")
    assert len(samples) >= count and recall >= least


def test_false_alarms(memory: Store) -> None:
    samples = lookalikes()
    alarms = [found for sample in samples if "{SECRET:" in (found := written(sample.value, memory))]
    print(f"\n{len(samples)} samples, false alarms {len(alarms) / len(samples):.3f}:", *alarms, sep="\n  ")
    assert len(samples) >= 380 and len(alarms) <= 0.01 * len(samples)
