from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ciris_store_core import Store, open_store
from ciris_store_core.integrations.log_handler import StoreHandler
from ciris_store_core.models import Correlation


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("the_program.part")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    yield made
    made.handlers.clear()


def logged(store: Store) -> list[Correlation]:
    return store.correlations.find(type="log_entry").items


def test_records_become_log_entries(store: Store, logger: logging.Logger) -> None:
    handler = StoreHandler(store, "INFO", service_type="the_program")
    logger.addHandler(handler)
    logger.debug("below the level")
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        logger.exception("%d rows", 3, extra={"rows": 3, "api_key": "hunter2hunter2hunter2", "value": float("nan")})
    handler.flush()
    [entry] = logged(store)
    data = entry.log_data
    assert data is not None
    assert (entry.service_type, entry.handler_name, entry.action_type) == ("the_program", "the_program.part", "log")
    assert (data.log_level, data.log_message, data.module_name) == ("ERROR", "3 rows", "test_log_handler")
    assert data.function_name == "test_records_become_log_entries" and data.line_number > 0
    assert (data.extra_fields["rows"], data.extra_fields["value"]) == (3, "nan")
    assert "ValueError" in data.extra_fields["exception"] and "hunter2" not in repr(entry)
    handler.close()


@pytest.mark.parametrize(
    "message", ["a\0b", "\ud800", "x" * 100_000, "password=hunter2hunter2"], ids=["nul", "surrogate", "long", "secret"]
)
def test_any_message_is_stored(store: Store, message: str) -> None:
    handler = StoreHandler(store)
    # Not by a logger: what pytest captures of it must be UTF-8.
    handler.handle(logging.makeLogRecord({"name": "the_program", "msg": message}))
    handler.close()
    assert len(logged(store)) == 1


def test_the_own_log_of_the_store_is_not_taken(store: Store) -> None:
    handler = StoreHandler(store)
    own, other = (logging.makeLogRecord({"name": name, "msg": "m"}) for name in ("ciris_store_core.x", "ciris_store"))
    handler.handle(own)
    handler.handle(other)
    handler.close()
    assert [entry.handler_name for entry in logged(store)] == ["ciris_store"]


def test_what_cannot_be_stored_never_reaches_the_program(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(StoreHandler, "handleError", lambda self, record: told.append(record))
    with open_store("memory://") as store:
        handler = StoreHandler(store)
        handler.close()
    logger.addHandler(handler)
    logger.info("after the end")
    assert [record.getMessage() for record in told] == ["after the end"]
