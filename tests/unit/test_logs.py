from __future__ import annotations

import json
import logging
import sys
from typing import Any

from ciris_store_core.integrations.json_logging import JsonFormatter


def told(message: str, *args: Any, exc_info: Any = None, **extra: Any) -> dict[str, Any]:
    record = logging.getLogger("t").makeRecord("t", logging.WARNING, "f", 1, message, args, exc_info, extra=extra)
    line = JsonFormatter().format(record)
    assert "\n" not in line and "hunter2" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_record_is_a_line_of_json() -> None:
    found = told("%d rows of\n%s", 3, "é", rows=3, parts=["a", None])
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "t", "3 rows of\né")
    assert (found["rows"], found["parts"]) == (3, ["a", None]) and found["timestamp"].endswith("+00:00")


def test_secrets_are_taken_out() -> None:
    found = told(
        "cannot reach %s", "postgresql://me:hunter2hunter2@db/x", api_key="hunter2hunter2hunter2",
        config={"password": "hunter2hunter2", "host": "db"},
    )  # fmt: skip
    assert "[REDACTED:" in found["message"] and found["config"]["host"] == "db"
    assert found["api_key"].startswith("[REDACTED:") and found["config"]["password"].startswith("[REDACTED:")


def test_an_exception_is_told_without_its_secrets() -> None:
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        found = told("failed", exc_info=sys.exc_info(), value=object)
    assert "ValueError" in found["exception"] and "object" in found["value"]
