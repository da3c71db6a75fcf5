"""What a run of the suite found: by clause, by level, and as a document that is kept and compared."""

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
"""Of the JSON. A new key does not change it; a key that goes, or that means something else, does."""


class Status(StrEnum):
    """What became of a clause."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    """Deselected, overridden, skipped, or run in part."""
    NOT_APPLICABLE = "not_applicable"
    """It needs a capability that the backend does not declare."""
    WAIVED = "waived"
    """Not run, for a reason that the caller gave."""


class Verdict(StrEnum):
    """What became of a level."""

    REACHED = "reached"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """None of its tests failed, but not all of them ran."""
    NOT_RUN = "not_run"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """A clause, and what became of it."""

    id: str
    level: Level
    module: str
    """The part of the suite that its test belongs to."""
    loses: str
    """What a user loses where it does not hold."""
    status: Status
    why: str = ""
    """The failure, or the reason for which it did not run."""
    needs: tuple[Capability, ...] = ()
    tests: int = 0
    """How many tests ran."""
    passed: int = 0
    seconds: float = 0.0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The result that ``asdict`` made the data of."""
        given = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        needs = tuple(map(Capability, given.get("needs", ())))
        return cls(**{**given, "level": Level(given["level"]), "status": Status(given["status"]), "needs": needs})


@dataclass(frozen=True, slots=True)
class LevelResult:
    """A level, and what became of its clauses."""

    level: Level
    counts: Mapping[Status, int]

    @property
    def verdict(self) -> Verdict:
        """Whether it is reached: something ran, and nothing that applies failed or did not run."""
        if self.counts[Status.FAILED]:
            return Verdict.FAILED
        if not self.counts[Status.PASSED]:
            only_optional = self.counts[Status.NOT_APPLICABLE] and not self.counts[Status.NOT_RUN]
            return Verdict.NOT_APPLICABLE if only_optional else Verdict.NOT_RUN
        return Verdict.INCOMPLETE if self.counts[Status.NOT_RUN] else Verdict.REACHED

    @property
    def reached(self) -> bool:
        """Whether the backend can be trusted that far."""
        return self.verdict == Verdict.REACHED

    @property
    def required(self) -> int:
        """How many of its clauses apply."""
        return sum(self.counts.values()) - self.counts[Status.NOT_APPLICABLE]

    def to_dict(self) -> dict[str, Any]:
        """For the JSON; made from the clauses, so never read back."""
        counts = {status.value: number for status, number in self.counts.items()}
        found = {"level": self.level.value, "verdict": self.verdict.value, "reached": self.reached}
        return {**found, "promise": self.level.promise, "required": self.required, **counts}


@dataclass(frozen=True, slots=True)
class CapabilityResult:
    """A capability, and whether the backend keeps what it says about it."""

    capability: Capability
    declared: bool
    checked: int
    """How many clauses that need it, or that hold without it, ran."""
    broken: int

    def to_dict(self) -> dict[str, Any]:
        """For the JSON; made from the clauses, so never read back."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What was tested."""

    name: str
    scheme: str
    distribution: str
    version: str
    """Of the distribution."""
    url: str
    """With ``***`` for whatever is secret."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """What the backend says of itself: the server's version, the schema's, settings."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the suite on one backend."""

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
    """Why nothing could be run, if so."""

    @property
    def levels(self) -> list[LevelResult]:
        """Every level, in order."""
        return [LevelResult(level, _counts(each for each in self.clauses if each.level == level)) for level in Level]

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many clauses have each status."""
        return _counts(self.clauses)

    @property
    def tests(self) -> int:
        """How many tests ran."""
        return sum(each.tests for each in self.clauses)

    @property
    def passed(self) -> int:
        """How many of them passed."""
        return sum(each.passed for each in self.clauses)

    @property
    def ok(self) -> bool:
        """Whether something ran, and nothing that ran failed."""
        return not self.problem and self.tests > 0 and self.passed == self.tests and not self.counts[Status.FAILED]

    @property
    def summary(self) -> str:
        """The closing line."""
        share = int(100 * self.passed / self.tests) if self.tests else 0
        return f"{self.passed}/{self.tests} tests passing ({share}%)"

    def capability_results(self) -> list[CapabilityResult]:
        """Every capability, declared or not, and what ran of the clauses about it."""
        return [self._capability(each) for each in Capability]

    def _capability(self, capability: Capability) -> CapabilityResult:
        about = [each for each in self.clauses if capability in each.needs or each.id in ABOUT.get(capability, ())]
        ran = [each for each in about if each.status in (Status.PASSED, Status.FAILED)]
        broken = sum(each.status == Status.FAILED for each in ran)
        return CapabilityResult(capability, capability in self.capabilities, len(ran), broken)

    def to_dict(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            **asdict(self),
            "summary": self.summary,
            "ok": self.ok,
            "tests": self.tests,
            "passed": self.passed,
            "levels": [each.to_dict() for each in self.levels],
            "capability_results": [each.to_dict() for each in self.capability_results()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The report that ``to_dict`` made the data of."""
        given = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        given["backend"] = BackendInfo(**data["backend"])
        given["capabilities"] = tuple(map(Capability, data["capabilities"]))
        given["clauses"] = tuple(map(ClauseResult.from_dict, data["clauses"]))
        return cls(**given)


ABOUT: Mapping[Capability, tuple[str, ...]] = {
    Capability.FULL_TEXT: ("graph.search.declared",),
    Capability.SAVEPOINTS: ("session.savepoint.aborted",),
}
"""Clauses that hold with a capability in one way, and without it in another."""


def _counts(clauses: Iterable[ClauseResult]) -> dict[Status, int]:
    counts = dict.fromkeys(Status, 0)
    for each in clauses:
        counts[each.status] += 1
    return counts


def needs_of(level: Level, needs: Capability | None) -> tuple[Capability, ...]:
    """What a clause of that level and of that own need needs in all, in a fixed order."""
    wanted = {needs, LEVEL_NEEDS.get(level)}
    return tuple(each for each in Capability if each in wanted)


# --- documents --------------------------------------------------------------------------------


def to_json(reports: Iterable[Report]) -> str:
    """The document that keeps reports."""
    document = {"schema": SCHEMA, "reports": [each.to_dict() for each in reports]}
    return json.dumps(document, indent=1, default=str, ensure_ascii=False) + "\n"


def from_json(text: str, name: str = "the document") -> list[Report]:
    """The reports of a document; ``InvalidArgument`` where it is none."""
    try:
        document = json.loads(text)
        schema, reports = document["schema"], document["reports"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{name} is no report of the conformance suite: make one with --json") from error
    if schema != SCHEMA:
        raise InvalidArgument(f"{name} has the format {schema!r}, and this program reads {SCHEMA!r}")
    try:
        return [Report.from_dict(each) for each in reports]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{name} is damaged ({type(error).__name__}: {error}): make it again") from error


def read_reports(paths: Iterable[Path]) -> list[Report]:
    """The reports of several documents, in order."""
    found: list[Report] = []
    for path in paths:
        try:
            found += from_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{path} cannot be read: {error}") from error
    return found
