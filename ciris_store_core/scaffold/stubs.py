"""Stubs of the methods that an author has to write, generated from the contract's sources with their docstrings."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import re
import textwrap
from itertools import groupby
from typing import Any, get_type_hints

from ciris_store_core.contract import Session

WIDTH = 120

HEAD = '''"""{title}: to do."""

from __future__ import annotations

{imports}

from .todo import todo


class Acme{name}({name}):
    """{title}. The docstring of each method lists the clauses that it must keep.{defaults}"""

    def __init__(self, connection: Any) -> None:
        """Use the session's connection."""
        self.connection = connection
'''

DEFAULTS = "The other methods have defaults, which a subclass may override: {names}."


BY_CAPABILITY = frozenset({"documents", "streams"})
"""Aggregates that a backend may leave out, and that a new one does not begin with."""


def aggregates() -> dict[str, type]:
    """Return the contract's abstract store of each aggregate that every backend has, by its name in a session."""
    stores = {name: kind for name, kind in get_type_hints(Session).items() if inspect.isabstract(kind)}
    return {name: kind for name, kind in stores.items() if name not in BY_CAPABILITY}


def stub_module(aggregate: str) -> str:
    """Return the source of a module in which each required method of an aggregate's store raises ``NotSupported``."""
    store = aggregates()[aggregate]
    methods = _required(store)
    head = HEAD.format(
        title=f"The {aggregate} of Acme",
        name=store.__name__,
        imports=_imports(store, methods),
        defaults=_defaults(store),
    )
    return head + "".join(_stub(aggregate, method) for method in methods)


def docstring(store: type, method: str) -> str:
    """Return the docstring of a contract method, quoted and indented for a class body."""
    return _quoted(inspect.getdoc(getattr(store, method)))


def _quoted(doc: str | None) -> str:
    text = doc or ""
    return textwrap.indent(f'"""{text}\n"""' if "\n" in text else f'"""{text}"""', " " * 8)


def _required(store: type) -> list[ast.FunctionDef]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(store)))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node for node in found if getattr(getattr(store, node.name), "__isabstractmethod__", False)]


def _defaults(store: type) -> str:
    names = [
        name
        for name, method in inspect.getmembers(store, inspect.isfunction)
        if not name.startswith("_") and not getattr(method, "__isabstractmethod__", False)
    ]
    if not names:
        return ""
    text = textwrap.fill(DEFAULTS.format(names=", ".join(names)), 116)
    return f"\n\n{textwrap.indent(text, '    ')}\n    "


def _stub(aggregate: str, method: ast.FunctionDef) -> str:
    header = copy.copy(method)
    header.body, header.decorator_list = [ast.Pass()], []
    signature = ast.unparse(header).removesuffix("pass").rstrip()
    lines = textwrap.indent(_folded(signature), " " * 4)
    return f'\n{lines}\n{_quoted(ast.get_docstring(method))}\n        raise todo("{aggregate}.{method.name}")\n'


def _folded(signature: str) -> str:
    """Return a signature as the formatter writes it: on one line, on three, or with one parameter per line."""
    signature = re.sub(r"(: [^,=()]+)=", r"\1 = ", signature)
    if len(signature) + 4 <= WIDTH:
        return signature
    start, _, rest = signature.partition("(")
    parameters, _, end = rest.rpartition(") ->")
    if len(parameters) + 8 > WIDTH:
        parameters = re.sub(r", (?=\*|\w+:)", ",\n    ", parameters) + ","
    return f"{start}(\n    {parameters}\n) ->{end}"


# --- imports ----------------------------------------------------------------------------------


def _imports(store: type, methods: list[ast.FunctionDef]) -> str:
    """Return the import statements that the signatures need."""
    parts: list[Any] = [part for method in methods for part in (method.args, method.returns)]
    needed = {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}
    needed |= {store.__name__, "Any"}
    sources = {**_imported_names(store), store.__name__: "ciris_store_core.contract", "Any": "typing"}
    stores = importlib.import_module("ciris_store_core.contract")
    sources.update(dict.fromkeys(needed & set(stores.__all__), "ciris_store_core.contract"))
    pairs = sorted((sources[name], name) for name in needed if name in sources)
    lines = {module: _import(module, [name for _, name in group]) for module, group in groupby(pairs, lambda p: p[0])}
    standard = [line for module, line in lines.items() if not module.startswith("ciris_store_core")]
    own = [line for module, line in lines.items() if module.startswith("ciris_store_core")]
    return "\n".join(standard) + "\n\n" + "\n".join(own)


def _imported_names(store: type) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(importlib.import_module(store.__module__)))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
