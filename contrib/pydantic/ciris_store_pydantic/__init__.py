"""Stores of Pydantic AI, and of its harness, on CIRIS Store.

Each is imported at its first use: conversations need pydantic-ai 2.68, and all others pydantic-ai-harness.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ciris_store_pydantic.conversations import CirisConversationStore
    from ciris_store_pydantic.memory import CirisMemoryStore
    from ciris_store_pydantic.plans import CirisPlanStore
    from ciris_store_pydantic.spend import CirisSpendStore
    from ciris_store_pydantic.steps import CirisStepStore

__all__ = ["CirisConversationStore", "CirisMemoryStore", "CirisPlanStore", "CirisSpendStore", "CirisStepStore"]

_MODULES = {
    "CirisConversationStore": "conversations",
    "CirisMemoryStore": "memory",
    "CirisPlanStore": "plans",
    "CirisSpendStore": "spend",
    "CirisStepStore": "steps",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"ciris_store_pydantic.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
