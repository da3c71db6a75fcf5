-- oldest-program: 1
-- Times are microseconds since the UTC epoch. JSON is text; NULL stands for an empty object or list.
-- DuckDB reads columns, and skips the parts of them that cannot hold what is sought; beside the keys it needs no index.

CREATE TABLE {schema_migrations} (
    version BIGINT NOT NULL PRIMARY KEY,
    name VARCHAR NOT NULL,
    applied_at BIGINT NOT NULL,
    oldest_program BIGINT NOT NULL
);

CREATE TABLE {graph_nodes} (
    id VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    attributes VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by VARCHAR,
    updated_at BIGINT NOT NULL,
    consent_stream VARCHAR,
    expires_at BIGINT,
    secret_refs VARCHAR,
    metadata VARCHAR,
    PRIMARY KEY (id, scope)
);

CREATE TABLE {graph_edges} (
    source VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    relationship VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    weight DOUBLE NOT NULL,
    attributes VARCHAR NOT NULL,
    metadata VARCHAR,
    PRIMARY KEY (scope, source, target, relationship)
);

CREATE TABLE {tasks} (
    task_id VARCHAR NOT NULL PRIMARY KEY,
    channel_id VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    agent_occurrence_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    priority BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by VARCHAR,
    parent_task_id VARCHAR,
    context VARCHAR,
    outcome VARCHAR,
    signed_by VARCHAR,
    signature VARCHAR,
    signed_at BIGINT,
    updated_info_available BIGINT NOT NULL,
    updated_info_content VARCHAR,
    claimed_by VARCHAR,
    claimed_at BIGINT,
    claimed_from VARCHAR,
    fence BIGINT NOT NULL,
    shared_type VARCHAR,
    metadata VARCHAR,
    correlation_id VARCHAR
);

CREATE TABLE {thoughts} (
    thought_id VARCHAR NOT NULL PRIMARY KEY,
    source_task_id VARCHAR NOT NULL,
    content VARCHAR NOT NULL,
    agent_occurrence_id VARCHAR NOT NULL,
    channel_id VARCHAR,
    thought_type VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    round_number BIGINT NOT NULL,
    context VARCHAR,
    thought_depth BIGINT NOT NULL,
    escalation_level BIGINT NOT NULL,
    retry_count BIGINT NOT NULL,
    ponder_notes VARCHAR,
    parent_thought_id VARCHAR,
    final_action VARCHAR,
    metadata VARCHAR
);

CREATE TABLE {correlations} (
    correlation_id VARCHAR NOT NULL PRIMARY KEY,
    correlation_type VARCHAR NOT NULL,
    service_type VARCHAR NOT NULL,
    handler_name VARCHAR NOT NULL,
    action_type VARCHAR NOT NULL,
    request_data VARCHAR,
    response_data VARCHAR,
    status VARCHAR NOT NULL,
    agent_occurrence_id VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    timestamp BIGINT NOT NULL,
    metric_name VARCHAR,
    metric_value DOUBLE,
    metric_unit VARCHAR,
    metric_data VARCHAR,
    min_value DOUBLE,
    max_value DOUBLE,
    sample_count BIGINT,
    sample_sum DOUBLE,
    last_timestamp BIGINT,
    log_level VARCHAR,
    log_message VARCHAR,
    log_data VARCHAR,
    trace_id VARCHAR,
    trace_context VARCHAR,
    tags VARCHAR,
    retention_policy VARCHAR NOT NULL,
    resolution VARCHAR NOT NULL,
    ttl_seconds BIGINT,
    parent_correlation_id VARCHAR,
    child_correlation_ids VARCHAR,
    metadata VARCHAR,
    expires_at BIGINT,
    task_id VARCHAR,
    thought_id VARCHAR,
    channel_id VARCHAR
);

CREATE TABLE {audit_chains} (chain VARCHAR NOT NULL PRIMARY KEY);

CREATE TABLE {audit_entries} (
    chain VARCHAR NOT NULL,
    sequence BIGINT NOT NULL,
    entry_id VARCHAR NOT NULL,
    event_type VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    "at" BIGINT NOT NULL,
    payload VARCHAR,
    previous_hash VARCHAR NOT NULL,
    entry_hash VARCHAR NOT NULL,
    signature VARCHAR,
    signing_key_id VARCHAR,
    metadata VARCHAR,
    PRIMARY KEY (chain, sequence)
);

CREATE TABLE {audit_anchors} (
    chain VARCHAR NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    entry_hash VARCHAR NOT NULL,
    removed_count BIGINT NOT NULL,
    "at" BIGINT NOT NULL,
    signature VARCHAR,
    signing_key_id VARCHAR,
    metadata VARCHAR
);

CREATE TABLE {occurrences} (
    occurrence_id VARCHAR NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    metadata VARCHAR
);

CREATE TABLE {leases} (
    name VARCHAR NOT NULL PRIMARY KEY,
    owner VARCHAR NOT NULL,
    fence BIGINT NOT NULL,
    acquired_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    metadata VARCHAR
);

CREATE TABLE {secrets} (
    secret_id VARCHAR NOT NULL PRIMARY KEY,
    description VARCHAR NOT NULL,
    sensitivity VARCHAR NOT NULL,
    key_id VARCHAR NOT NULL,
    ciphertext BLOB NOT NULL,
    detected_by VARCHAR,
    created_at BIGINT NOT NULL,
    metadata VARCHAR
);

CREATE TABLE {secret_access} (
    access_id VARCHAR NOT NULL PRIMARY KEY,
    secret_id VARCHAR NOT NULL,
    accessor VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    granted BIGINT NOT NULL,
    "at" BIGINT NOT NULL,
    metadata VARCHAR
);
