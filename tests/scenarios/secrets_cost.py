"""Cost of the search for secrets in a write: ``python -m tests.scenarios.secrets_cost``.

The same nodes are written to two SQLite stores in turn, one with detection and one without; processor time is what
counts, so that other programs matter little.
"""

from __future__ import annotations

import tempfile
import time
from statistics import median
from typing import Any

from ciris_store_core import GraphNode, KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.keys import new_key

PROSE = "Met her at the conference in Berlin on 2025-10-28; she wants a summary of the talk by next week, with slides. "

PAYLOADS: dict[str, dict[str, Any]] = {
    "three short attributes": {"name": "Ada", "likes": "trains", "visits": 3},
    "a usual memory": {
        "name": "Ada Lovelace", "channel": "filter_config_channel_123", "notes": PROSE, "confidence": 0.8,
        "message_id": "0193b0c2-7c1e-7a44-9d4e-6a1f0c1b2d3e", "tags": ["met", "berlin", "talk"],
    },
    "a text of 10 kB": {"text": PROSE * 95},
    "a word that needs a second look": {"note": "I forgot my password again, please send me a new link: it is urgent"},
    "a secret": {"note": "my password is Tr0ub4dor&3, keep it", "name": "Ada"},
}  # fmt: skip


def microseconds(store: Store, payload: dict[str, Any], count: int, start: int) -> float:
    """Processor time of one write, in microseconds."""
    began = time.process_time()
    for number in range(start, start + count):
        store.graph.put(GraphNode(id=f"n{number}", type="user", scope="local", attributes=payload))
    return (time.process_time() - began) / count * 1e6


def compare(payload: dict[str, Any], rounds: int = 15, count: int = 60) -> tuple[float, float]:
    """Median processor time of a write without and with detection, in microseconds."""
    keys = SecretsConfig(keys=KeyRing(new_key()), detect=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/{{}}.db?synchronous=normal"
        with (
            open_store(url.format("off"), secrets=False) as off,
            open_store(url.format("on"), secrets=keys) as on,
        ):
            times: list[tuple[float, float]] = []
            for number in range(rounds):
                start = number * count
                times.append((microseconds(off, payload, count, start), microseconds(on, payload, count, start)))
    return median(each[0] for each in times[1:]), median(each[1] for each in times[1:])


def main() -> None:
    """Print a line for each payload."""
    print(f"{'node with':34}{'off, us':>10}{'on, us':>10}{'ratio':>8}")
    for name, payload in PAYLOADS.items():
        off, on = compare(payload)
        print(f"{name:34}{off:10.1f}{on:10.1f}{on / off:8.2f}")


if __name__ == "__main__":
    main()
