-- oldest-program: 3

CREATE TABLE {correlations} (
    correlation_id TEXT NOT NULL PRIMARY KEY,
    correlation_type TEXT NOT NULL,
    service_type TEXT NOT NULL,
    handler_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    request_data TEXT,
    response_data TEXT,
    status TEXT NOT NULL,
    agent_occurrence_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    metric_name TEXT,
    metric_value REAL,
    metric_unit TEXT,
    metric_data TEXT,
    min_value REAL,
    max_value REAL,
    sample_count INTEGER,
    sample_sum REAL,
    last_timestamp INTEGER,
    log_level TEXT,
    log_message TEXT,
    log_data TEXT,
    trace_id TEXT,
    trace_context TEXT,
    tags TEXT,
    retention_policy TEXT NOT NULL,
    resolution TEXT NOT NULL,
    ttl_seconds INTEGER,
    parent_correlation_id TEXT,
    child_correlation_ids TEXT,
    metadata TEXT,
    expires_at INTEGER,
    task_id TEXT,
    thought_id TEXT,
    channel_id TEXT
) STRICT;

CREATE INDEX correlations_by_time ON {correlations} (timestamp, correlation_id);

CREATE INDEX correlations_by_owner ON {correlations} (agent_occurrence_id, timestamp, correlation_id);

CREATE INDEX correlations_by_type ON {correlations} (correlation_type, timestamp, correlation_id);

CREATE INDEX correlations_by_metric ON {correlations} (metric_name, timestamp, correlation_id)
WHERE metric_name IS NOT NULL;

CREATE INDEX correlations_by_task ON {correlations} (task_id, timestamp, correlation_id) WHERE task_id IS NOT NULL;

CREATE INDEX correlations_by_thought ON {correlations} (thought_id, timestamp, correlation_id)
WHERE thought_id IS NOT NULL;

CREATE INDEX correlations_by_channel ON {correlations} (channel_id, timestamp, correlation_id)
WHERE channel_id IS NOT NULL;

CREATE INDEX correlations_by_trace ON {correlations} (trace_id, timestamp, correlation_id) WHERE trace_id IS NOT NULL;

CREATE INDEX correlations_by_parent ON {correlations} (parent_correlation_id, timestamp, correlation_id)
WHERE parent_correlation_id IS NOT NULL;

CREATE INDEX correlations_by_expiry ON {correlations} (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE {audit_chains} (chain TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE {audit_entries} (
    chain TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    entry_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    payload TEXT,
    previous_hash TEXT NOT NULL,
    entry_hash TEXT NOT NULL,
    signature TEXT,
    signing_key_id TEXT,
    metadata TEXT,
    PRIMARY KEY (chain, sequence)
) STRICT;

CREATE TABLE {audit_anchors} (
    chain TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    entry_hash TEXT NOT NULL,
    removed_count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    signature TEXT,
    signing_key_id TEXT,
    metadata TEXT
) STRICT;
