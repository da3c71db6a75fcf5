"""Benchmarks of the store beside the raw drivers and other libraries that do the same durable work."""
