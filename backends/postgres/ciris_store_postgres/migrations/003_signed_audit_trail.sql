-- oldest-program: 3

CREATE TABLE {correlations} (
    correlation_id text COLLATE "C" NOT NULL PRIMARY KEY,
    correlation_type text COLLATE "C" NOT NULL,
    service_type text COLLATE "C" NOT NULL,
    handler_name text COLLATE "C" NOT NULL,
    action_type text COLLATE "C" NOT NULL,
    request_data jsonb,
    response_data jsonb,
    status text COLLATE "C" NOT NULL,
    agent_occurrence_id text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    timestamp timestamptz NOT NULL,
    metric_name text COLLATE "C",
    metric_value double precision,
    metric_unit text,
    metric_data jsonb,
    min_value double precision,
    max_value double precision,
    sample_count bigint,
    sample_sum double precision,
    last_timestamp timestamptz,
    log_level text COLLATE "C",
    log_message text,
    log_data jsonb,
    trace_id text COLLATE "C",
    trace_context jsonb,
    tags jsonb,
    retention_policy text COLLATE "C" NOT NULL,
    resolution text COLLATE "C" NOT NULL,
    ttl_seconds bigint,
    parent_correlation_id text COLLATE "C",
    child_correlation_ids jsonb,
    metadata jsonb,
    expires_at timestamptz,
    task_id text COLLATE "C",
    thought_id text COLLATE "C",
    channel_id text COLLATE "C"
);

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

CREATE TABLE {audit_chains} (chain text COLLATE "C" NOT NULL PRIMARY KEY);

CREATE TABLE {audit_entries} (
    chain text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    entry_id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    payload jsonb,
    previous_hash text COLLATE "C" NOT NULL,
    entry_hash text COLLATE "C" NOT NULL,
    signature text,
    signing_key_id text COLLATE "C",
    metadata jsonb,
    PRIMARY KEY (chain, sequence)
);

CREATE TABLE {audit_anchors} (
    chain text COLLATE "C" NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL,
    entry_hash text COLLATE "C" NOT NULL,
    removed_count bigint NOT NULL,
    at timestamptz NOT NULL,
    signature text,
    signing_key_id text COLLATE "C",
    metadata jsonb
);
