"""Vocabularies of tasks and thoughts."""

from ciris_store_core.models.enums import TaskStatus, ThoughtStatus, ThoughtType

__all__ = ["TaskStatus", "ThoughtStatus", "ThoughtType"]
