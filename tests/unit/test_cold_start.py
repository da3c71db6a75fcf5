"""The cost of a fresh process: nothing is built that it does not use."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ciris_store_core import InvalidArgument
from ciris_store_core.models.base import Count, Id, Record, Text

OPENED = """
import sys
from ciris_store_core import open_store
from ciris_store_core.models.base import Record

def records(base):
    for model in base.__subclasses__():
        yield model
        yield from records(model)

with open_store(f"sqlite:///{sys.argv[1]}/cold.db") as store:
    assert len([*records(Record)]) > 30
    print(*sorted(model.__name__ for model in records(Record) if model.__pydantic_complete__))
    store.tasks.get("t")
    store.tasks.count_by_status()
    print(*sorted(model.__name__ for model in records(Record) if model.__pydantic_complete__))
"""


def test_a_process_that_opens_a_store_builds_no_record(tmp_path: Path) -> None:
    """Building the validators of all records is most of the time of a short program."""
    done = subprocess.run([sys.executable, "-c", OPENED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", ""]


def _fresh() -> type[Record]:
    class Inner(Record):
        name: Id

    class Outer(Record):
        id: Id
        inner: Inner
        size: Count = 0
        note: Text | None = None

    assert not Outer.__pydantic_complete__
    return Outer


def test_the_first_use_in_many_threads_at_once_builds_it_whole() -> None:
    for _ in range(20):
        model, barrier, made, errors = _fresh(), threading.Barrier(8), [], []

        def make(model: Any = model, barrier: Any = barrier, made: Any = made, errors: Any = errors) -> None:
            barrier.wait(30)
            try:
                made.append(model(id="a", inner={"name": "n"}).to_json())
                made.append(model.from_json('{"id": "a", "inner": {"name": "n"}}').to_json())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == [] and len(made) == 16 and len(set(made)) == 1


@pytest.mark.parametrize("use", ["make", "assign", "json", "validate", "schema"])
def test_the_first_use_may_be_any(use: str) -> None:
    model: Any = _fresh()
    if use == "make":
        with pytest.raises(InvalidArgument, match="size"):
            model(id="a", inner={"name": "n"}, size=-1)
    elif use == "assign":
        record = model.trusted({"id": "a", "inner": None, "size": 0, "note": None})
        with pytest.raises(InvalidArgument, match="size"):
            record.size = -1
    elif use == "json":
        record = model.trusted({"id": "a", "inner": None, "size": 0, "note": None})
        assert record.to_json() == '{"id":"a","inner":null,"size":0,"note":null}'
    elif use == "validate":
        with pytest.raises(ValidationError):
            model.model_validate({"id": "a"})
    else:
        assert model.model_json_schema()["required"] == ["id", "inner"]
