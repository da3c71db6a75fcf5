"""Report of a run of the suite: results by clause and by level, and their JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.levels import LEVEL_NEEDS, Level
from ciris_store_core.errors import InvalidArgument

SCHEMA = "ciris-store-conformance/1"
"""Version of the JSON format. It changes if a key is removed or changes its meaning, not if one is added."""


class Status(StrEnum):
    """Status of a clause."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    """Deselected, overridden, skipped, or run in part."""
    NOT_APPLICABLE = "not_applicable"
    """It needs a capability that the backend does not declare."""
    WAIVED = "waived"
    """Not run, and accepted by the caller with a reason."""


class Verdict(StrEnum):
    """Verdict on a level."""

    REACHED = "reached"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """No test failed, but not all tests ran."""
    NOT_RUN = "not_run"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """Result of a clause."""

    id: str
    level: Level
    module: str
    """Module of the suite that contains its test."""
    loses: str
    """The loss of a user if the clause does not hold."""
    status: Status
    why: str = ""
    """The failure, or the reason why it did not run."""
    needs: tuple[Capability, ...] = ()
    tests: int = 0
    """Number of tests that ran."""
    passed: int = 0
    seconds: float = 0.0
    retries: int = 0
    """Number of transactions that its tests ran again after a retryable error."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the result from data of ``asdict``."""
        given = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        needs = tuple(map(Capability, given.get("needs", ())))
        return cls(**{**given, "level": Level(given["level"]), "status": Status(given["status"]), "needs": needs})


@dataclass(frozen=True, slots=True)
class LevelResult:
    """Result of a level: the number of its clauses by status."""

    level: Level
    counts: Mapping[Status, int]

    @property
    def verdict(self) -> Verdict:
        """Return the verdict. A level is reached if tests ran, and no clause that applies failed or did not run."""
        if self.counts[Status.FAILED]:
            return Verdict.FAILED
        if not self.counts[Status.PASSED]:
            only_optional = self.counts[Status.NOT_APPLICABLE] and not self.counts[Status.NOT_RUN]
            return Verdict.NOT_APPLICABLE if only_optional else Verdict.NOT_RUN
        return Verdict.INCOMPLETE if self.counts[Status.NOT_RUN] else Verdict.REACHED

    @property
    def reached(self) -> bool:
        """Return True if the level is reached."""
        return self.verdict == Verdict.REACHED

    @property
    def required(self) -> int:
        """Return the number of clauses that apply."""
        return sum(self.counts.values()) - self.counts[Status.NOT_APPLICABLE]

    def to_dict(self) -> dict[str, Any]:
        """Return data for the JSON document. It is derived from the clauses, so it is never read back."""
        counts = {status.value: number for status, number in self.counts.items()}
        found = {"level": self.level.value, "verdict": self.verdict.value, "reached": self.reached}
        return {**found, "promise": self.level.promise, "required": self.required, **counts}


@dataclass(frozen=True, slots=True)
class CapabilityResult:
    """Result of a capability: the backend's declaration and the clauses about it."""

    capability: Capability
    declared: bool
    checked: int
    """Number of clauses about it that ran."""
    broken: int

    def to_dict(self) -> dict[str, Any]:
        """Return data for the JSON document. It is derived from the clauses, so it is never read back."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """Backend under test, as the report describes it."""

    name: str
    scheme: str
    distribution: str
    version: str
    """Version of the distribution."""
    url: str
    """The URL, with ``***`` in place of secrets."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """The backend's description of itself: versions of server and schema, settings."""


