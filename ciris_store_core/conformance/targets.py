"""Targets of a test run: each gives every test an empty store, derived from the one URL of the caller.

- In-memory database: each test gets a database of another name.
- File or folder: each test gets a file in a new folder beside the URL's path. All are removed at the end.
- URL with ``{n}``: each test gets the URL with another number instead. The stores are left behind, unless they are
  schemas that can be dropped.
- Any other URL, as a rule of a server: all tests use the one store, which is emptied before each. Tests of the first
  start use further schemas of the database, if the backend has the URL option ``schema``.

A URL whose store contains records is refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Self

from ciris_store_core.clock import SystemClock
from ciris_store_core.conformance.harness import Harness, UrlHarness, url_text
from ciris_store_core.conformance.wiping import drop_schema, wipe
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext, BackendSpec
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import IncompatibleSchema, InvalidArgument, InvalidURL, MigrationRequired, StoreError
from ciris_store_core.url import StoreURL, resolve_url

NUMBER = "{n}"


class CannotEmpty(Exception):
    """Raised if a store cannot be emptied for the next test."""


class Target(ABC):
    """Factory of harnesses, each over an empty store. A context manager that cleans up at its end."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """Look up the backend that serves the URL, in the registry if one is given."""
        self.url = url
        self.registry = registry
        self.spec: BackendSpec = (registry or Registry()).spec_for(url.scheme)

    @abstractmethod
    def harness(self) -> Harness:
        """Return the harness for one test."""

    def clean_up(self) -> None:  # noqa: B027 - optional
        """Remove the stores that were created."""

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clean up."""
        self.clean_up()

    def backend(self, url: StoreURL) -> Backend:
        """Return the backend of a URL, unprepared."""
        return self.spec.factory(url, BackendContext(SystemClock()))


def target_for(url: str | None, registry: Registry | None = None) -> Target:
    """Return the target for the URL of a store that is empty or does not exist.

    Raises:
        InvalidArgument: The store contains records.
        StoreError: The store cannot be opened.
    """
    if url is not None and NUMBER in url:
        return NumberedTarget(url, registry)
    parsed = resolve_url(url)
    if parsed.scheme == "memory":
        return MemoryTarget(parsed, registry)
    if not parsed.hosts and parsed.username is None and parsed.database not in ("", ":memory:"):
        return FolderTarget(parsed, registry)
    return SingleTarget(parsed, registry)


class MemoryTarget(Target):
    """Target of in-memory databases of this process, by name."""

    _numbers = count()

    def harness(self) -> Harness:
        """Return a harness over a database of another name."""
        number = next(self._numbers)
        return UrlHarness(
            f"memory://conformance-{number}",
            blank_url=f"memory://conformance-blank-{number}",
            registry=self.registry,
            spec=self.spec,
        )


