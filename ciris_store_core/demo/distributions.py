"""The machine's installed Python distributions and what each depends on."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from importlib_metadata import distributions

from ciris_store_core.demo.run_plan import DEPENDS_ON, MAY_DEPEND_ON

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_GENERATOR = re.compile(r"^Generator:\s*([\w.-]+)", re.MULTILINE)
_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_BASE_SCHEMES = ("posix_prefix", "nt", "deb_system", "posix_local")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What one distribution consists of."""

    name: str
    version: str
    files: int
    size: int
    """Bytes of the files that are there."""
    compiled: int
    """How many of the files are compiled code."""
    builder: str
    """The tool that built it, or ``unknown``."""


class Dependency(NamedTuple):
    """That one distribution names another in its requirements."""

    source: str
    target: str
    relationship: str


class Installed:
    """An installed distribution."""

    def __init__(self, name: str, distribution: Any) -> None:
        """A distribution of ``importlib_metadata``, whose types vary by version, under its normalized name."""
        self.name = name
        self._distribution = distribution

    @cached_property
    def requirements(self) -> dict[str, str]:
        """The requirement, as written, of each other distribution that it names, by normalized name.

        Of several with one name the shortest stands, which is the least conditional one.
        """
        found: dict[str, str] = {}
        for text in sorted(self._distribution.requires or [], key=len):
            match = _NAME.match(text)
            if match and normal(match[1]) != self.name:
                found.setdefault(normal(match[1]), text)
        return found

    def inspect(self) -> Inspected:
        """Look at every file of it. Files that are listed but gone count, with no size."""
        paths = [Path(str(file.locate())) for file in self._files]
        return Inspected(
            name=self.name,
            version=self._distribution.version or "unknown",
            files=len(paths),
            size=sum(map(_size, paths)),
            compiled=self.compiled,
            builder=self._builder(),
        )

    @property
    def compiled(self) -> int:
        """How many of its files are compiled code."""
        return sum(file.name.endswith(_COMPILED) for file in self._files)

    @cached_property
    def _files(self) -> list[Any]:
        # Read once: the library parses the list anew each time.
        return list(self._distribution.files or [])

    def _builder(self) -> str:
        match = _GENERATOR.search(self._distribution.read_text("WHEEL") or "")
        # What setuptools builds with used to be a project of its own.
        return "unknown" if match is None else match[1].lower().replace("bdist_wheel", "setuptools")


def places() -> tuple[str, ...]:
    """Where to look: the interpreter's own path, then the packages of the one that its environment is based on."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    schemes = [scheme for scheme in _BASE_SCHEMES if scheme in sysconfig.get_scheme_names()]
    folders = [*sys.path, *(sysconfig.get_path("purelib", scheme, base) for scheme in schemes)]
    resolved = (str(Path(folder).resolve()) for folder in folders if folder)
    return tuple(folder for folder in dict.fromkeys(resolved) if Path(folder).is_dir())


def installed(folders: Iterable[str]) -> dict[str, Installed]:
    """The distributions in these folders by normalized name, in order; of several versions the first one found."""
    found: dict[str, Installed] = {}
    for folder in folders:
        for distribution in distributions(path=[folder]):
            name = _name(distribution)
            if name:
                found.setdefault(name, Installed(name, distribution))
    return dict(sorted(found.items()))


def taken_from(folders: Iterable[str]) -> dict[str, int]:
    """How many of the ``installed`` distributions each folder contributes; folders without any are left out."""
    seen: set[str] = set()
    counts: dict[str, int] = {}
    for folder in folders:
        names = {name for name in map(_name, distributions(path=[folder])) if name} - seen
        if names:
            counts[folder] = len(names)
        seen |= names
    return counts


def dependencies(found: Mapping[str, Installed]) -> set[Dependency]:
    """Every requirement of which both ends are installed."""
    return {
        Dependency(name, other, relationship_of(requirement))
        for name, one in found.items()
        for other, requirement in one.requirements.items()
        if other in found
    }


def relationship_of(requirement: str) -> str:
    """What the requirement, as written, makes of the two: what follows a ``;`` is its condition."""
    return MAY_DEPEND_ON if ";" in requirement else DEPENDS_ON


def normal(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(distribution: Any) -> str:
    try:
        return normal(distribution.metadata["Name"] or "")
    except Exception:
        return ""  # What is left of a half-removed distribution raises anything, by the library's version.


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
