"""Makes the beginning of a backend for another database: a plugin that installs, and that the suite runs on at once."""

from .generate import Names, new_backend

__all__ = ["Names", "new_backend"]
