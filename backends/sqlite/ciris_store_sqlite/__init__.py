"""SQLite backend of CIRIS Store. The registry loads it by its entry point."""

__version__ = "0.1.0"
