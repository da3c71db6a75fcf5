"""Writes the files of a new backend: templates with its name in the place of Acme, and stubs of the contract."""

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
"""Distributions and schemes of this project."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 40
_DOC = re.compile(r"^@DOC:(\w+)\.(\w+)@$", re.MULTILINE)
_DOCUMENTED = {"Backend": Backend, "Session": Session}


@dataclass(frozen=True, slots=True)
class Names:
    """What a backend of that name is called in each place."""

    name: str

    def __post_init__(self) -> None:
        """Refuse what cannot be a name, or is taken."""
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST:
            raise InvalidArgument(
                f"a backend's name is lower-case letters, digits and single _ between them, at most {_LONGEST}, "
                f"beginning with a letter, as in acme_db: not {self.name!r}"
            )
        if self.name in TAKEN:
            raise InvalidArgument(f"the name {self.name!r} is taken: choose another")

    @property
    def scheme(self) -> str:
        """Of its URLs; these have no underscores."""
        return self.name.replace("_", "-")

    @property
    def distribution(self) -> str:
        """To ``pip install``; also the name of its folder."""
        return f"ciris-store-{self.scheme}"

    @property
    def package(self) -> str:
        """To import."""
        return f"ciris_store_{self.name}"

    @property
    def prefix(self) -> str:
        """Of its classes, and its name for people."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def fill(self, text: str) -> str:
        """A template's text, with this name in the place of Acme."""
        places = {
            "ciris_store_acme": self.package,
            "new-backend acme": f"new-backend {self.name}",
            "Acme": self.prefix,
            "acme": self.scheme,
        }
        # At once, as the name itself may have "acme" in it.
        return re.sub("|".join(places), lambda match: places[match[0]], text)


def new_backend(name: str, parent: Path, *, sql: bool = False, core_version: str = "0.1") -> Path:
    """Make the folder of a new backend in ``parent`` and return it.

    Args:
        name: Letters, digits and underscores, as in ``acme_db``.
        parent: An existing folder.
        sql: On the SQL toolkit, with SQLite as the stand-in; else without SQL, every method still to be written.
        core_version: The least version of the core that it needs.

    Raises:
        InvalidArgument: The name is not one, or is taken; or there is such a folder already.
    """
    names = Names(name)
    folder = parent / names.distribution
    try:
        folder.mkdir()
    except FileExistsError:
        raise InvalidArgument(f"{folder} exists: remove it, or choose another name") from None
    except OSError as error:
        raise InvalidArgument(f"{folder} cannot be made: {error.strerror}") from error
    for path, text in _files(sql):
        target = folder / names.fill(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(names.fill(text.replace("@CORE@", core_version)), encoding="utf-8")
    return folder


def _files(sql: bool) -> Iterator[tuple[str, str]]:
    """Path and text of each file, still for Acme."""
    templates = resources.files(__package__) / "templates"
    for kind in ("common", "sql" if sql else "plain"):
        for path, file in _walk(templates / kind, ""):
            yield path.removesuffix(SUFFIX), _DOC.sub(_documented, file.read_text(encoding="utf-8"))
    if not sql:
        for aggregate in aggregates():
            yield f"ciris_store_acme/{aggregate}.py", stub_module(aggregate)


def _documented(match: re.Match[str]) -> str:
    return docstring(_DOCUMENTED[match[1]], match[2])


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield path + entry.name, entry
