"""A call that must end in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

LIMIT = 2.5
"""Seconds that any call may take once an interrupt is over: the two of the URL's timeouts and a little."""


def within(call: Callable[[], Any]) -> Any:
    """Return the result of a call in another thread; a complaint if it does not come back in time or raises."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(call())
        except Exception as error:
            answers.append(f"another thread: {type(error).__name__}: {error}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return answers[0] if answers else "another thread hangs"