class FolderTarget(Target):
    """Target of files in a folder beside the URL's path, so that the tests use the same disk."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """Refuse a file that contains records, and create the folder."""
        super().__init__(url, registry)
        path = Path(url.database)
        self._refuse_records(path)
        if url.is_default:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Absolute, or the harness could not tell its file from one that happens to have the name of a database.
            self._folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-conformance-", dir=path.parent)).resolve()
        except OSError as error:
            raise InvalidURL(f"no folder can be made beside {path}: {error.strerror}. Choose another path.") from error
        self._numbers = count()
        self._prepared: Path | None = None

    def _refuse_records(self, path: Path) -> None:
        if not path.exists() or (path.is_file() and path.stat().st_size == 0):
            return
        with closing(self.backend(self.url)) as backend:
            try:
                backend.prepare(migrate=False)
            except MigrationRequired as error:
                raise _has_records(self.url) from error
            if not backend.is_empty():
                raise _has_records(self.url)

    def harness(self) -> Harness:
        """Return a harness over a file in a folder of its own, which also holds the database's further files."""
        if self._prepared is None:
            self._prepared = self._prepare()
        folder = self._folder / str(next(self._numbers))
        shutil.copytree(self._prepared, folder)
        return _FolderHarness(self, url_text(self._url(folder, "store")), url_text(self._url(folder, "blank")), folder)

    def _prepare(self) -> Path:
        """Return a folder with an empty store, or without one if it cannot be prepared: that is for a test to tell."""
        # Migrations take most of the time of a test, and the tests of the first start run them on the blank store.
        folder = self._folder / "prepared"
        folder.mkdir()
        try:
            with closing(self.backend(self._url(folder, "store"))) as backend:
                backend.prepare(migrate=True)
        except Exception:
            shutil.rmtree(folder)
            folder.mkdir()
        return folder

    def _url(self, folder: Path, name: str) -> StoreURL:
        return replace(self.url, database=str(folder / name), is_default=False)

    def clean_up(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _FolderHarness(UrlHarness):
    def __init__(self, target: Target, url: str, blank_url: str, folder: Path) -> None:
        super().__init__(url, blank_url=blank_url, registry=target.registry, spec=target.spec)
        self._folder = folder

    def cleanup(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class NumberedTarget(Target):
    """Target of numbered stores, another for each test."""

    def __init__(self, url: str, registry: Registry | None) -> None:
        super().__init__(resolve_url(self._fill(url, 0)), registry)
        self._text = url
        self._used: list[StoreURL] = []

    @staticmethod
    def _fill(url: str, number: int) -> str:
        return url.replace(NUMBER, str(number))

    def harness(self) -> Harness:
        """Return a harness over the stores of the next two numbers."""
        number = len(self._used)
        store, blank = (self._fill(self._text, each) for each in (number, number + 1))
        self._used += map(resolve_url, (store, blank))
        return UrlHarness(store, blank_url=blank, registry=self.registry, spec=self.spec)

    def clean_up(self) -> None:
        """Drop the stores that are schemas."""
        for url in self._used:
            _drop(self, url)


class SingleTarget(Target):
    """Target of the URL's one store, emptied before each test."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """Refuse a store that contains records."""
        super().__init__(url, registry)
        self._blanks: list[StoreURL] = []
        self._keeper: Backend | None = None
        self._refuse_records()
        self._has_schemas = self._accepts(self._sibling(0))

    def _refuse_records(self) -> None:
        with closing(self.backend(self.url)) as backend:
            try:
                backend.prepare(migrate=False)
            except IncompatibleSchema:
                raise
            except MigrationRequired:
                return  # usually no schema exists yet; an older store with records is refused when it is opened
            if not backend.is_empty():
                raise _has_records(self.url)

    def harness(self) -> Harness:
        """Return a harness over the store, emptied.

        Raises:
            CannotEmpty: The store contains records that cannot be deleted.
        """
        self._empty()
        blank = self._sibling(len(self._blanks)) if self._has_schemas else None
        if blank is not None:
            self._blanks.append(blank)
        return _SingleHarness(self, blank)

    def clean_up(self) -> None:
        """Empty the store."""
        with suppress(StoreError, CannotEmpty):
            self._empty()
        self._close_keeper()

    def drop_blank(self, url: StoreURL) -> None:
        """Remove the schema of a test, if the test created one."""
        _drop(self, url)

    def _empty(self) -> None:
        try:
            emptied = wipe(self._keep())
        except StoreError as error:
            self._close_keeper()
            raise CannotEmpty(f"the store could not be emptied after the previous test: {error}") from error
        if not emptied:
            raise CannotEmpty(
                "an earlier test left leases, audit entries or entries of the access log, which the contract cannot "
                f"delete. Put {NUMBER} in the URL, so that each test gets a store of its own, or write a harness."
            )

    def _keep(self) -> Backend:
        if self._keeper is None:
            backend = self.backend(self.url)
            backend.prepare(migrate=True)
            self._keeper = backend
        return self._keeper

    def _close_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
        self._keeper = None

    def _sibling(self, number: int) -> StoreURL:
        schema = f"{self.url.options.get('schema', 'ciris')}_conformance_{os.getpid()}_{number}"
        return replace(self.url, options={**self.url.options, "schema": schema})

    def _accepts(self, url: StoreURL) -> bool:
        try:
            self.backend(url).close()
        except InvalidURL:
            return False
        return True


class _SingleHarness(UrlHarness):
    def __init__(self, target: SingleTarget, blank: StoreURL | None) -> None:
        blank_url = None if blank is None else url_text(blank)
        super().__init__(url_text(target.url), blank_url=blank_url, registry=target.registry, spec=target.spec)
        self._target = target
        self._blank = blank

    def cleanup(self) -> None:
        if self._blank is not None and self.blank_used:
            self._target.drop_blank(self._blank)


def _drop(target: Target, url: StoreURL) -> None:
    # A schema that cannot be dropped is left behind, since that says nothing about the backend.
    with suppress(StoreError), closing(target.backend(url)) as backend:
        backend.prepare(migrate=False)
        drop_schema(backend, url.options.get("schema", ""))


def _has_records(url: StoreURL) -> InvalidArgument:
    return InvalidArgument(f"{url} contains records. Give the suite an empty store, or a schema of its own.")
