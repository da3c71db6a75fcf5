-- oldest-program: 5

CREATE TABLE {secrets} (
    secret_id text COLLATE "C" NOT NULL PRIMARY KEY,
    description text NOT NULL,
    sensitivity text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    ciphertext bytea NOT NULL,
    detected_by text,
    created_at timestamptz NOT NULL,
    metadata jsonb
);

CREATE INDEX secrets_by_key ON {secrets} (key_id, secret_id);

CREATE TABLE {secret_access} (
    access_id text COLLATE "C" NOT NULL PRIMARY KEY,
    secret_id text COLLATE "C" NOT NULL,
    accessor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    granted boolean NOT NULL,
    at timestamptz NOT NULL,
    metadata jsonb
);

CREATE INDEX secret_access_by_time ON {secret_access} (at, access_id);

CREATE INDEX secret_access_by_secret ON {secret_access} (secret_id, at, access_id);
