"""Where the tests of a run take place: an empty store for each, made from the one URL that the caller gives.

- A database in memory: one of another name for each test.
- A file or folder: one in a new folder beside it for each test; all are removed at the end.
- A URL with ``{n}`` in it: the URL with a number in its place, for each test another; they are left behind, unless
  they are schemas that can be dropped.
- Anything else, a server as a rule: the one store, emptied before each test. The tests of a first start take place
  in schemas beside it (option ``schema`` of the URL), where the backend has that option.

The store that the URL names is refused if there are records in it.
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
    """A store cannot be emptied for the next test."""


class Place(ABC):
    """Gives each test a harness over an empty store. A context manager: at its end it is cleaned up."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """For the backend that serves the URL; where a registry is given, it is looked up there."""
        self.url = url
        self.registry = registry
        self.spec: BackendSpec = (registry or Registry()).spec_for(url.scheme)

    @abstractmethod
    def harness(self) -> Harness:
        """The harness for one test."""

    def clean_up(self) -> None:  # noqa: B027 - optional
        """Remove what was made."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clean up."""
        self.clean_up()

    def backend(self, url: StoreURL) -> Backend:
        """The backend of a URL, not prepared."""
        return self.spec.factory(url, BackendContext(SystemClock()))


def place_for(url: str | None, registry: Registry | None = None) -> Place:
    """The place for a URL, which stands for a store that is empty or not there yet.

    Raises:
        InvalidArgument: There are records in it.
        StoreError: It cannot be opened.
    """
    if url is not None and NUMBER in url:
        return NumberedPlace(url, registry)
    parsed = resolve_url(url)
    if parsed.scheme == "memory":
        return MemoryPlace(parsed, registry)
    if _is_path(parsed):
        return FolderPlace(parsed, registry)
    return SinglePlace(parsed, registry)


def _is_path(url: StoreURL) -> bool:
    return not url.hosts and url.username is None and url.database not in ("", ":memory:")


class MemoryPlace(Place):
    """The process's own databases in memory, by name."""

    _numbers = count()

    def harness(self) -> Harness:
        """A database of another name."""
        number = next(self._numbers)
        return UrlHarness(
            f"memory://conformance-{number}",
            blank_url=f"memory://conformance-blank-{number}",
            registry=self.registry,
            spec=self.spec,
        )


class FolderPlace(Place):
    """Files in a folder beside the one that the URL names, so that it is the same disk that is tested."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """Refuse a file that has something in it, and make the folder."""
        super().__init__(url, registry)
        path = Path(url.database)
        self._refuse_records(path)
        if url.is_default:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-conformance-", dir=path.parent))
        except OSError as error:
            raise InvalidURL(f"no folder can be made beside {path}: {error.strerror}") from error
        self._numbers = count()

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
        """A file in a folder of its own, which also takes whatever the database puts beside it."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        store, blank = (replace(self.url, database=str(folder / name), is_default=False) for name in ("store", "blank"))
        return _FolderHarness(self, url_text(store), url_text(blank), folder)

    def clean_up(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _FolderHarness(UrlHarness):
    def __init__(self, place: Place, url: str, blank_url: str, folder: Path) -> None:
        super().__init__(url, blank_url=blank_url, registry=place.registry, spec=place.spec)
        self._folder = folder

    def cleanup(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class NumberedPlace(Place):
    """As many stores as there are tests, by number."""

    def __init__(self, url: str, registry: Registry | None) -> None:
        """Nothing is made yet."""
        super().__init__(resolve_url(self._fill(url, 0)), registry)
        self._text = url
        self._used: list[StoreURL] = []

    @staticmethod
    def _fill(url: str, number: int) -> str:
        return url.replace(NUMBER, str(number))

    def harness(self) -> Harness:
        """The next two stores."""
        number = len(self._used)
        store, blank = (self._fill(self._text, each) for each in (number, number + 1))
        self._used += map(resolve_url, (store, blank))
        return UrlHarness(store, blank_url=blank, registry=self.registry, spec=self.spec)

    def clean_up(self) -> None:
        """Drop the schemas that were made, if they are some."""
        for url in self._used:
            _drop(self, url)


class SinglePlace(Place):
    """The one store of the URL, emptied for each test."""

    def __init__(self, url: StoreURL, registry: Registry | None) -> None:
        """Refuse a store that has records in it."""
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
                return  # as a rule there is nothing at all; an older store with records is refused when it is opened
            if not backend.is_empty():
                raise _has_records(self.url)

    def harness(self) -> Harness:
        """The store, empty.

        Raises:
            CannotEmpty: There are records in it that cannot be deleted.
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
        """Remove the schema of a test, if one was made."""
        _drop(self, url)

    def _empty(self) -> None:
        try:
            emptied = wipe(self._keep())
        except StoreError as error:
            self._close_keeper()
            raise CannotEmpty(f"the store could not be emptied after the test before: {error}") from error
        if not emptied:
            raise CannotEmpty(
                "an earlier test left leases, audit entries or uses of secrets, which the contract cannot delete: "
                f"put {NUMBER} in the URL, in whose place each test gets a number, or write a harness"
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
    def __init__(self, place: SinglePlace, blank: StoreURL | None) -> None:
        blank_url = None if blank is None else url_text(blank)
        super().__init__(url_text(place.url), blank_url=blank_url, registry=place.registry, spec=place.spec)
        self._place = place
        self._blank = blank

    def cleanup(self) -> None:
        if self._blank is not None and self.blank_used:
            self._place.drop_blank(self._blank)


def _drop(place: Place, url: StoreURL) -> None:
    # A schema that cannot be dropped is left behind: that is no finding about the backend.
    with suppress(StoreError), closing(place.backend(url)) as backend:
        backend.prepare(migrate=False)
        drop_schema(backend, url.options.get("schema", ""))


def _has_records(url: StoreURL) -> InvalidArgument:
    return InvalidArgument(f"{url} has something in it: give the suite an empty store, or a schema, of its own")
