"""Kill a process again and again between the writes of a step, and resume its thread in the next one.

python kills.py URL COUNT
"""

from __future__ import annotations

import operator
import os
import random
import signal
import sys
import threading
import time
from importlib import import_module
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from ciris_store_langgraph import CirisSaver

CALLS = 9
"""Calls of ``put`` and ``put_writes`` in one run of the graph."""


class State(TypedDict):
    done: Annotated[list[str], operator.add]


def builder() -> Any:
    made = StateGraph(State)
    for name in ("a", "b", "c"):
        made.add_node(name, lambda state, name=name: {"done": [name]})
        made.add_edge(START, name)
    made.add_node("end", lambda state: {"done": ["end"]})
    made.add_edge(["a", "b", "c"], "end")
    made.add_edge("end", END)
    return made


class Deadly(CirisSaver):
    """Saver that kills its process at a call: before it, after it, or within."""

    at = -1
    when = 0
    calls = 0

    def _counted(self, call: Any, *args: Any) -> Any:
        number, self.calls = self.calls, self.calls + 1
        if number != self.at:
            return call(*args)
        if self.when == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.when == 1:
            threading.Thread(target=_kill_soon, daemon=True).start()
        result = call(*args)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    def put(self, *args: Any) -> Any:
        return self._counted(super().put, *args)

    def put_writes(self, *args: Any) -> Any:
        return self._counted(super().put_writes, *args)


def _kill_soon() -> None:
    time.sleep(random.random() / 500)
    os.kill(os.getpid(), signal.SIGKILL)


def run(url: str, number: int) -> None:
    """Run the graph on a thread, and kill the process at one of its calls."""
    with Deadly.from_conn_string(url) as saver:
        saver.at, saver.when = number % CALLS, number // CALLS % 3
        # Every step is stored before the next begins.
        config = {"configurable": {"thread_id": f"t{number}"}}
        builder().compile(checkpointer=saver).invoke({"done": ["in"]}, config, durability="sync")


def forked(work: Any, *args: Any) -> int:
    """Run a function in a process of its own, and return that process's exit status."""
    child = os.fork()
    if child == 0:
        try:
            work(*args)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def resume(url: str, count: int) -> None:
    """Resume every thread, and fail if one does not end as an unbroken run does."""
    with CirisSaver.from_conn_string(url) as saver:
        graph = builder().compile(checkpointer=saver)
        for number in range(count):
            config: Any = {"configurable": {"thread_id": f"t{number}"}}
            # A thread whose first checkpoint was not stored begins.
            given = None if saver.get_tuple(config) else {"done": ["in"]}
            graph.invoke(given, config)
            done = graph.get_state(config).values["done"]
            assert sorted(done) == ["a", "b", "c", "end", "in"], f"thread {number}: {done}"


def load_modules() -> None:
    """Import here what the runs need, so that none of them has to."""
    for name in ("ciris_store_sqlite.backend", "ciris_store_postgres.backend"):
        import_module(name)
    with CirisSaver.from_conn_string("memory://") as saver:
        builder().compile(checkpointer=saver).invoke({"done": ["in"]}, {"configurable": {"thread_id": "t"}})


def main(url: str, count: int) -> None:
    """Kill so many runs, resume them all, and print how many were killed."""
    assert forked(CirisSaver.from_conn_string(url).__enter__) == 0
    load_modules()
    codes = [forked(run, url, number) for number in range(count)]
    assert set(codes) <= {0, -signal.SIGKILL}, codes
    assert forked(resume, url, count) == 0
    print(f"killed {codes.count(-signal.SIGKILL)} of {count}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
