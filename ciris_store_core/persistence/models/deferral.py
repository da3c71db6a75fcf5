"""The mapping of messages to the deferrals that they report: graph nodes of type ``deferral_report`` in local scope."""

from __future__ import annotations

from typing import Any

from ciris_store_core.models.base import to_json_object
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.persistence.arguments import counterpart
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.requests import DeferralPackage, DeferralReportContext


def save_deferral_report_mapping(
    message_id: str, task_id: str, thought_id: str, package: Any = None, db_path: DbPath = None
) -> None:
    """Store the context of a message. It replaces an existing one.

    ``package`` is a ``DeferralPackage``, or a dict or other pydantic model with its fields.
    """
    given = None if package is None else DeferralPackage(**to_json_object(package))
    about = DeferralReportContext(task_id=task_id, thought_id=thought_id, package=given)
    node = GraphNode(
        id=_id(message_id), type="deferral_report", scope=GraphScope.LOCAL, attributes=about.model_dump(mode="json")
    )
    get_store(db_path).graph.put(node, merge=False)


def get_deferral_report_context(message_id: str, db_path: DbPath = None) -> DeferralReportContext | None:
    """Return the context of a message, or None."""
    node = get_store(db_path).graph.get(_id(message_id), GraphScope.LOCAL)
    return None if node is None else DeferralReportContext(**node.attributes)


def _id(message_id: str) -> str:
    return f"deferral_report:{message_id}"


async_save_deferral_report_mapping = counterpart(save_deferral_report_mapping)
async_get_deferral_report_context = counterpart(get_deferral_report_context)

__all__ = [
    "async_get_deferral_report_context",
    "async_save_deferral_report_mapping",
    "get_deferral_report_context",
    "save_deferral_report_mapping",
]
