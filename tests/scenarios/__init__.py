"""Scenarios of several processes on one database, as in ``python -m tests.scenarios.claim_race --help``."""
