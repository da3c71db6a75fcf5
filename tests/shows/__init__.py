"""What several processes do with one database, to be run and looked at: ``python -m tests.shows.claim_race --help``."""
