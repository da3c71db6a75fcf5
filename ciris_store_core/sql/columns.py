"""Column lists of the tables. Statements name them as fragments: ``SELECT {task_columns} FROM {tasks}``.

The order of each list is the order in which the row mapper of its aggregate unpacks a row.
"""

from __future__ import annotations

from collections.abc import Mapping

TASK_COLUMNS = (
    "task_id, channel_id, description, agent_occurrence_id, status, priority, created_at, updated_at, created_by, "
    "parent_task_id, context, outcome, signed_by, signature, signed_at, updated_info_available, "
    "updated_info_content, claimed_by, claimed_at, claimed_from, fence, shared_type, metadata"
)

THOUGHT_COLUMNS = (
    "thought_id, source_task_id, content, agent_occurrence_id, channel_id, thought_type, status, created_at, "
    "updated_at, round_number, context, thought_depth, escalation_level, retry_count, ponder_notes, "
    "parent_thought_id, final_action, metadata"
)

NODE_COLUMNS = (
    "id, scope, type, attributes, version, revision, created_at, updated_by, updated_at, consent_stream, expires_at, "
    "secret_refs, metadata"
)

EDGE_COLUMNS = "source, target, relationship, scope, weight, attributes, metadata, revision"

CORRELATION_COLUMNS = (
    "correlation_id, correlation_type, service_type, handler_name, action_type, request_data, response_data, status, "
    "agent_occurrence_id, scope, created_at, updated_at, timestamp, metric_name, metric_value, metric_unit, "
    "metric_data, min_value, max_value, sample_count, sample_sum, last_timestamp, log_level, log_message, log_data, "
    "trace_id, trace_context, tags, retention_policy, resolution, ttl_seconds, parent_correlation_id, "
    "child_correlation_ids, metadata"
)

SECRET_COLUMNS = "secret_id, description, sensitivity, key_id, ciphertext, detected_by, created_at, metadata"

# Some databases reserve the word "at".
ACCESS_COLUMNS = 'access_id, secret_id, accessor, action, granted, "at", metadata'

ENTRY_COLUMNS = (
    'chain, sequence, entry_id, event_type, actor, "at", payload, previous_hash, entry_hash, signature, '
    "signing_key_id, metadata"
)

ANCHOR_COLUMNS = 'chain, sequence, entry_hash, removed_count, "at", signature, signing_key_id, metadata'

OCCURRENCE_COLUMNS = "occurrence_id, started_at, heartbeat_at, expires_at, metadata"

LEASE_COLUMNS = "name, owner, fence, acquired_at, expires_at, metadata"

DOCUMENT_COLUMNS = (
    "path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name, media_type, key_id, secret_refs, "
    "metadata, searchable, body, data"
)

STREAM_COLUMNS = "path, name, long_name, first_position, last_position, created_at, updated_at"

STREAM_ENTRY_COLUMNS = (
    "position, entry_id, kind, created_at, format, media_type, key_id, secret_refs, searchable, body, data"
)

COLUMN_LISTS: Mapping[str, str] = {
    "task_columns": TASK_COLUMNS,
    "thought_columns": THOUGHT_COLUMNS,
    "node_columns": NODE_COLUMNS,
    "edge_columns": EDGE_COLUMNS,
    "correlation_columns": CORRELATION_COLUMNS,
    "secret_columns": SECRET_COLUMNS,
    "access_columns": ACCESS_COLUMNS,
    "entry_columns": ENTRY_COLUMNS,
    "anchor_columns": ANCHOR_COLUMNS,
    "occurrence_columns": OCCURRENCE_COLUMNS,
    "lease_columns": LEASE_COLUMNS,
    "document_columns": DOCUMENT_COLUMNS,
    "stream_columns": STREAM_COLUMNS,
    "stream_entry_columns": STREAM_ENTRY_COLUMNS,
}
"""The fragments that a dialect renders as lists of columns."""
