"""What several processes do with one database, to be run and looked at: ``python -m tests.scenarios.claim_race --help``."""
