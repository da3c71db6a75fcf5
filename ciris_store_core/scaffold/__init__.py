"""Makes the beginning of a backend for another database: a plugin that installs, and that the suite runs on at once."""

from ciris_store_core.scaffold.generate import Names, new_backend

__all__ = ["Names", "new_backend"]
