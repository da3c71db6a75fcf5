"""JSON schemas of the records, and OpenAPI documents of applications that serve them."""

# FastAPI looks up the names in annotations, which it cannot where they are texts: no ``from __future__`` import here.

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from ciris_store_core.conformance import factories as make
from ciris_store_core.conformance import samples
from ciris_store_core.models import GraphNode, MemoryOpResult, OpStatus, Task
from ciris_store_core.models.base import Record
from ciris_store_core.persistence import requests

assert requests  # its records are records, too


def _records(base: type[Record]) -> Iterator[type[Record]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("ciris_store_core.") and "[" not in model.__name__:
            yield model
        yield from _records(model)


RECORDS = sorted(set(_records(Record)), key=lambda model: model.__qualname__)
MADE = [
    samples.full_task(), samples.full_thought(), samples.full_correlation(), samples.full_node(), samples.full_edge(),
    make.task(), make.thought(context={"a": 1}), make.occurrence(), make.lease(), make.secret(), make.access(),
    make.entry(), make.anchor(), make.metric("m", 1.5), MemoryOpResult[GraphNode](status="ok", data=make.node()),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("model", RECORDS, ids=lambda model: model.__name__)
def test_every_record_has_a_json_schema(model: type[Record], mode: Any) -> None:
    schema = model.model_json_schema(mode=mode)
    Draft202012Validator.check_schema(schema)
    assert all(any(key in part for key in ("type", "$ref", "anyOf")) for part in _typed(model, schema))


ANYTHING = {"MemoryOpResult": ("data",), "Document": ("value",), "StreamEntry": ("value",)}


def _typed(model: type[Record], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of the fields, but for one that may be anything."""
    return [part for name, part in schema.get("properties", {}).items() if name not in ANYTHING.get(model.__name__, ())]


@pytest.mark.parametrize("record", MADE, ids=lambda record: type(record).__name__)
def test_the_schema_describes_what_is_written(record: Record) -> None:
    schema = type(record).model_json_schema(mode="serialization")
    Draft202012Validator(schema).validate(record.model_dump(mode="json"))
    Draft202012Validator(type(record).model_json_schema()).validate(record.model_dump(mode="json"))
    with_less = {**record.model_dump(mode="json"), "nothing like it": 1}
    assert not Draft202012Validator(schema).is_valid(with_less)


def application() -> FastAPI:
    app = FastAPI()
    for model in RECORDS:

        def echo(record: Any) -> Any:
            return record

        echo.__annotations__ = {"record": model, "return": model}
        app.post(f"/{model.__name__}")(echo)

    @app.get("/remember")
    def remember() -> MemoryOpResult[GraphNode]:
        return MemoryOpResult(status=OpStatus.OK, data=make.node("n"))

    @app.get("/tasks")
    def tasks() -> list[Task]:
        return [make.task()]

    return app


def test_every_record_is_served_as_it_is() -> None:
    async def requests() -> None:
        async with AsyncClient(transport=ASGITransport(application()), base_url="http://test") as client:
            for record in MADE[:-1]:
                given = record.model_dump(mode="json")
                answer = await client.post(f"/{type(record).__name__}", json=given)
                assert (answer.status_code, answer.json()) == (200, given)
                assert TypeAdapter(type(record)).validate_json(answer.content) == record
            assert (await client.post("/Task", json={"task_id": "t", "status": "odd"})).status_code == 422
            remembered = await client.get("/remember")
            assert MemoryOpResult[GraphNode].from_json(remembered.text).data == make.node("n")

    asyncio.run(requests())


def test_every_record_is_served_with_an_openapi_document_that_tools_accept() -> None:
    document = application().openapi()
    validate(document)
    paths = {f"/{model.__name__}" for model in RECORDS} | {"/remember", "/tasks"}
    assert document["paths"].keys() == paths
    answered = document["components"]["schemas"]["MemoryOpResult_GraphNode_"]["properties"]["data"]["anyOf"]
    assert answered[0]["$ref"].startswith("#/components/schemas/GraphNode")
    status = document["components"]["schemas"]["Task"]["properties"]["status"]
    assert status["enum"][:2] == ["pending", "active"]
