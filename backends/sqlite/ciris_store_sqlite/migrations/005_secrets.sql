-- oldest-program: 5

CREATE TABLE {secrets} (
    secret_id TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL,
    sensitivity TEXT NOT NULL,
    key_id TEXT NOT NULL,
    ciphertext BLOB NOT NULL,
    detected_by TEXT,
    created_at INTEGER NOT NULL,
    metadata TEXT
) STRICT;

CREATE INDEX secrets_by_key ON {secrets} (key_id, secret_id);

CREATE TABLE {secret_access} (
    access_id TEXT NOT NULL PRIMARY KEY,
    secret_id TEXT NOT NULL,
    accessor TEXT NOT NULL,
    action TEXT NOT NULL,
    granted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    metadata TEXT
) STRICT;

CREATE INDEX secret_access_by_time ON {secret_access} (at, access_id);

CREATE INDEX secret_access_by_secret ON {secret_access} (secret_id, at, access_id);
