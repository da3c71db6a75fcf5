"""The background thread of a worker: heartbeats, and samples of the host's metrics."""

from __future__ import annotations

import threading
from types import TracebackType

from ciris_store_core import Correlation, OccurrenceHandle, Store, StoreError
from ciris_store_core.demo.host_metrics import UNITS, HostSampler
from ciris_store_core.demo.run_plan import RunPlan
from ciris_store_core.demo.worker_writes import metric

SAMPLE_SECONDS = 0.1
SAMPLES_PER_BEAT = 4


class Heartbeats:
    """Heartbeats and samples for the duration of a ``with`` block.

    An error of the store ends the thread; leaving the block raises it.
    """

    def __init__(self, store: Store, plan: RunPlan, me: OccurrenceHandle) -> None:
        """Prepare the thread for a registered occurrence."""
        self._store = store
        self._plan = plan
        self._me = me
        self._sampler = HostSampler()
        self._buffer: list[Correlation] = []
        self._over = threading.Event()
        self._error: StoreError | None = None
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> None:
        """Start the thread."""
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Store the last samples and stop the thread."""
        self._over.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._collect()
                self._me.heartbeat()
                self._store.correlations.add_many(self._buffer)
                self._buffer.clear()
        except StoreError as error:
            self._error = error

    def _collect(self) -> None:
        for _ in range(SAMPLES_PER_BEAT):
            self._over.wait(SAMPLE_SECONDS)
            for name, value in self._sampler.sample().items():
                self._buffer.append(metric(self._plan, self._me.occurrence_id, name, value, UNITS[name]))
