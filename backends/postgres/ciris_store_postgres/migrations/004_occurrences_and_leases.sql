-- oldest-program: 4

CREATE TABLE {occurrences} (
    occurrence_id text COLLATE "C" NOT NULL PRIMARY KEY,
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    metadata jsonb
);

CREATE TABLE {leases} (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    metadata jsonb
);
