"""The machine's installed Python distributions and their dependencies."""

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
    """The content of one distribution."""

    name: str
    version: str
    files: int
    size: int
    """The size of all existing files in bytes."""
    compiled: int
    """The number of compiled files."""
    builder: str
    """The build tool, or ``unknown``."""


class Dependency(NamedTuple):
    """The requirement of one distribution for another."""

    source: str
    target: str
    relationship: str


class Installed:
    """An installed distribution."""

    def __init__(self, name: str, distribution: Any) -> None:
        """Wrap a distribution of ``importlib_metadata``, whose types vary by version, under its normalized name."""
        self.name = name
        self._distribution = distribution

    @cached_property
    def requirements(self) -> dict[str, str]:
        """Return the requirements on other distributions as written, by normalized name.

        Of several requirements on one distribution the shortest is returned, which is the least conditional one.
        """
        found: dict[str, str] = {}
        for text in sorted(self._distribution.requires or [], key=len):
            match = _NAME.match(text)
            if match and normal(match[1]) != self.name:
                found.setdefault(normal(match[1]), text)
        return found

    def inspect(self) -> Inspected:
        """Read all files of the distribution. Listed files that are missing count with size 0."""
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
        """Return the number of compiled files."""
        return sum(file.name.endswith(_COMPILED) for file in self._files)

    @cached_property
    def _files(self) -> list[Any]:
        # Read once: the library parses the list again at each access.
        return list(self._distribution.files or [])

    def _builder(self) -> str:
        match = _GENERATOR.search(self._distribution.read_text("WHEEL") or "")
        # The build backend of setuptools used to be a separate project.
        return "unknown" if match is None else match[1].lower().replace("bdist_wheel", "setuptools")


def places() -> tuple[str, ...]:
    """Return the folders to search: the interpreter's own path, then the packages of its base interpreter."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    schemes = [scheme for scheme in _BASE_SCHEMES if scheme in sysconfig.get_scheme_names()]
    folders = [*sys.path, *(sysconfig.get_path("purelib", scheme, base) for scheme in schemes)]
    resolved = (str(Path(folder).resolve()) for folder in folders if folder)
    return tuple(folder for folder in dict.fromkeys(resolved) if Path(folder).is_dir())


def installed(folders: Iterable[str]) -> dict[str, Installed]:
    """Return the distributions in these folders, sorted by normalized name; the first version found counts."""
    found: dict[str, Installed] = {}
    for folder in folders:
        for distribution in distributions(path=[folder]):
            name = _name(distribution)
            if name:
                found.setdefault(name, Installed(name, distribution))
    return dict(sorted(found.items()))


def taken_from(folders: Iterable[str]) -> dict[str, int]:
    """Return the number of the ``installed`` distributions in each folder; folders without any are left out."""
    seen: set[str] = set()
    counts: dict[str, int] = {}
    for folder in folders:
        names = {name for name in map(_name, distributions(path=[folder])) if name} - seen
        if names:
            counts[folder] = len(names)
        seen |= names
    return counts


def dependencies(found: Mapping[str, Installed]) -> set[Dependency]:
    """Return every requirement between two installed distributions."""
    return {
        Dependency(name, other, relationship_of(requirement))
        for name, one in found.items()
        for other, requirement in one.requirements.items()
        if other in found
    }


def relationship_of(requirement: str) -> str:
    """Return the relationship of a requirement: the text after ``;`` makes it conditional."""
    return MAY_DEPEND_ON if ";" in requirement else DEPENDS_ON


def normal(name: str) -> str:
    """Return the name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(distribution: Any) -> str:
    try:
        return normal(distribution.metadata["Name"] or "")
    except Exception:
        return ""  # A half-removed distribution raises various errors, depending on the library's version.


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
