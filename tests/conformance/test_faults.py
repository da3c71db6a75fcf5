"""Tests of the mutants: a sample is caught, and an escape is reported. ``make faults`` plants them all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.mutants.__main__ import problems, uncovered
from tests.mutants.catalogue import EXEMPT, FAULTS, NOT_ON_THE_REFERENCE
from tests.mutants.planting import Fault, clauses_of
from tests.mutants.running import run

pytestmark = pytest.mark.fault


def harmless(self: Any, sound: Any, *arguments: Any, **more: Any) -> Any:
    return sound(*arguments, **more)


def slip(self: Any, sound: Any, *arguments: Any) -> Any:
    return arguments[99]


def test_names_of_faults_are_unique() -> None:
    assert [name for name, times in Counter(fault.name for fault in FAULTS).items() if times > 1] == []
    assert all(fault.clauses and fault.plants for fault in FAULTS)


@pytest.mark.slow
def test_a_sample_is_caught() -> None:
    sample = FAULTS[::40]
    outcomes = run(sample, whole=False)
    broken = clauses_of(sample)
    assert problems(sample, outcomes, whole=False) == []
    assert broken <= {clause for _, clause in outcomes.ran}
    # Every clause of the suite has two faults, or a reason why not.
    assert uncovered(FAULTS, outcomes) == []
    assert set(EXEMPT) | set(NOT_ON_THE_REFERENCE) <= set(outcomes.clauses)


@pytest.mark.slow
def test_a_fault_that_luck_catches_escapes() -> None:
    clause = "tasks.claim_next.race"
    lost = Fault("lost", (clause,), (("tasks.claim_next", lambda *arguments: []),))
    seen = []

    def once(self: Any, sound: Any, *arguments: Any) -> Any:
        # Broken in the first store that it meets, sound in the others.
        seen.append(self.lab.database) if self.lab.database not in seen else None
        return [] if self.lab.database is seen[0] else sound(*arguments)

    luck = Fault("luck", (clause,), (("tasks.claim_next", once),))
    outcomes = run([lost, luck], runs=3, whole=False)
    assert problems([lost, luck], outcomes, whole=False) == [f"ESCAPED: luck from {clause}, in 2 of 3 runs"]


@pytest.mark.slow
def test_an_escaped_fault_is_reported() -> None:
    faults = [
        Fault("harmless", ("tasks.get.existing",), (("tasks.get", harmless),)),
        Fault("slip", ("tasks.get.existing",), (("tasks.get", slip),)),
        Fault("elsewhere", ("no.such.clause",), (("tasks.get", harmless),)),
    ]
    lines = problems(faults, run(faults, whole=False), whole=False)
    assert "ESCAPED: harmless from tasks.get.existing" in lines
    assert any(line.startswith("the fault slip is broken itself: call: IndexError") for line in lines)
    assert "elsewhere names no.such.clause, which is no clause" in lines
    assert not any("sound backend fails" in line for line in lines)
