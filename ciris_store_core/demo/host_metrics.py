"""The host's own metrics, as far as the platform provides them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

UNITS = {
    "host.cpu": "%",
    "host.load": "processes",
    "host.memory_used": "MiB",
    "process.cpu": "% of one core",
    "process.memory": "MiB",
}
"""The metrics and their units. Samples leave out metrics that the platform does not provide."""

_MIB = 2**20


class HostSampler:
    """A sampler of the host and this process. Shares of time refer to the time since the previous sample."""

    def __init__(self) -> None:
        """Begin the first interval."""
        self._jiffies = _jiffies()
        self._process = (time.monotonic(), time.process_time())

    def sample(self) -> dict[str, float]:
        """Return the current values by name."""
        values = {
            "host.cpu": self._host_cpu(),
            "host.load": _load(),
            "host.memory_used": _memory_used(),
            "process.cpu": self._process_cpu(),
            "process.memory": _process_memory(),
        }
        return {name: round(value, 3) for name, value in values.items() if value is not None}

    def _host_cpu(self) -> float | None:
        before, self._jiffies = self._jiffies, _jiffies()
        if before is None or self._jiffies is None or self._jiffies[0] <= before[0]:
            return None
        total, idle = self._jiffies[0] - before[0], self._jiffies[1] - before[1]
        return 100 * min(max(1 - idle / total, 0.0), 1.0)

    def _process_cpu(self) -> float | None:
        (wall, used), self._process = self._process, (time.monotonic(), time.process_time())
        elapsed = self._process[0] - wall
        return 100 * (self._process[1] - used) / elapsed if elapsed > 0 else None


def _jiffies() -> tuple[int, int] | None:
    """Return total and idle time of all processors since the start of the host; only Linux provides them."""
    try:
        numbers = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(numbers), sum(numbers[3:5])


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _memory_used() -> float | None:
    try:
        facts = dict(_meminfo())
        return (facts["MemTotal"] - facts["MemAvailable"]) / 1024
    except (OSError, ValueError, KeyError):
        return _memory_used_by_pages()


def _meminfo() -> Iterator[tuple[str, int]]:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        yield name, int(rest.split()[0])


def _memory_used_by_pages() -> float | None:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") - os.sysconf("SC_AVPHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB
    except (OSError, ValueError, AttributeError):
        return None


def _process_memory() -> float | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB
    except (OSError, ValueError, AttributeError):
        return _process_memory_peak()


def _process_memory_peak() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    # in bytes on macOS, in kilobytes elsewhere
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
