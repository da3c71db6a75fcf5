"""Speed of the session service beside ADK's own on SQLite: ``python contrib/adk/bench.py``, a table as Markdown.

Each service appends to a session of 1,000 events, and reads it. The two take turns in short rounds, and the table shows
the median of each, so that other load on the machine meets both.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from ciris_store_adk import CirisSessionService
from google.adk.events.event import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.genai import types

from ciris_store_core import open_store

KEY: Any = {"app_name": "app", "user_id": "ada", "session_id": "s"}
EVENTS, ROUNDS, APPENDS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, 7, 10


def event() -> Event:
    """Return a new event of some 150 characters."""
    content = types.Content(role="user", parts=[types.Part(text="What is on my list for today? " * 5)])
    return Event(id=Event.new_id(), author="user", content=content)


async def timed(work: Callable[[], Awaitable[object]], times: int) -> tuple[float, float]:
    """Return the milliseconds that one call takes, and those of the processor."""
    began, busy = perf_counter(), process_time()
    for _ in range(times):
        await work()
    return (perf_counter() - began) / times * 1000, (process_time() - busy) / times * 1000


async def main(folder: Path) -> None:
    """Print the table."""
    with open_store(f"sqlite:///{folder}/ours.db") as store:
        services: dict[str, BaseSessionService] = {
            "CirisSessionService": CirisSessionService(store),
            "DatabaseSessionService": DatabaseSessionService(f"sqlite+aiosqlite:///{folder}/theirs.db"),
        }
        sessions: dict[str, Session] = {}
        taken: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in services}
        for name, service in services.items():
            sessions[name] = await service.create_session(**KEY)
            for _ in range(EVENTS):
                await service.append_event(sessions[name], event())
        for _ in range(ROUNDS):
            for name, service in services.items():
                session, ms = sessions[name], taken[name]
                works: dict[str, tuple[Callable[[], Awaitable[object]], int]] = {
                    "append_event": (lambda: service.append_event(session, event()), APPENDS),  # noqa: B023
                    "get_session": (lambda: service.get_session(**KEY), 1),  # noqa: B023
                    "get_session, the newest 20": (
                        lambda: service.get_session(**KEY, config=GetSessionConfig(num_recent_events=20)), 5  # noqa: B023
                    ),
                }  # fmt: skip
                for what, (work, times) in works.items():
                    ms.setdefault(what, []).append(await timed(work, times))
        await services["DatabaseSessionService"].close()  # type: ignore[attr-defined]
    print(f"| at {EVENTS:,} events, ms (of them processor time) | {' | '.join(services)} |\n|---|---|---|")
    for what in taken["CirisSessionService"]:
        cells = [tuple(map(median, zip(*taken[name][what], strict=True))) for name in services]
        print(f"| {what} | " + " | ".join(f"{wall:.1f} ({busy:.1f})" for wall, busy in cells) + " |")


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        asyncio.run(main(Path(made)))
