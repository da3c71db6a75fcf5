"""Tasks and thoughts."""

from ciris_store_core.models.tasks import Task, TaskContext, TaskOutcome
from ciris_store_core.models.thoughts import FinalAction, Thought, ThoughtContext

__all__ = ["FinalAction", "Task", "TaskContext", "TaskOutcome", "Thought", "ThoughtContext"]
