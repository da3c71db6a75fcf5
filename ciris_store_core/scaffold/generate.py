"""Generation of a new backend: templates in which its name replaces Acme, and stubs of the contract's methods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.scaffold.stubs import aggregates, docstring, stub_module

SUFFIX = ".tmpl"
TAKEN = frozenset({"core", "memory", "sqlite", "postgres", "postgresql"})
"""Names of this project's own distributions and schemes."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 40
_DOC = re.compile(r"^@DOC:(\w+)\.(\w+)@$", re.MULTILINE)
_DOCUMENTED = {"Backend": Backend, "Session": Session}


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a backend: its scheme, distribution, package and class prefix."""

    name: str

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` if the name is malformed or reserved."""
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST:
            raise InvalidArgument(
                f"{self.name!r} is no name of a backend. Use at most {_LONGEST} lower-case letters, digits and single "
                "underscores between them, starting with a letter, as in acme_db."
            )
        if self.name in TAKEN:
            raise InvalidArgument(f"the name {self.name!r} is reserved. Choose another.")

    @property
    def scheme(self) -> str:
        """Scheme of its URLs, which have no underscores."""
        return self.name.replace("_", "-")

    @property
    def distribution(self) -> str:
        """Name of the distribution, and of its folder."""
        return f"ciris-store-{self.scheme}"

    @property
    def package(self) -> str:
        """Name of the package to import."""
        return f"ciris_store_{self.name}"

    @property
    def prefix(self) -> str:
        """Prefix of its classes, and its display name."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def fill(self, text: str) -> str:
        """Return the text of a template in which this name replaces Acme."""
        replacements = {
            "ciris_store_acme": self.package,
            "new-backend acme": f"new-backend {self.name}",
            "Acme": self.prefix,
            "acme": self.scheme,
        }
        # In one pass, since the name itself may contain "acme".
        return re.sub("|".join(replacements), lambda match: replacements[match[0]], text)


def new_backend(name: str, parent: Path, *, sql: bool = False, core_version: str = "0.1") -> Path:
    """Create the folder of a new backend in ``parent``, and return its path.

    Args:
        name: Letters, digits and underscores, as in ``acme_db``.
        parent: An existing folder.
        sql: Build on the SQL toolkit, with SQLite as the stand-in. Otherwise write stubs of every required method.
        core_version: The oldest version of the core that the backend supports.

    Raises:
        InvalidArgument: The name is malformed or reserved, or the folder exists or cannot be created.
    """
    names = Names(name)
    folder = parent / names.distribution
    try:
        folder.mkdir()
    except FileExistsError:
        raise InvalidArgument(f"{folder} exists. Remove it, or choose another name.") from None
    except OSError as error:
        raise InvalidArgument(f"{folder} cannot be created: {error.strerror}. Choose another parent folder.") from error
    for path, text in _files(sql):
        target = folder / names.fill(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(names.fill(text.replace("@CORE@", core_version)), encoding="utf-8")
    return folder


def _files(sql: bool) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file, still for Acme."""
    templates = resources.files(__package__) / "templates"
    for kind in ("common", "sql" if sql else "plain"):
        for path, file in _walk(templates / kind, ""):
            text = file.read_text(encoding="utf-8")
            yield path.removesuffix(SUFFIX), _DOC.sub(lambda match: docstring(_DOCUMENTED[match[1]], match[2]), text)
    if not sql:
        for aggregate in aggregates():
            yield f"ciris_store_acme/{aggregate}.py", stub_module(aggregate)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield path + entry.name, entry
