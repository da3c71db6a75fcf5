"""The type stub of the async API, generated from the synchronous classes.

``make stubs`` writes it anew.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, get_origin

from ciris_store_core import aio
from ciris_store_core.aio import facade
from ciris_store_core.aio.services import ServiceFacade
from ciris_store_core.fleet import Fleet
from ciris_store_core.opening import open_store
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking

STUB = Path(str(aio.__file__)).with_suffix(".pyi")

HEAD = '''"""{doc}"""

# Made by ``make stubs``: change the classes that it is made from, and make it again.

import builtins
from collections.abc import AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, overload
{imports}

class Opening:
    """A store that is to be opened: ``await`` it, or use it in ``async with``, which closes it too."""

    def __await__(self) -> Generator[Any, None, AsyncStore]: ...
    async def __aenter__(self) -> AsyncStore: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

{opening}'''

STORE = '''
    def __init__(self, store: Store, *, workers: int | None = None) -> None: ...
    @property
    def sync(self) -> Store:
        """The store beneath, for code that runs in threads."""
'''

FLEET = """
    def __init__(self, fleet: Fleet, *, workers: int = 10) -> None: ..."""

OPEN_FLEET = """
def open_fleet_async(
    url: str | os.PathLike[str] | None = None, *, workers: int = 10, **options: Any
) -> AsyncFleet:
{doc}
"""

# Either kind of function; the async one first, as a coroutine is also a result.
RUN = """
    @overload
    async def run(
        self, fn: Callable[Concatenate[AsyncTransaction, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
{doc}
    @overload
    async def run(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T: ...
"""

ENTERED = """
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
"""


class Stub:
    """The stub while it is being made."""

    def __init__(self) -> None:
        self.imports: dict[str, str] = {"Store": Store.__module__, "Fleet": Fleet.__module__}
        """Where the names come from that the signatures use, by what they are called here."""
        self.queue: deque[type] = deque([Store, Fleet])
        self.seen: set[type] = set()
        self.bound: dict[str, type] = {}
        """Return the values of the type variables of the current class's bases."""

    def text(self) -> str:
        opening = self._open_store()
        services = [
            value.kind for value in vars(aio).values() if inspect.isclass(value) and issubclass(value, ServiceFacade)
        ]
        self.queue.extend(services)
        classes = "".join(self._class(kind, kind in services) for kind in self._kinds())
        head = HEAD.format(doc=aio.__doc__, imports=self._import_lines(), opening=opening)
        return head + classes + OPEN_FLEET.format(doc=_docstring(inspect.getdoc(aio.open_fleet_async), 4))

    def _kinds(self) -> Iterator[type]:
        while self.queue:
            kind = self.queue.popleft()
            if kind not in self.seen:
                self.seen.add(kind)
                yield kind

    def _import_lines(self) -> str:
        return "\n".join(sorted(_import(name, home) for name, home in self.imports.items())) + "\n"

    # --- classes --------------------------------------------------------------------------------

    def _class(self, kind: type, is_service: bool) -> str:
        lines = [f"\nclass {facade.async_name(kind)}:", _docstring(_class_doc(kind), 4)]
        if kind is Store:
            lines.append(STORE.rstrip())
        if kind is Fleet:
            lines.append(FLEET)
        if is_service:
            lines.append(self._service_init(kind))
        if hasattr(kind, "__enter__"):
            lines.append(ENTERED.rstrip())
        lines += [self._attribute(name, kind) for name in inspect.get_annotations(kind) if not name.startswith("_")]
        self.bound = _bound(kind)
        lines += [self._member(name, member) for name, member in facade.public_members(kind).items()]
        return "\n".join(lines) + "\n"

    def _attribute(self, name: str, kind: type) -> str:
        module = sys.modules[kind.__module__]
        annotation = ast.parse(inspect.get_annotations(kind)[name], mode="eval").body
        return f"    @property\n    def {name}(self) -> {ast.unparse(self._returned(annotation, module))}: ..."

    def _member(self, name: str, member: Any) -> str:
        if member is Store.run:
            self._function(name, member, "call")  # for the names that it imports
            self.imports["Coroutine"] = "collections.abc"
            return RUN.format(doc=_docstring(inspect.getdoc(aio.AsyncStore.run), 8)).strip("\n")
        if facade.is_property(member):
            function = member.func if isinstance(member, cached_property) else member.fget
            return self._function(name, function, "property")
        if member is Fleet.store:  # it opens the store
            return self._function(name, member, "call")
        for kind in ("context_manager", "scan", "maker"):
            if getattr(facade, f"is_{kind}")(member):
                return self._function(name, member, kind)
        return self._function(name, member, "call")

    def _function(self, name: str, function: Any, kind: str) -> str:
        module = sys.modules[function.__module__]
        node = _definition(function)
        assert node.returns is not None, f"{function.__qualname__} does not say what it returns"
        self._arguments(node.args, module)
        if function is inspect.unwrap(
            Store.transaction
        ):  # The async one has a thread of its own, which it does not share.
            node.args.kwonlyargs, node.args.kw_defaults = [], []
        returns = ast.unparse(self._returned(node.returns, module))
        if kind == "scan":
            returns = "Async" + returns
        elif kind == "context_manager":
            returns = f"AbstractAsyncContextManager[{returns.removeprefix('Iterator[')[:-1]}, None]"
        head = "async def" if kind == "call" else "def"
        decorator = "    @property\n" if kind == "property" else ""
        signature = f"    {head} {name}({ast.unparse(node.args)}) -> {returns}:"
        own = vars(aio.AsyncStore).get(name) if function.__qualname__.startswith("Store.") else None
        doc = inspect.getdoc(own) if own is not None else ast.get_docstring(node)
        return f"{decorator}{signature}\n{_docstring(doc, 8)}"

    def _service_init(self, kind: type) -> str:
        node = _definition(vars(kind)["__init__"])
        self._arguments(node.args, sys.modules[kind.__module__])
        node.args.args[1].annotation = ast.parse("AsyncStore | AsyncTransaction | Store", mode="eval").body
        return f"    def __init__({ast.unparse(node.args)}) -> None:\n{_docstring(ast.get_docstring(node), 8)}"

    def _open_store(self) -> str:
        node = _definition(open_store)
        self._arguments(node.args, sys.modules[open_store.__module__])
        node.args.kwonlyargs.insert(0, ast.arg("workers", ast.parse("int | None", mode="eval").body))
        node.args.kw_defaults.insert(0, ast.Constant(None))
        doc = _docstring(_opening_doc(), 4)
        return f"\ndef open_store_async({ast.unparse(node.args)}) -> Opening:\n{doc}\n"

    # --- types ----------------------------------------------------------------------------------

    def _arguments(self, args: ast.arguments, module: ModuleType) -> None:
        for each in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
            if each is not None and each.annotation is not None:
                self._import_names(each.annotation, module)
        args.defaults = [_plain(value) for value in args.defaults]
        args.kw_defaults = [value and _plain(value) for value in args.kw_defaults]

    def _returned(self, annotation: ast.expr, module: ModuleType) -> ast.expr:
        """The annotation of a result, with classes replaced by their counterparts."""
        replaced = _Twins(self, module).visit(annotation)
        self._import_names(replaced, module)
        return replaced

    def _import_names(self, annotation: ast.expr, module: ModuleType) -> None:
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id) and hasattr(module, node.id):
                home = _home(module, node.id)
                if self.imports.setdefault(node.id, home) != home:  # Another module means something else by it.
                    node.id = f"{home.rpartition('.')[2]}__{node.id}"
                    self.imports[node.id] = home


class _Twins(ast.NodeTransformer):
    def __init__(self, stub: Stub, module: ModuleType) -> None:
        self._stub = stub
        self._module = module

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = getattr(self._module, node.id, None)
        if isinstance(value, TypeVar) and node.id in self._stub.bound:
            chosen = self._stub.bound[node.id]
            self._stub.imports[chosen.__name__] = chosen.__module__
            return ast.Name(chosen.__name__)
        if isinstance(value, type) and issubclass(value, Blocking):
            self._stub.queue.append(value)
            return ast.Name(facade.async_name(value))
        if get_origin(value) is list:
            # The name stands for a list, as ``list`` is a method of the class that it is used in.
            inner = self.visit(ast.Name(get_args(value)[0].__name__))
            return ast.parse(f"builtins.list[{ast.unparse(inner)}]", mode="eval").body
        return node


def _bound(kind: type) -> dict[str, type]:
    """The classes that a class gives for the type variables of its bases, by their names."""
    found = {}
    for base in getattr(kind, "__orig_bases__", ()):
        parameters = getattr(get_origin(base), "__parameters__", ())
        found.update({each.__name__: chosen for each, chosen in zip(parameters, get_args(base), strict=False)})
    return {name: chosen for name, chosen in found.items() if isinstance(chosen, type)}


def _import(name: str, home: str) -> str:
    original = name.rpartition("__")[2]
    called = "" if original == name else f" as {name}"
    return f"from {home} import {original}{called}" if home else f"import {name}"


def _definition(function: Any) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _plain(default: ast.expr) -> ast.expr:
    """A default that needs no import."""
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def _class_doc(kind: type) -> str | None:
    return inspect.getdoc({Store: aio.AsyncStore, Fleet: aio.AsyncFleet}.get(kind, kind))


def _opening_doc() -> str:
    """That of ``open_store``, with the first line and the argument that are the async one's own."""
    first, *own = (inspect.getdoc(aio.open_store_async) or "").splitlines()
    workers = next(line for line in own if line.strip().startswith("workers:"))
    _, *rest = (inspect.getdoc(open_store) or "").splitlines()
    place = next(i for i, line in enumerate(rest) if line.strip().startswith("occurrence_id:"))
    return "\n".join([first, *rest[:place], workers, *rest[place:]])


def _docstring(text: str | None, indent: int) -> str:
    quoted = f'"""{text}\n"""' if "\n" in (text or "") else f'"""{text}"""'
    return textwrap.indent(quoted, " " * indent)


def _home(module: ModuleType, name: str) -> str:
    """The module that defines a name of this one, as far as that can be told; empty where the name is a module."""
    value = getattr(module, name)
    if isinstance(value, ModuleType):
        return ""
    if isinstance(value, type) and getattr(sys.modules[value.__module__], name, None) is value:
        return value.__module__
    return _imported(module).get(name, module.__name__)


@cache
def _imported(module: ModuleType) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            base = module.__name__.rsplit(".", node.level)[0] if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            found.update((alias.asname or alias.name, source) for alias in node.names)
    return found


def made() -> str:
    """The stub as it should be, formatted."""
    text = Stub().text()
    for step in (["check", "--select", "I,F401", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *step, "--quiet", "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.PIPE).stdout
    return text


if __name__ == "__main__":
    STUB.write_text(made())
    print(f"wrote {STUB}")
