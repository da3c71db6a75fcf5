"""The functions on tasks, thoughts, graph and correlations, a module each."""

from . import correlations, deferral, graph, identity, queue_status, tasks, thoughts
from .correlations import *
from .deferral import *
from .graph import *
from .identity import *
from .queue_status import *
from .tasks import *
from .thoughts import *

__all__ = [
    *correlations.__all__,
    *deferral.__all__,
    *graph.__all__,
    *identity.__all__,
    *queue_status.__all__,
    *tasks.__all__,
    *thoughts.__all__,
]
