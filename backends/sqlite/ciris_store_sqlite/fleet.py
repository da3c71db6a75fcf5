"""Fleet of agents with a database file each, in one folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ciris_store_core.clock import Clock
from ciris_store_core.contract import Backend
from ciris_store_core.contract.fleet import AgentPlace, FleetBackend, FleetNode, check_agent
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import InvalidArgument, InvalidURL
from ciris_store_core.url import StoreURL
from ciris_store_sqlite.backend import SqliteBackend

_ENDING = ".db"


class SqliteFleet(FleetBackend):
    """The files of a folder."""

    def __init__(self, url: StoreURL) -> None:
        """Take the folder that the URL names."""
        self._folder = Path(url.database)
        if url.database == ":memory:" or self._folder.suffix == _ENDING or self._folder.is_file():
            raise InvalidURL("the URL of a fleet names a file. Name a folder, as in sqlite:///agents.")
        self._url = url

    def url_of(self, agent: str) -> StoreURL:
        return replace(self._url, database=str(self._folder / f"{agent}{_ENDING}"), is_default=False)

    def open(self, agent: str, clock: Clock, *, migrate: bool, create: bool) -> Backend:
        """Return the backend of the agent's file. The folder is created if the store may be."""
        if create:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteBackend(self.url_of(agent), BackendContext(clock, migrate, create))

    def agents(self) -> list[AgentPlace]:
        names = sorted(file.stem for file in self._folder.glob(f"*{_ENDING}") if _is_agent(file.stem))
        return [AgentPlace(name, str(self._folder)) for name in names]

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each agent's file and its write-ahead log."""
        return {place.agent: self._size(place.agent) for place in self.agents()}

    def _size(self, agent: str) -> int:
        files = self._folder.glob(f"{agent}{_ENDING}*")
        return sum(file.stat().st_size for file in files if re.fullmatch(r".*\.db(-wal)?", file.name))

    def nodes(self) -> list[FleetNode]:
        """Return the folder."""
        problem = None if self._folder.is_dir() else "the folder does not exist yet"
        return [FleetNode(str(self._folder), len(self.agents()), problem=problem)]

    def close(self) -> None:
        """Do nothing: each store closes its own file."""


def _is_agent(name: str) -> bool:
    try:
        check_agent(name)
    except InvalidArgument:
        return False
    return True
