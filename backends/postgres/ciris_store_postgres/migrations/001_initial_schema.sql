-- oldest-program: 1
-- JSON columns are NULL for an empty object or list. Texts that are compared or ordered are so by their bytes.

CREATE TABLE {schema_migrations} (
    version bigint NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    applied_at timestamptz NOT NULL,
    oldest_program bigint NOT NULL
);

CREATE TABLE {graph_nodes} (
    id text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    attributes jsonb NOT NULL,
    version bigint NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by text COLLATE "C",
    updated_at timestamptz NOT NULL,
    consent_stream text COLLATE "C",
    expires_at timestamptz,
    secret_refs jsonb,
    metadata jsonb,
    PRIMARY KEY (id, scope)
);

CREATE INDEX graph_nodes_by_update ON {graph_nodes} (scope, updated_at DESC, id);

CREATE INDEX graph_nodes_by_type ON {graph_nodes} (scope, type, updated_at DESC, id);

CREATE INDEX graph_nodes_by_expiry ON {graph_nodes} (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX graph_nodes_by_attribute ON {graph_nodes} USING gin (attributes jsonb_path_ops);

CREATE TABLE {graph_edges} (
    source text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    relationship text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    weight double precision NOT NULL,
    attributes jsonb NOT NULL,
    metadata jsonb,
    PRIMARY KEY (scope, source, target, relationship)
);

CREATE INDEX graph_edges_by_target ON {graph_edges} (scope, target);

CREATE TABLE {tasks} (
    task_id text COLLATE "C" NOT NULL PRIMARY KEY,
    channel_id text COLLATE "C" NOT NULL,
    description text NOT NULL,
    agent_occurrence_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    priority integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text COLLATE "C",
    parent_task_id text COLLATE "C",
    context jsonb,
    outcome jsonb,
    signed_by text COLLATE "C",
    signature text,
    signed_at timestamptz,
    updated_info_available boolean NOT NULL,
    updated_info_content text,
    claimed_by text COLLATE "C",
    claimed_at timestamptz,
    claimed_from text COLLATE "C",
    fence bigint NOT NULL,
    shared_type text COLLATE "C",
    metadata jsonb,
    correlation_id text COLLATE "C"
);

CREATE INDEX tasks_by_creation ON {tasks} (agent_occurrence_id, created_at, task_id);

CREATE INDEX tasks_by_status ON {tasks} (agent_occurrence_id, status, created_at, task_id);

CREATE INDEX tasks_completed ON {tasks} (agent_occurrence_id, updated_at DESC, task_id) WHERE status = 'completed';

CREATE INDEX tasks_unfinished ON {tasks} (agent_occurrence_id, priority DESC, created_at, task_id)
WHERE status IN ('pending', 'active');

CREATE INDEX tasks_of_all ON {tasks} (created_at, task_id);

CREATE INDEX tasks_claimed ON {tasks} (agent_occurrence_id, claimed_at, task_id)
WHERE claimed_from IS NOT NULL AND status IN ('pending', 'active');

CREATE INDEX tasks_by_parent ON {tasks} (parent_task_id, created_at, task_id) WHERE parent_task_id IS NOT NULL;

CREATE INDEX tasks_by_correlation ON {tasks} (correlation_id, created_at, task_id)
WHERE correlation_id IS NOT NULL;

CREATE INDEX tasks_shared ON {tasks} (shared_type, created_at, task_id) WHERE shared_type IS NOT NULL;

CREATE TABLE {thoughts} (
    thought_id text COLLATE "C" NOT NULL PRIMARY KEY,
    source_task_id text COLLATE "C" NOT NULL,
    content text NOT NULL,
    agent_occurrence_id text COLLATE "C" NOT NULL,
    channel_id text COLLATE "C",
    thought_type text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    round_number bigint NOT NULL,
    context jsonb,
    thought_depth integer NOT NULL,
    escalation_level bigint NOT NULL,
    ponder_notes jsonb,
    parent_thought_id text COLLATE "C",
    final_action jsonb,
    metadata jsonb
);

CREATE INDEX thoughts_by_task ON {thoughts} (source_task_id, created_at, thought_id);

CREATE INDEX thoughts_by_creation ON {thoughts} (agent_occurrence_id, created_at, thought_id);

CREATE INDEX thoughts_by_status ON {thoughts} (agent_occurrence_id, status, created_at, thought_id);

CREATE INDEX thoughts_completed ON {thoughts} (agent_occurrence_id, updated_at DESC, thought_id)
WHERE status = 'completed';

CREATE INDEX thoughts_of_all ON {thoughts} (created_at, thought_id);

CREATE INDEX thoughts_by_parent ON {thoughts} (parent_thought_id, created_at, thought_id)
WHERE parent_thought_id IS NOT NULL;
