"""Adapters for frameworks. Each module imports its framework when it is used."""
