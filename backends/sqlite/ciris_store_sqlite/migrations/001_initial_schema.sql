-- oldest-program: 1
-- Times are integers: microseconds since the UTC epoch. JSON is text; NULL stands for an empty object or list.

CREATE TABLE {schema_migrations} (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    oldest_program INTEGER NOT NULL
) STRICT;

-- node_number is an explicit key because VACUUM may renumber an implicit one, and the indexes below refer to it.
CREATE TABLE {graph_nodes} (
    node_number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    type TEXT NOT NULL,
    attributes TEXT NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_by TEXT,
    updated_at INTEGER NOT NULL,
    consent_stream TEXT,
    expires_at INTEGER,
    secret_refs TEXT,
    metadata TEXT,
    UNIQUE (id, scope)
) STRICT;

CREATE INDEX graph_nodes_by_update ON {graph_nodes} (scope, updated_at DESC, id);

CREATE INDEX graph_nodes_by_type ON {graph_nodes} (scope, type, updated_at DESC, id);

CREATE INDEX graph_nodes_by_expiry ON {graph_nodes} (expires_at) WHERE expires_at IS NOT NULL;

-- Every scalar attribute, so that nodes are found by an attribute without reading the others. Long texts by their
-- beginning; the query compares the whole.
CREATE TABLE graph_node_attributes (
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value ANY NOT NULL,
    node_number INTEGER NOT NULL,
    PRIMARY KEY (key, kind, value, node_number)
) STRICT, WITHOUT ROWID;

CREATE VIEW graph_node_scalars AS
SELECT n.node_number AS node_number, j.key AS key,
    CASE j.type WHEN 'text' THEN 'text' WHEN 'null' THEN 'null' WHEN 'true' THEN 'boolean' WHEN 'false' THEN 'boolean'
        ELSE 'number' END AS kind,
    CASE j.type WHEN 'text' THEN substr(j.atom, 1, 200) WHEN 'null' THEN 0 ELSE j.atom END AS value
FROM {graph_nodes} n, json_each(n.attributes) j
WHERE j.type NOT IN ('object', 'array');

CREATE TRIGGER graph_node_added AFTER INSERT ON {graph_nodes} BEGIN
    INSERT INTO graph_node_attributes (node_number, key, kind, value)
    SELECT node_number, key, kind, value FROM graph_node_scalars WHERE node_number = new.node_number;
END;

CREATE TRIGGER graph_node_changing BEFORE UPDATE OF attributes ON {graph_nodes}
WHEN old.attributes IS NOT new.attributes BEGIN
    DELETE FROM graph_node_attributes WHERE (key, kind, value, node_number) IN (
        SELECT key, kind, value, node_number FROM graph_node_scalars WHERE node_number = old.node_number);
END;

CREATE TRIGGER graph_node_changed AFTER UPDATE OF attributes ON {graph_nodes}
WHEN old.attributes IS NOT new.attributes BEGIN
    INSERT INTO graph_node_attributes (node_number, key, kind, value)
    SELECT node_number, key, kind, value FROM graph_node_scalars WHERE node_number = new.node_number;
END;

CREATE TRIGGER graph_node_deleted BEFORE DELETE ON {graph_nodes} BEGIN
    DELETE FROM graph_node_attributes WHERE (key, kind, value, node_number) IN (
        SELECT key, kind, value, node_number FROM graph_node_scalars WHERE node_number = old.node_number);
END;

CREATE TABLE {graph_edges} (
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    relationship TEXT NOT NULL,
    scope TEXT NOT NULL,
    weight REAL NOT NULL,
    attributes TEXT NOT NULL,
    metadata TEXT,
    PRIMARY KEY (scope, source, target, relationship)
) STRICT, WITHOUT ROWID;

CREATE INDEX graph_edges_by_target ON {graph_edges} (scope, target);

CREATE TABLE {tasks} (
    task_id TEXT NOT NULL PRIMARY KEY,
    channel_id TEXT NOT NULL,
    description TEXT NOT NULL,
    agent_occurrence_id TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    created_by TEXT,
    parent_task_id TEXT,
    context TEXT,
    outcome TEXT,
    signed_by TEXT,
    signature TEXT,
    signed_at INTEGER,
    updated_info_available INTEGER NOT NULL,
    updated_info_content TEXT,
    claimed_by TEXT,
    claimed_at INTEGER,
    claimed_from TEXT,
    fence INTEGER NOT NULL,
    shared_type TEXT,
    metadata TEXT,
    correlation_id TEXT
) STRICT;

CREATE INDEX tasks_by_creation ON {tasks} (agent_occurrence_id, created_at, task_id);

CREATE INDEX tasks_by_status ON {tasks} (agent_occurrence_id, status, created_at, task_id);

CREATE INDEX tasks_completed ON {tasks} (agent_occurrence_id, updated_at DESC, task_id) WHERE status = 'completed';

-- Spelled as the query spells it: SQLite uses a partial index only for the very same condition.
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
    thought_id TEXT NOT NULL PRIMARY KEY,
    source_task_id TEXT NOT NULL,
    content TEXT NOT NULL,
    agent_occurrence_id TEXT NOT NULL,
    channel_id TEXT,
    thought_type TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    round_number INTEGER NOT NULL,
    context TEXT,
    thought_depth INTEGER NOT NULL,
    escalation_level INTEGER NOT NULL,
    ponder_notes TEXT,
    parent_thought_id TEXT,
    final_action TEXT,
    metadata TEXT
) STRICT;

CREATE INDEX thoughts_by_task ON {thoughts} (source_task_id, created_at, thought_id);

CREATE INDEX thoughts_by_creation ON {thoughts} (agent_occurrence_id, created_at, thought_id);

CREATE INDEX thoughts_by_status ON {thoughts} (agent_occurrence_id, status, created_at, thought_id);

CREATE INDEX thoughts_completed ON {thoughts} (agent_occurrence_id, updated_at DESC, thought_id)
WHERE status = 'completed';

CREATE INDEX thoughts_of_all ON {thoughts} (created_at, thought_id);

CREATE INDEX thoughts_by_parent ON {thoughts} (parent_thought_id, created_at, thought_id)
WHERE parent_thought_id IS NOT NULL;
