"""A handler of the standard library's logging that stores log records."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ciris_store_core.integrations.json_logging import JsonFormatter, extra_fields
from ciris_store_core.models.correlations import Correlation, LogData
from ciris_store_core.models.enums import CorrelationType
from ciris_store_core.secrets.patterns import SecretPattern
from ciris_store_core.store.store import Store


class StoreHandler(logging.Handler):
    """A handler that stores log records as correlations of type ``log_entry``, in batches, without secrets.

    - Records wait in a buffer until they are stored together; ``flush`` and ``close`` store them at once. Close the
      handler before the store, as ``logging.shutdown`` does at the end of a program.
    - Every match of the store's secret detector becomes ``[REDACTED:kind]``, as with ``JsonFormatter``.
    - The store's own log (loggers below ``ciris_store_core``) is not taken: a store that fails would log into itself.
    - A record that cannot be stored goes to ``handleError``, and never to the program that logged it.

    ::

        logging.getLogger().addHandler(StoreHandler(store, level=logging.INFO))
    """

    def __init__(
        self,
        store: Store,
        level: int | str = logging.NOTSET,
        *,
        service_type: str = "logging",
        patterns: Iterable[SecretPattern] = (),
        max_delay_seconds: float = 1.0,
        capacity: int = 50_000,
    ) -> None:
        """Store records of ``level`` and above.

        Args:
            store: An open store.
            level: Number or name of the lowest level.
            service_type: Name of the program, by which ``log tail`` and ``correlations.find`` select its records.
            patterns: Kinds of secrets beside the built-in ones.
            max_delay_seconds: Approximate longest time that a record waits for others of its batch.
            capacity: Number of records that may wait; later ones go to ``handleError``.
        """
        super().__init__(level)
        self._service_type = service_type
        self._redact = JsonFormatter(patterns).redact
        self._writer = store.correlations.buffered(max_delay_seconds=max_delay_seconds, capacity=capacity)

    def emit(self, record: logging.LogRecord) -> None:
        """Store a record with its batch."""
        if record.name.partition(".")[0] == "ciris_store_core":
            return
        try:
            self._writer.add(self._entry(record), timeout_seconds=0)
        except Exception:
            self.handleError(record)

    def _entry(self, record: logging.LogRecord) -> Correlation:
        extra = extra_fields(record)
        if record.exc_info:
            extra["exception"] = logging.Formatter().formatException(record.exc_info)
        data: dict[str, Any] = self._redact({"message": record.getMessage(), "extra": extra})
        return Correlation(
            correlation_type=CorrelationType.LOG_ENTRY,
            service_type=self._service_type,
            handler_name=record.name,
            action_type="log",
            timestamp=datetime.fromtimestamp(record.created, UTC),
            log_data=LogData(
                log_level=record.levelname,
                log_message=data["message"],
                logger_name=record.name,
                module_name=record.module,
                function_name=record.funcName or "",
                line_number=record.lineno,
                extra_fields=data["extra"],
            ),
        )

    def flush(self) -> None:
        """Store the records that wait.

        Raises:
            StoreError: The store failed; the records still wait.
        """
        self._writer.flush()

    def close(self) -> None:
        """Store the records that wait, and stop."""
        try:
            self._writer.close()
        finally:
            super().close()
