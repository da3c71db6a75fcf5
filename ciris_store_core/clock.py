"""Time as a parameter: records get theirs from a ``Clock``, and tests set it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything with ``now()``, returning an aware UTC datetime."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


def before(now: datetime, age: timedelta) -> datetime:
    """The moment so long before ``now``; where the calendar begins later, its first, so that nothing is that old."""
    try:
        return now - age
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """The host's time, in UTC, with microseconds."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved. For tests."""

    def __init__(self, start: datetime | None = None) -> None:
        """Start at ``start`` (aware), by default 2025-01-01 12:00 UTC."""
        self._now = (start or datetime(2025, 1, 1, 12, tzinfo=UTC)).astimezone(UTC)

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump to ``moment`` (aware)."""
        self._now = moment.astimezone(UTC)

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> datetime:
        """Move by the given span and return the new time."""
        self._now += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._now
