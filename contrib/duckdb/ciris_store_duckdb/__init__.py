"""The DuckDB backend of CIRIS Store. The registry finds it by its entry point; nothing here needs importing by hand."""

__version__ = "0.1.0"
