"""Settings of a database, from its URL: its place and the way in which it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.url import StoreURL
from ciris_store_core.url_options import OptionReader


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of an SQLite URL; ``docs/urls.md`` describes them for users."""

    path: str
    """The file, or ``:memory:``."""
    name: str
    """The name that tells the process's databases in memory apart."""
    synchronous: str
    busy_timeout: float
    """Seconds."""
    pool_size: int
    """The most connections that read at the same time."""
    create: bool
    migrate: bool
    make_directory: bool

    @classmethod
    def from_url(cls, url: StoreURL, context: BackendContext) -> Settings:
        """Read the URL; an unknown or malformed option is ``InvalidURL``."""
        options = OptionReader(url.options)
        settings = cls(
            path=url.database or ":memory:",
            name=options.text("name", ""),
            synchronous=options.choice("synchronous", "full", ("full", "normal")),
            busy_timeout=options.number("busy_timeout", 30.0, 0.0, 3600.0),
            pool_size=options.integer("pool_size", 8, 1, 1000),
            create=options.boolean("create", context.create),
            migrate=options.boolean("migrate", context.migrate),
            make_directory=url.is_default,
        )
        options.finish()
        return settings

    @property
    def in_memory(self) -> bool:
        """True if the database ends with the process."""
        return self.path == ":memory:"

    @property
    def uri(self) -> str:
        """The URI for SQLite. The file exists by then, so that SQLite never creates one with permissions of its own."""
        if self.in_memory:
            return f"file:/ciris-store-{quote(self.name, safe='')}?vfs=memdb"
        return f"file:{quote(self.path)}?mode=rw"
