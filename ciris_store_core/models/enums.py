"""The closed and open vocabularies of the records."""

from __future__ import annotations

from collections.abc import Mapping

from ciris_store_core.models.base import NamedEnum, OpenEnum


class TaskStatus(NamedEnum):
    """Status of a task. ``in_progress`` is accepted on input and means ACTIVE."""

    PENDING = "pending"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """Return the alias ``in_progress`` of active."""
        return {"in_progress": "active"}


class ThoughtStatus(NamedEnum):
    """Status of a thought."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    DEFERRED = "deferred"
    REJECTED = "rejected"


class ThoughtType(NamedEnum):
    """Kind of a thought."""

    STANDARD = "standard"
    FOLLOW_UP = "follow_up"
    ERROR = "error"
    OBSERVATION = "observation"
    MEMORY = "memory"
    DEFERRED = "deferred"
    PONDER = "ponder"
    FEEDBACK = "feedback"
    GUIDANCE = "guidance"
    IDENTITY_UPDATE = "identity_update"
    ETHICAL_REVIEW = "ethical_review"
    CONSCIENCE = "conscience"
    CONSENSUS = "consensus"
    REFLECTION = "reflection"
    SYNTHESIS = "synthesis"
    DELEGATION = "delegation"
    CLARIFICATION = "clarification"
    SUMMARY = "summary"
    TOOL_RESULT = "tool_result"
    ACTION_REVIEW = "action_review"
    URGENT = "urgent"
    SCHEDULED = "scheduled"
    PATTERN = "pattern"
    ADAPTATION = "adaptation"


class GraphScope(NamedEnum):
    """Part of the graph that a node belongs to. IDENTITY is protected: writes need an approval."""

    LOCAL = "local"
    IDENTITY = "identity"
    ENVIRONMENT = "environment"
    COMMUNITY = "community"
    NETWORK = "network"


class NodeType(OpenEnum):
    """Type of a node. Open: your own lower-case names are types too."""

    AGENT = "agent"
    USER = "user"
    CHANNEL = "channel"
    CONCEPT = "concept"
    CONFIG = "config"
    TSDB_DATA = "tsdb_data"
    TSDB_SUMMARY = "tsdb_summary"
    CONVERSATION_SUMMARY = "conversation_summary"
    TRACE_SUMMARY = "trace_summary"
    AUDIT_SUMMARY = "audit_summary"
    TASK_SUMMARY = "task_summary"
    AUDIT_ENTRY = "audit_entry"
    IDENTITY_SNAPSHOT = "identity_snapshot"
    BEHAVIORAL = "behavioral"
    SOCIAL = "social"
    IDENTITY = "identity"
    OBSERVATION = "observation"
    CONSENT = "consent"
    DECAY = "decay"
    MODERATION = "moderation"
    SAFETY_SCORE = "safety_score"


class ConfigNodeType(NamedEnum):
    """The kinds of adaptive configuration; each needs the scope that ``required_scope`` names."""

    FILTER_CONFIG = "filter_config"
    CHANNEL_CONFIG = "channel_config"
    USER_TRACKING = "user_tracking"
    RESPONSE_TEMPLATES = "response_templates"
    TOOL_PREFERENCES = "tool_preferences"
    BEHAVIOR_CONFIG = "behavior_config"
    ETHICAL_BOUNDARIES = "ethical_boundaries"
    CAPABILITY_LIMITS = "capability_limits"
    TRUST_PARAMETERS = "trust_parameters"
    LEARNING_RULES = "learning_rules"

    @property
    def required_scope(self) -> GraphScope:
        """LOCAL for what an agent learns by itself, IDENTITY for what it is."""
        return GraphScope.LOCAL if self in _LOCAL_CONFIG else GraphScope.IDENTITY


_LOCAL_CONFIG = frozenset(list(ConfigNodeType)[:5])


class CorrelationType(OpenEnum):
    """Type of a correlation. Open in the same way as node types."""

    SERVICE_INTERACTION = "service_interaction"
    METRIC_DATAPOINT = "metric_datapoint"
    LOG_ENTRY = "log_entry"
    TRACE_SPAN = "trace_span"
    AUDIT_EVENT = "audit_event"
    METRIC_HOURLY_SUMMARY = "metric_hourly_summary"
    METRIC_DAILY_SUMMARY = "metric_daily_summary"
    LOG_HOURLY_SUMMARY = "log_hourly_summary"
    SERVICE_CORRELATION = "service_interaction"

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """The specification's name for service interactions."""
        return {"service_correlation": "service_interaction"}


class CorrelationStatus(NamedEnum):
    """Outcome of a service interaction."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class RetentionPolicy(NamedEnum):
    """Degree to which the caller allows a record to be rolled up."""

    RAW = "raw"
    AGGREGATED = "aggregated"
    DOWNSAMPLED = "downsampled"

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """The engine's older names."""
        return {"hourly_summary": "aggregated", "daily_summary": "downsampled"}


class Resolution(NamedEnum):
    """Current resolution of a stored row."""

    RAW = "raw"
    HOURLY = "hourly"
    DAILY = "daily"


class Direction(NamedEnum):
    """Direction of edges, seen from a node."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


class OpStatus(NamedEnum):
    """Outcome of a memory operation."""

    OK = "ok"
    DEFERRED = "deferred"
    DENIED = "denied"
    PENDING = "pending"
    ERROR = "error"
