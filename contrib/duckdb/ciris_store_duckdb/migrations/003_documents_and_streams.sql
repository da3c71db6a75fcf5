-- oldest-program: 3

CREATE TABLE {documents} (
    path VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT,
    ttl DOUBLE,
    format VARCHAR NOT NULL,
    long_name VARCHAR,
    media_type VARCHAR,
    key_id VARCHAR,
    secret_refs VARCHAR,
    metadata VARCHAR,
    searchable VARCHAR,
    body VARCHAR,
    data BLOB,
    PRIMARY KEY (path, key)
);

CREATE SEQUENCE stream_numbers;

CREATE TABLE {streams} (
    number BIGINT NOT NULL DEFAULT nextval('stream_numbers'),
    path VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    long_name VARCHAR,
    first_position BIGINT NOT NULL,
    last_position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (path, name)
);

CREATE TABLE {stream_entries} (
    stream_number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    entry_id VARCHAR,
    kind VARCHAR NOT NULL,
    created_at BIGINT NOT NULL,
    format VARCHAR NOT NULL,
    media_type VARCHAR,
    key_id VARCHAR,
    secret_refs VARCHAR,
    searchable VARCHAR,
    body VARCHAR,
    data BLOB,
    PRIMARY KEY (stream_number, position)
);
