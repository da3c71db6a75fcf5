"""Advice in error texts: a parameter that a text tells the caller to pass belongs to the function that it names."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pydantic
import pytest

import ciris_store_core
from ciris_store_core import RetryPolicy, open_store
from ciris_store_core.secrets import SecretsConfig

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [ROOT / "ciris_store_core", *ROOT.glob("backends/*/ciris_*"), *ROOT.glob("contrib/*/ciris_*")]

#: ``name(..., parameter=`` in a text, unless the name is put together (``…``).
CALLED = re.compile(r"(?<![…\w.])([A-Za-z_][A-Za-z_.]*)\(([^()]*?)\b([a-z_]+)=")
#: A bare ``parameter=``, and where it belongs.
OF_THE_READER = {
    "create": "an option of URLs",
    "on_corrupt": "of every scan, which alone reads all pages",
    "write": "of Backend.session, for authors of backends",
    "host": "connection keywords of PostgreSQL",
    "port": "an option of URLs",
    "dbname": "connection keywords of PostgreSQL",
    "name": "what an option looks like",
    "resolution": "of every query of series",
    "text_errors": "of open_store",
    "secrets": "of open_store, and an option of the import",
    "shared": "of Store.transaction",
    "insert": "of documents.put",
    "lifespan": "of FastAPI",
    "overwrite": "of export_store and backup_store",
    "into_existing": "of copy_store and import_store",
}
# SQL and regular expressions.
NO_PROSE = re.compile(r"\b(SELECT|UPDATE|INSERT|DELETE)\b|\(\?")


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of errors: what is given to a call of a class whose name begins with a capital, f-strings joined."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def advice() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).parts
            if parts[0] not in ("conformance", "cli", "demo", "scaffold"):
                for line, text in texts(file):
                    if (
                        re.search(r": .*\b[a-z_]+=|, or .*\b[a-z_]+=", text)
                        and not NO_PROSE.search(text)
                        and "\n" not in text
                    ):
                        yield f"{file.relative_to(ROOT)}:{line}", text


def function(name: str) -> Any:
    known = {"open_store": open_store, "RetryPolicy": RetryPolicy, "SecretsConfig": SecretsConfig}
    known |= {"value.replace": partial(lambda tzinfo: None)}  # of datetime, which has no signature
    known |= {".model_dump": pydantic.BaseModel.model_dump, "model_dump": pydantic.BaseModel.model_dump}
    if name in known:
        return known[name]
    with open_store("memory://") as store:
        found: Any = store
        for part in name.removeprefix("store.").removeprefix("tx.").split("."):
            found = getattr(found, part, None) or getattr(ciris_store_core, part)
        return found


def accepts(called: Any, parameter: str) -> bool:
    return parameter in inspect.signature(called).parameters


def test_a_parameter_in_an_advice_belongs_to_the_function_that_it_names() -> None:
    found = list(advice())
    assert len(found) >= 8
    for place, text in found:
        for name, _, parameter in CALLED.findall(text):
            assert accepts(function(name.lstrip(".")), parameter), f"{place}: {name} has no {parameter}"
        rest = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", text))
        for parameter in re.findall(r"\b([a-z_]+)=", rest):
            assert parameter in OF_THE_READER, f"{place}: say whose parameter {parameter}= is: {text}"


def test_a_wrong_advice_is_noticed() -> None:
    [(name, _, parameter)] = CALLED.findall("call leases.acquire(..., exist_ok=True)")
    assert not accepts(function(name), parameter)
    assert accepts(function("tasks.add"), "exist_ok")


@pytest.mark.parametrize("part", ["graph", "correlations", "tasks", "thoughts"])
def test_a_scan_that_advises_it_can_go_on_past_a_corrupt_row(part: str) -> None:
    with open_store("memory://") as store:
        assert accepts(getattr(store, part).scan, "on_corrupt")


def test_a_scan_that_cannot_go_on_does_not_advise_it() -> None:
    advised = [file for file in (ROOT / "ciris_store_core").rglob("*.py") if "pass on_corrupt=" in file.read_text()]
    assert [file.name for file in advised] == ["resource.py"]
    assert not [file for file in advised[0].parent.rglob("*.py") if re.search(r"all_pages\(.*, None", file.read_text())]


@pytest.mark.parametrize("kind", ["tasks", "thoughts", "correlations"])
def test_what_may_be_added_again_takes_exist_ok(kind: str) -> None:
    with open_store("memory://") as store:
        assert accepts(getattr(store, kind).add, "exist_ok") and accepts(getattr(store, kind).add_many, "exist_ok")
