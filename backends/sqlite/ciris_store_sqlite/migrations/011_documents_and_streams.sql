-- oldest-program: 11
-- The columns that may be large come last: SQLite walks through a large value to the columns behind it.

CREATE TABLE {documents} (
    path TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    ttl REAL,
    format TEXT NOT NULL,
    long_name TEXT,
    media_type TEXT,
    key_id TEXT,
    secret_refs TEXT,
    metadata TEXT,
    searchable TEXT,
    body TEXT,
    data BLOB,
    PRIMARY KEY (path, key)
) STRICT;

CREATE INDEX documents_by_expiry ON {documents} (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX documents_by_key_id ON {documents} (key_id, path, key) WHERE key_id IS NOT NULL;

CREATE TABLE {streams} (
    number INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    long_name TEXT,
    first_position INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (path, name)
) STRICT;

CREATE TABLE {stream_entries} (
    stream_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    entry_id TEXT,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    format TEXT NOT NULL,
    media_type TEXT,
    key_id TEXT,
    secret_refs TEXT,
    searchable TEXT,
    body TEXT,
    data BLOB,
    PRIMARY KEY (stream_number, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX stream_entries_by_id ON {stream_entries} (stream_number, entry_id) WHERE entry_id IS NOT NULL;

CREATE INDEX stream_entries_by_key_id ON {stream_entries} (key_id, stream_number, position) WHERE key_id IS NOT NULL;
