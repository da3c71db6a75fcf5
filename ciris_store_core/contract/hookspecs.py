"""The hook that a backend's distribution implements, and the description that it returns.

A distribution names the module that holds its hook in the entry-point group ``ciris_store.backends``, once for each
URL scheme, with the scheme as the entry point's name::

    [project.entry-points."ciris_store.backends"]
    mydb = "ciris_store_mydb"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.url import SCHEME_PATTERN, StoreURL

if TYPE_CHECKING:
    from ciris_store_core.contract.backend import Backend
    from ciris_store_core.contract.fleet import FleetBackend
    from ciris_store_core.contract.foreign import ForeignDatabase

PROJECT = "ciris_store"
ENTRY_POINT_GROUP = "ciris_store.backends"

CONTRACT_VERSION = "2.1"
"""Of the contract between the core and its backends, apart from the version of any package. A new capability, or a
new method with a default, moves the minor number; a new required method or a tighter clause the major one."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class BackendContext:
    """Everything that a backend is opened with, besides its URL."""

    clock: Clock
    """Source of the time if the database has no clock of its own."""
    migrate: bool = True
    """Bring the schema up to date at open; if False, an older schema raises ``MigrationRequired``."""
    create: bool = True
    """Create a missing database; if False, refuse it."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend, described without opening it.

    Raises ``InvalidArgument`` if a field is malformed, so that the author of the plugin sees it at once.
    """

    name: str
    """Name in reports and error messages."""
    schemes: tuple[str, ...]
    """The URL schemes that it serves, lower case, without ``://``."""
    factory: Callable[[StoreURL, BackendContext], Backend]
    """Opens the store that a URL names."""
    capabilities: frozenset[Capability]
    """The optional abilities that it has."""
    contract_version: str
    """The contract that it implements, ``MAJOR.MINOR``."""
    distribution: str
    """The name to ``pip install``."""
    open_foreign: Callable[[StoreURL], ForeignDatabase] | None = None
    """Opens a database that another program wrote, to read its tables; None if the backend cannot."""
    open_fleet: Callable[[StoreURL], FleetBackend] | None = None
    """Opens the stores of many agents under one URL, without contacting a server; None if the backend cannot."""

    def __post_init__(self) -> None:
        """Check the fields that the registry relies on."""
        schemes: object = self.schemes  # a plain string would pass for a tuple of one-letter schemes
        if not (isinstance(schemes, tuple) and schemes and _all_match(SCHEME_PATTERN, *schemes)):
            raise InvalidArgument(f"schemes must be a tuple of lower-case URL schemes, not {self.schemes!r}")
        if not _all_match(r"[0-9]+\.[0-9]+", self.contract_version):
            raise InvalidArgument(f"contract_version must be text like '1.0', not {self.contract_version!r}")
        if not callable(self.factory):
            raise InvalidArgument(f"factory must be callable, not {type(self.factory).__name__}")


def _all_match(pattern: str, *values: object) -> bool:
    return all(isinstance(value, str) and re.fullmatch(pattern, value) for value in values)


@hookspec
def ciris_store_backend() -> BackendSpec:
    """Describe the backend of this plugin, without connecting anywhere.

    Called when a URL with one of the plugin's schemes is opened, and only then is the plugin imported.
    """
    # Never called: pluggy takes the signature from here and the answer from the plugin.
    raise NotImplementedError
