"""The records under the module names that the specification's programs import them from."""
