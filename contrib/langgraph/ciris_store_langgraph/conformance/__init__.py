"""Public conformance suite for LangGraph's stores and checkpointers, as tests of pytest.

>>> from ciris_store_langgraph.conformance import store_suite
>>> test_store = store_suite(my_store)  # def my_store(place: Path) -> AbstractContextManager[BaseStore]
"""

from ciris_store_langgraph.conformance.clauses import (
    Clause,
    Outcome,
    Subject,
    check,
    saver_suite,
    store_suite,
)

__all__ = ["Clause", "Outcome", "Subject", "check", "saver_suite", "store_suite"]
