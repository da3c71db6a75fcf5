"""Requests for the approval of a Wise Authority, and approvals."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.base import Id, JsonObject, Record, UtcDateTime
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.audit.canonical import canonical, fields_of, hash_of
from ciris_store_core.validation.validator import moment

LONGEST_LIFE = timedelta(days=30)
"""Longest validity of an approval. A longer one is refused, whichever authority signed it."""


def _hexadecimal(digits: int) -> Any:
    return Field(pattern=f"^[0-9a-f]{{{digits}}}$")


class ApprovalRequest(Record):
    """Content of one write to a protected scope. A refused write gives it as ``error.request``."""

    operation: Id
    """``put_nodes``, ``delete_nodes``, ``put_edges``, ``delete_edges``, ``register_authority`` or
    ``revoke_authority``."""
    scope: GraphScope
    store: str = ""
    """The id of the store. A copy of the store has another id, so an approval counts in one of them only."""
    content: list[JsonObject]
    """The keys, and for writes the full content, in the order of the call."""

    @property
    def digest(self) -> str:
        """SHA-256 of the request's canonical form. An approval is bound to it."""
        return hash_of("ciris-store approval request 1", fields_of(self))

    def approve(
        self, key: SigningKey, *, valid_seconds: float = 3600, now: datetime | None = None, nonce: str | None = None
    ) -> Approval:
        """Sign the request. The approval allows one write, of exactly this content, within its validity.

        Args:
            key: The signing key of the authority.
            valid_seconds: The validity by the store's clock, at most 30 days.
            now: The beginning of the validity; by default now, by this host's clock.
            nonce: 32 hexadecimal digits that no other approval has; by default random.
        """
        if not 0 < valid_seconds <= LONGEST_LIFE.total_seconds():
            raise InvalidArgument("valid_seconds must be more than 0 and at most 30 days")
        begins = moment(now, "now") or datetime.now(UTC)
        try:
            expires_at = begins + timedelta(seconds=valid_seconds)
        except OverflowError:
            raise InvalidArgument(
                f"now: {begins.isoformat()} is too late: the approval would end after 9999. Give an earlier time."
            ) from None
        approval = Approval(
            authority=key.key_id,
            request=self.digest,
            expires_at=expires_at,
            nonce=nonce or secrets.token_hex(16),
            signature="0" * 128,
        )
        approval.signature = key.sign(approval.statement)
        return approval


class Approval(Record):
    """Signature of a Wise Authority under a request. It can be sent as JSON (``to_json``, ``from_json``)."""

    authority: Id
    """The id of the authority's key."""
    request: Annotated[str, _hexadecimal(64)]
    """The digest of the approved request."""
    expires_at: UtcDateTime
    nonce: Annotated[str, _hexadecimal(32)]
    signature: Annotated[str, _hexadecimal(128)]

    @property
    def statement(self) -> bytes:
        """Bytes that the signature signs."""
        fields = {name: value for name, value in fields_of(self).items() if name != "signature"}
        return b"ciris-store approval 1\n" + canonical(fields)


_given: ContextVar[tuple[Approval, ...]] = ContextVar("approvals", default=())


def given() -> tuple[Approval, ...]:
    """Return the approvals that the running code writes with."""
    return _given.get()


@contextmanager
def approved(*approvals: Approval) -> Iterator[None]:
    """Allow the approved writes within the block: each once, exactly as approved.

    This holds for code that runs in the block, transactions, services and awaited calls included, and for no other
    thread or task.
    """
    token = _given.set((*_given.get(), *approvals))
    try:
        yield
    finally:
        _given.reset(token)
