"""The records that the engine's programs import from ``schemas.persistence``."""
