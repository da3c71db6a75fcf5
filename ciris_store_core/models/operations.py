"""Reports on a database for its operator: findings, sizes and pending migrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Severity of a finding."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """The store works, but the operator should act."""
    ERROR = "error"
    """Data or guarantees are at risk."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed about a database."""

    code: str
    """A short name that stays the same from version to version, such as ``stuck_leases``."""
    severity: Severity
    summary: str
    """The observation: one sentence, without values that may be secret."""
    fix: str = ""
    """The remedy: a command or statement that can be used as it is, or advice."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Figures and names, fit for JSON."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """Size of one table."""

    name: str
    bytes: int
    """With its indexes."""
    index_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings about a database, and the sizes of its tables."""

    findings: list[Finding] = field(default_factory=list)
    tables: list[TableSize] = field(default_factory=list)
    """Largest first; empty if the database does not know."""


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration that a database lacks."""

    version: int
    name: str
    statements: tuple[str, ...]
    """Exactly what the database would be sent, in order, as one transaction [cap: transactional_ddl]."""
