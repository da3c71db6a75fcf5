"""The plan that all processes of a run share: names, ids and numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Final

from ciris_store_core.models.enums import GraphScope

SCOPE: Final = GraphScope.ENVIRONMENT
"""The scope of distributions: facts of the machine, not of one agent."""

DEPENDS_ON: Final = "depends_on"
MAY_DEPEND_ON: Final = "may_depend_on"
"""The relationship of a conditional requirement (of some environments, or some extra)."""

WON: Final = "startup.won"
CLAIMED: Final = "inspections.claimed"
INSPECTION: Final = "inspection.duration"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of one run. Its records carry its name, so that several runs can use one store."""

    run: str
    """The name of the run, such as ``demo-3f9a1c``."""
    url: str = field(repr=False)
    """The URL of the store; it may hold a password."""
    workers: int
    places: tuple[str, ...]
    """The folders to search for installed distributions; the first one with a distribution wins."""
    ttl_seconds: float
    """The lifetime of a worker after a heartbeat."""

    @property
    def task_type(self) -> str:
        """Return the type of the shared start-up task."""
        return self.run.upper().replace("-", "_")

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of every metric of the run."""
        return {"run": self.run}

    @property
    def preferences(self) -> str:
        """Return the id of the configuration node that counts build tools."""
        return self.id_of("tool_preferences")

    @property
    def filters(self) -> str:
        """Return the id of the configuration node that lists distributions with compiled code."""
        return self.id_of("filter_config")

    def id_of(self, name: str) -> str:
        """Return the id of the run's node or inspection task for a distribution."""
        return f"{self.run}/{name}"

    def name_of(self, record_id: str) -> str:
        """Return the distribution's name of an id."""
        return record_id.removeprefix(f"{self.run}/")

    def occurrence(self, number: int) -> str:
        """Return the id of a worker, counted from 1."""
        return f"{self.run}-{number}"

    def to_json(self) -> str:
        """Return the plan as one line of text, secrets included."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RunPlan:
        """Return the plan of such a line."""
        fields = json.loads(text)
        return cls(**{**fields, "places": tuple(fields["places"])})
