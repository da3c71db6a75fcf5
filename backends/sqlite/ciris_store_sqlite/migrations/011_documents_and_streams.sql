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

-- SQLite lets no index use a function of JSON where the schema is not trusted. So the indexed parts of values stand in a
-- table of their own, which triggers keep. A row is removed by its key alone, since a damaged text has no parts.
CREATE TABLE document_indexes (
    number INTEGER PRIMARY KEY,
    value_path TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE document_parts (
    path TEXT NOT NULL,
    key TEXT NOT NULL,
    index_number INTEGER NOT NULL,
    value ANY NOT NULL,
    PRIMARY KEY (path, key, index_number)
) STRICT, WITHOUT ROWID;

CREATE INDEX document_parts_by_value ON document_parts (index_number, value, path, key);

CREATE TRIGGER document_parts_added AFTER INSERT ON {documents} WHEN EXISTS (SELECT 1 FROM document_indexes) BEGIN
    INSERT INTO document_parts (path, key, index_number, value)
    SELECT new.path, new.key, i.number, CASE j.type WHEN 'text' THEN substr(j.atom, 1, 200) ELSE j.atom END
    FROM document_indexes i, json_tree(coalesce(new.searchable, new.body), i.value_path) j
    WHERE new.format = 'json' AND j.parent IS NULL AND j.type IN ('text', 'integer', 'real');
END;

CREATE TRIGGER document_parts_changed AFTER UPDATE OF format, searchable, body ON {documents}
WHEN EXISTS (SELECT 1 FROM document_indexes) BEGIN
    DELETE FROM document_parts WHERE path = old.path AND key = old.key;
    INSERT INTO document_parts (path, key, index_number, value)
    SELECT new.path, new.key, i.number, CASE j.type WHEN 'text' THEN substr(j.atom, 1, 200) ELSE j.atom END
    FROM document_indexes i, json_tree(coalesce(new.searchable, new.body), i.value_path) j
    WHERE new.format = 'json' AND j.parent IS NULL AND j.type IN ('text', 'integer', 'real');
END;

CREATE TRIGGER document_parts_removed AFTER DELETE ON {documents} WHEN EXISTS (SELECT 1 FROM document_indexes) BEGIN
    DELETE FROM document_parts WHERE path = old.path AND key = old.key;
END;

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
