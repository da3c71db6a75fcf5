"""Scaffold of a backend for another database: a plugin that can be installed and tested with the suite at once."""

from ciris_store_core.scaffold.generate import Names, new_backend

__all__ = ["Names", "new_backend"]
