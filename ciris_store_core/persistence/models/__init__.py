"""The functions on tasks, thoughts, graph and correlations, one module each."""

from typing import TYPE_CHECKING

from ciris_store_core.persistence.models import correlations, deferral, graph, identity, queue_status, tasks, thoughts
from ciris_store_core.persistence.models.correlations import *
from ciris_store_core.persistence.models.deferral import *
from ciris_store_core.persistence.models.graph import *
from ciris_store_core.persistence.models.identity import *
from ciris_store_core.persistence.models.queue_status import *
from ciris_store_core.persistence.models.tasks import *
from ciris_store_core.persistence.models.thoughts import *

# Type checkers need no list here, as each star hands on all it imports, and mypy reads none that is put together.
if not TYPE_CHECKING:
    __all__ = [
        *correlations.__all__,
        *deferral.__all__,
        *graph.__all__,
        *identity.__all__,
        *queue_status.__all__,
        *tasks.__all__,
        *thoughts.__all__,
    ]