@dataclass(frozen=True, slots=True)
class Report:
    """Report of a run of the suite on one backend."""

    backend: BackendInfo
    capabilities: tuple[Capability, ...]
    clauses: tuple[ClauseResult, ...]
    contract_version: str
    suite_version: str
    python: str = ""
    platform: str = ""
    started_at: str = ""
    seconds: float = 0.0
    selection: str = "all"
    waivers: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    """The reason if nothing could be run."""

    @property
    def levels(self) -> list[LevelResult]:
        """Return the results of all levels, in order."""
        return [LevelResult(level, _counts(each for each in self.clauses if each.level == level)) for level in Level]

    @property
    def counts(self) -> Mapping[Status, int]:
        """Return the number of clauses by status."""
        return _counts(self.clauses)

    @property
    def tests(self) -> int:
        """Return the number of tests that ran."""
        return sum(each.tests for each in self.clauses)

    @property
    def passed(self) -> int:
        """Return the number of tests that passed."""
        return sum(each.passed for each in self.clauses)

    @property
    def retries(self) -> int:
        """Return the number of transactions that the tests ran again after retryable errors."""
        return sum(each.retries for each in self.clauses)

    @property
    def ok(self) -> bool:
        """Return True if tests ran and none failed."""
        return not self.problem and self.tests > 0 and self.passed == self.tests and not self.counts[Status.FAILED]

    @property
    def summary(self) -> str:
        """Return the last line of a printed report."""
        share = int(100 * self.passed / self.tests) if self.tests else 0
        return f"{self.passed}/{self.tests} tests passing ({share}%)"

    def capability_results(self) -> list[CapabilityResult]:
        """Return the results of all capabilities, declared or not."""
        return [self._capability(each) for each in Capability]

    def _capability(self, capability: Capability) -> CapabilityResult:
        about = [each for each in self.clauses if capability in each.needs or each.id in ABOUT.get(capability, ())]
        ran = [each for each in about if each.status in (Status.PASSED, Status.FAILED)]
        broken = sum(each.status == Status.FAILED for each in ran)
        return CapabilityResult(capability, capability in self.capabilities, len(ran), broken)

    def to_dict(self) -> dict[str, Any]:
        """Return the data of the JSON document."""
        return {
            **asdict(self),
            "summary": self.summary,
            "ok": self.ok,
            "tests": self.tests,
            "passed": self.passed,
            "retries": self.retries,
            "levels": [each.to_dict() for each in self.levels],
            "capability_results": [each.to_dict() for each in self.capability_results()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the report from data of ``to_dict``."""
        given = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        given["backend"] = BackendInfo(**data["backend"])
        given["capabilities"] = tuple(map(Capability, data["capabilities"]))
        given["clauses"] = tuple(map(ClauseResult.from_dict, data["clauses"]))
        return cls(**given)


ABOUT: Mapping[Capability, tuple[str, ...]] = {
    Capability.FULL_TEXT: ("graph.search.declared",),
    Capability.SAVEPOINTS: ("session.savepoint.aborted",),
}
"""Clauses that apply with and without a capability, with different results."""


def _counts(clauses: Iterable[ClauseResult]) -> dict[Status, int]:
    counts = dict.fromkeys(Status, 0)
    for each in clauses:
        counts[each.status] += 1
    return counts


def needs_of(level: Level, needs: Capability | None) -> tuple[Capability, ...]:
    """Return the capabilities that a clause of a level requires, its own included, in a fixed order."""
    wanted = {needs, LEVEL_NEEDS.get(level)}
    return tuple(each for each in Capability if each in wanted)


# --- documents --------------------------------------------------------------------------------


def to_json(reports: Iterable[Report]) -> str:
    """Return the JSON document of reports."""
    document = {"schema": SCHEMA, "reports": [each.to_dict() for each in reports]}
    return json.dumps(document, indent=1, default=str, ensure_ascii=False) + "\n"


def from_json(text: str, name: str = "the document") -> list[Report]:
    """Return the reports of a document. Raise ``InvalidArgument`` if it is malformed."""
    try:
        document = json.loads(text)
        schema, reports = document["schema"], document["reports"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{name} is no report of the conformance suite. Create one with --json.") from error
    if schema != SCHEMA:
        raise InvalidArgument(f"{name} has the format {schema!r}, but this version reads {SCHEMA!r}. Create it again.")
    try:
        return [Report.from_dict(each) for each in reports]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{name} is damaged ({type(error).__name__}: {error}). Create it again.") from error


def read_reports(paths: Iterable[Path]) -> list[Report]:
    """Return the reports of several documents, in order."""
    found: list[Report] = []
    for path in paths:
        try:
            found += from_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{path} cannot be read ({error}). Check the path.") from error
    return found
