"""What all processes of one run agree on: names, ids and numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Final

from ciris_store_core.models.enums import GraphScope

SCOPE: Final = GraphScope.ENVIRONMENT
"""Of distributions: they are facts of the machine, not of one agent."""

DEPENDS_ON: Final = "depends_on"
MAY_DEPEND_ON: Final = "may_depend_on"
"""In some environments, or with some extra."""

WON: Final = "startup.won"
CLAIMED: Final = "inspections.claimed"
INSPECTION: Final = "inspection.duration"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run. Everything that it writes carries its name, so that runs in one store stay apart."""

    run: str
    """Name of the run, such as ``demo-3f9a1c``."""
    url: str = field(repr=False)
    """Of the store; it may hold a password."""
    workers: int
    places: tuple[str, ...]
    """Folders in which installed distributions are looked for; the first to have one wins."""
    ttl_seconds: float
    """How long a worker counts as alive after a heartbeat."""

    @property
    def task_type(self) -> str:
        """Type of the shared start-up task."""
        return self.run.upper().replace("-", "_")

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every metric of the run."""
        return {"run": self.run}

    @property
    def preferences(self) -> str:
        """Id of the configuration node that counts build tools."""
        return self.id_of("tool_preferences")

    @property
    def filters(self) -> str:
        """Id of the configuration node that lists distributions with compiled code."""
        return self.id_of("filter_config")

    def id_of(self, name: str) -> str:
        """Id of the run's record of that name: a node, or an inspection task."""
        return f"{self.run}/{name}"

    def name_of(self, record_id: str) -> str:
        """The name of which ``id_of`` made that id."""
        return record_id.removeprefix(f"{self.run}/")

    def occurrence(self, number: int) -> str:
        """Id of a worker, counted from 1."""
        return f"{self.run}-{number}"

    def to_json(self) -> str:
        """One line of text, secrets included."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RunPlan:
        """The plan of such a line."""
        fields = json.loads(text)
        return cls(**{**fields, "places": tuple(fields["places"])})
