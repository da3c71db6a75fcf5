"""Adaptive configuration, learned by agents about channels, users, filters, replies and tools."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from ciris_store_core.models.base import Count, Finite, Id, Record, Share, Text, UtcDateTime
from ciris_store_core.models.enums import ConfigNodeType


class Configuration(Record):
    """Base of typed configurations; each is stored as a node of type ``config``. Further attributes are kept as given.

    For a kind of your own derive a class and set ``config_type``, which also decides the scope. Every field needs a
    default.
    """

    model_config = ConfigDict(extra="allow")

    config_type: ClassVar[ConfigNodeType]
    """The kind of configuration."""


class FilterConfig(Configuration):
    """Learned state of a content filter."""

    config_type = ConfigNodeType.FILTER_CONFIG

    sensitivity: Share = 0.5
    """How easily it is triggered."""
    learned_patterns: list[Text] = Field(default_factory=list)
    trigger_counts: dict[Id, Count] = Field(default_factory=dict)
    """How often, by pattern or reason."""
    false_positive_rate: Share = 0.0


class ChannelConfig(Configuration):
    """Behaviour in a channel."""

    config_type = ConfigNodeType.CHANNEL_CONFIG

    verbosity: Share = 0.5
    tone: Text | None = None
    message_counts: dict[Id, Count] = Field(default_factory=dict)
    """How many, by kind or author."""
    mean_response_seconds: Finite | None = None
    recent_topics: list[Text] = Field(default_factory=list)


class UserTracking(Configuration):
    """Activity and preferences of a user."""

    config_type = ConfigNodeType.USER_TRACKING

    interaction_counts: dict[Id, Count] = Field(default_factory=dict)
    """How many, by kind."""
    satisfaction: Finite | None = None
    preferences: dict[Id, Share] = Field(default_factory=dict)
    """How much the user likes a thing: 0.5 is neither."""
    recent_interactions: list[Text] = Field(default_factory=list)


class OldTemplate(Record):
    """A template that was replaced."""

    template: Text
    replaced_at: UtcDateTime


class ResponseTemplates(Configuration):
    """Templates of replies, current and former."""

    config_type = ConfigNodeType.RESPONSE_TEMPLATES

    templates: dict[Id, Text] = Field(default_factory=dict)
    """The one to use, by name."""
    former: dict[Id, list[OldTemplate]] = Field(default_factory=dict)
    """Those used before, by name, newest last."""
    scores: dict[Id, Finite] = Field(default_factory=dict)
    """How well each does."""


class ToolPreferences(Configuration):
    """Preferences among tools."""

    config_type = ConfigNodeType.TOOL_PREFERENCES

    weights: dict[Id, Share] = Field(default_factory=dict)
    """How much to prefer a tool: 0.5 is neither."""
    use_counts: dict[Id, Count] = Field(default_factory=dict)
    mean_seconds: dict[Id, Finite] = Field(default_factory=dict)
    """How long each takes."""
