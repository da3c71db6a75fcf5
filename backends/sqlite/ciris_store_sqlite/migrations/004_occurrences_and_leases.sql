-- oldest-program: 4

CREATE TABLE {occurrences} (
    occurrence_id TEXT NOT NULL PRIMARY KEY,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    metadata TEXT
) STRICT;

CREATE TABLE {leases} (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL,
    acquired_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    metadata TEXT
) STRICT;
