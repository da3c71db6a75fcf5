"""What an operator is told of a database: what is wrong with it, how large it is, which migrations it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Works, but something should be done about it."""
    ERROR = "error"
    """Data or promises are in danger."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed about a database."""

    code: str
    """A short name that stays the same from version to version, such as ``stuck_leases``."""
    severity: Severity
    summary: str
    """What was seen: one sentence, without values that may be secret."""
    fix: str = ""
    """What to do about it: a command or statement that can be used as it is, or advice."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Figures and names, fit for JSON."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """How large one table is."""

    name: str
    bytes: int
    """With its indexes."""
    index_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a backend knows of its database's health."""

    findings: list[Finding] = field(default_factory=list)
    tables: list[TableSize] = field(default_factory=list)
    """Largest first; empty where the database does not tell."""


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration that a database lacks."""

    version: int
    name: str
    statements: tuple[str, ...]
    """Exactly what the database would be sent, in order, as one transaction [cap: transactional_ddl]."""
