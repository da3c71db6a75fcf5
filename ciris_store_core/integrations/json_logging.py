"""A logging formatter that writes one JSON object a line, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ciris_store_core.secrets.detector import Detector
from ciris_store_core.secrets.patterns import SecretPattern

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A formatter of log records as JSON: timestamp, level, logger, message, ``extra`` fields, and the traceback.

    Every match of the store's secret detector becomes ``[REDACTED:kind]``, in every text and under every key::

        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        logging.getLogger("ciris_store_core").addHandler(handler)
    """

    def __init__(self, patterns: Iterable[SecretPattern] = ()) -> None:
        """Detect the secrets of the built-in patterns and of ``patterns``."""
        super().__init__()
        self._detector = Detector(patterns)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(self._clean(fields), ensure_ascii=False, default=lambda value: self._text(str(value)))

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): self._under(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _under(self, key: str, value: Any) -> Any:
        pattern = self._detector.key(key) if isinstance(value, str) else None
        return f"[REDACTED:{pattern.name}]" if pattern else self._clean(value)

    def _text(self, text: str) -> str:
        pieces, at = [], 0
        for match in self._detector.find(text):
            pieces += [text[at : match.start], f"[REDACTED:{match.pattern.name}]"]
            at = match.end
        return "".join([*pieces, text[at:]])
