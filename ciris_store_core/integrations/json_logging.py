"""A logging formatter that writes one JSON object a line, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from ciris_store_core.secrets.detector import Detector
from ciris_store_core.secrets.patterns import SecretPattern

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was given as ``extra`` when the record was logged."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


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
        fields |= {key: value for key, value in extra_fields(record).items() if key not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(self.redact(fields), ensure_ascii=False)

    def redact(self, value: Any) -> Any:
        """Return the value as JSON without secrets; an object that is no JSON becomes its text."""
        if isinstance(value, dict):
            return {str(key): self._under(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact(item) for item in value]
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
            return value
        return self._text(str(value))

    def _under(self, key: str, value: Any) -> Any:
        pattern = self._detector.key(key) if isinstance(value, str) else None
        return f"[REDACTED:{pattern.name}]" if pattern else self.redact(value)

    def _text(self, text: str) -> str:
        pieces, at = [], 0
        for match in self._detector.find(text):
            pieces += [text[at : match.start], f"[REDACTED:{match.pattern.name}]"]
            at = match.end
        # Lone surrogates have no UTF-8, and databases refuse NUL.
        return "".join([*pieces, text[at:]]).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
