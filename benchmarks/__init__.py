"""How fast the store is, beside the raw drivers and other libraries that do the same durable work."""
