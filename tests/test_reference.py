"""Every public name has an entry in the reference."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PUBLIC = [
    "ciris_store_core",
    "ciris_store_core.aio",
    "ciris_store_core.capabilities",
    "ciris_store_core.clock",
    "ciris_store_core.contract",
    "ciris_store_core.contract.hookspecs",
    "ciris_store_core.errors",
    "ciris_store_core.importer",
    "ciris_store_core.integrations.fastapi",
    "ciris_store_core.integrations.genai",
    "ciris_store_core.integrations.json_logging",
    "ciris_store_core.integrations.opentelemetry",
    "ciris_store_core.models",
    "ciris_store_core.secrets",
    "ciris_store_core.services",
    "ciris_store_core.signing",
    "ciris_store_core.sql",
    "ciris_store_core.store",
    "ciris_store_core.transfer",
]


def entries() -> set[str]:
    """Return the targets of all pages: modules, which show each name that they define, and single names."""
    return {
        target
        for page in REFERENCE.glob("*.md")
        for target in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)
    }


def public_names(module: ModuleType) -> list[str]:
    """Return the names in ``__all__``, or else the functions and classes that a module defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if name != "__version__"]
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in defined if not name.startswith("_")]


def has_entry(module: ModuleType, name: str, targets: set[str]) -> bool:
    """Return True if a page shows a name, under this module or the one that defines it."""
    value = getattr(module, name)
    homes = {module.__name__, getattr(value, "__module__", None) or module.__name__}
    if not (inspect.isclass(value) or inspect.isfunction(value)):  # a constant does not say where it is defined
        homes |= {target for target in targets if defines(target, name)}
    return any(home in targets or f"{home}.{name}" in targets for home in homes) or any(
        target.endswith(f".{name}") and defines(target.rpartition(".")[0], name) for target in targets
    )


def defines(module: str, name: str) -> bool:
    """Return True if the source of a module assigns a name at its top level."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.exists() and re.search(rf"^{name}\b.*=", file.read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_entry(name: str) -> None:
    module, targets = importlib.import_module(name), entries()
    assert public_names(module)
    missing = [each for each in public_names(module) if not has_entry(module, each, targets)]
    assert missing == []


def test_every_entry_names_something() -> None:
    for target in entries():
        parent, _, name = target.rpartition(".")
        if importlib.util.find_spec(parent) is not None and hasattr(importlib.import_module(parent), name):
            continue
        importlib.import_module(target)


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [page.name for page in REFERENCE.glob("*.md") if f"(docs/reference/{page.name})" not in readme]
    assert missing == []


def test_a_missing_name_is_found() -> None:
    module = importlib.import_module("ciris_store_core.aio")
    assert not has_entry(
        module, "AsyncStore", entries() - {"ciris_store_core.aio.store", "ciris_store_core.aio.store.AsyncStore"}
    )
