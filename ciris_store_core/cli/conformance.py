"""The commands ``ciris-store conformance`` and ``ciris-store matrix``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperCommand

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.errors import InvalidArgument, NotSupported
from ciris_store_core.url import ENVIRONMENT_VARIABLE, POSTGRES_SCHEMES

if TYPE_CHECKING:
    from ciris_store_core.conformance.results import Report
    from ciris_store_core.conformance.runner import Options

POSTGRES_VARIABLE = "CIRIS_TEST_POSTGRES_URL"
BACKENDS_OPTION = "--database-backends"


class BackendName(StrEnum):
    """A backend of this project, for ``--database-backends``."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"
    MEMORY = "memory"


class LevelName(StrEnum):
    """A level, for ``--level``: the names of ``conformance.levels.Level``, which is imported on demand."""

    CORE = "core"
    DURABLE = "durable"
    CONCURRENT = "concurrent"
    MULTI_INSTANCE = "multi_instance"
    OPERABLE = "operable"


class BackendsCommand(TyperCommand):
    """A command whose ``--database-backends`` takes several names: ``--database-backends sqlite postgres``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its names."""
        return super().parse_args(ctx, spread(args))


def spread(args: Sequence[str]) -> list[str]:
    """Return the arguments with ``--database-backends`` before each name that follows it."""
    found: list[str] = []
    taking = False
    for arg in args:
        taking = arg == BACKENDS_OPTION or (taking and arg in set(BackendName))
        if taking and arg != BACKENDS_OPTION and found[-1:] != [BACKENDS_OPTION]:
            found.append(BACKENDS_OPTION)
        found.append(arg)
    return found


def conformance(
    module: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE]", help="Part of the suite to run, as with --module; or the URL."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="Empty store to test; by default that of CIRIS_DB_URL, else a temporary SQLite file. "
            "A {n} in it is replaced by a number, another one for each test.",
        ),
    ] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--module", help="Part of the suite to run, such as graph or tasks; repeatable.")
    ] = None,
    backends: Annotated[
        list[BackendName] | None,
        typer.Option(
            BACKENDS_OPTION,
            help="Backends to test, one or more: sqlite and memory on a temporary store, postgres on that of "
            f"CIRIS_DB_URL or {POSTGRES_VARIABLE}.",
        ),
    ] = None,
    levels: Annotated[list[LevelName] | None, typer.Option("--level", help="Level to check; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Check the levels core and concurrent only.")] = False,
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", metavar="CLAUSE=REASON", help="Disregard that a clause does not run; repeatable."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON; - to print it.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write the report as JUnit XML.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write backends by clause as an HTML page.")] = None,
) -> None:
    """Check, clause by clause, that a database can safely hold an agent's memory.

    The store must be empty; tests write into it, or beside it, and remove what they wrote. The exit code is 1 if a
    test failed, or if nothing ran.
    """
    _require_suite()
    module, url = _split_module_and_url(module, url)
    options = _options([*(modules or []), *([module] if module else [])], levels or [], quick, waive or [])
    reports = _run_all(backends or [], url, options, silent=json_file == Path("-"))
    _write(reports, json_file, junit_file, html_file)
    raise typer.Exit(Exit.OK if all(each.ok for each in reports) else Exit.FAILED)


def matrix(
    files: Annotated[list[Path], typer.Argument(help="Reports that `conformance --json` wrote.")],
    html_file: Annotated[Path, typer.Option("--html", help="Where to write the page.")] = Path("conformance.html"),
) -> None:
    """Write several reports of the conformance suite side by side, backends by clause, to one HTML page."""
    from ciris_store_core.conformance.results import read_reports

    reports = read_reports(files)
    _write(reports, None, None, html_file)
    typer.echo(f"{html_file}: {', '.join(each.backend.name for each in reports)}")


# --- selection --------------------------------------------------------------------------------


def _require_suite() -> None:
    if find_spec("pytest") is None:
        raise NotSupported(
            "the conformance suite needs pytest. Install it: pip install 'ciris-store-core[conformance]'"
        )


def _split_module_and_url(module: str | None, url: str | None) -> tuple[str | None, str | None]:
    """Return module and URL, where one argument may be either."""
    from ciris_store_core.conformance.catalogue import module_names

    if module is None or url is not None or module.replace("-", "_") in module_names():
        return module, url
    if any(mark in module for mark in ":/.\\"):
        return None, module
    raise InvalidArgument(
        f"{module!r} is neither a URL nor a module of the suite. Use one of: {', '.join(module_names())}."
    )


def _options(modules: list[str], levels: list[LevelName], quick: bool, waive: list[str]) -> Options:
    from ciris_store_core.conformance.catalogue import QUICK, Selection
    from ciris_store_core.conformance.levels import Level
    from ciris_store_core.conformance.recorder import parse_waivers
    from ciris_store_core.conformance.runner import Options

    wanted = [*map(Level, levels), *(QUICK if quick else ())]
    return Options(Selection.of(modules, wanted), parse_waivers(waive))


def _run_all(names: list[BackendName], url: str | None, options: Options, *, silent: bool) -> list[Report]:
    from ciris_store_core.cli.conformance_view import run_visibly

    if names and url:
        raise InvalidArgument(f"a URL and {BACKENDS_OPTION} were given. Give one of them.")
    reports = []
    wanted: Sequence[BackendName | None] = names or [None]
    for name in wanted:
        with _target(name, url) as target:
            reports.append(run_visibly(target, options, silent=silent))
    return reports


@contextmanager
def _target(name: BackendName | None, url: str | None) -> Iterator[str | None]:
    """Yield the URL to test, or None for that of the environment."""
    if name == BackendName.POSTGRES:
        yield _postgres_url()
    elif name == BackendName.MEMORY:
        yield "memory://"
    elif name == BackendName.SQLITE or (url is None and ENVIRONMENT_VARIABLE not in os.environ):
        with tempfile.TemporaryDirectory(prefix="ciris-conformance-") as folder:
            yield f"sqlite:///{quote((Path(folder) / 'conformance.db').as_posix())}"
    else:
        yield url


def _postgres_url() -> str:
    for name in (ENVIRONMENT_VARIABLE, POSTGRES_VARIABLE):
        url = os.environ.get(name, "")
        if url.startswith(tuple(f"{scheme}://" for scheme in POSTGRES_SCHEMES)):
            return url
    raise InvalidArgument(
        f"no PostgreSQL database to test. Set {ENVIRONMENT_VARIABLE} or {POSTGRES_VARIABLE} to the URL of an empty one."
    )


# --- written reports --------------------------------------------------------------------------


def _write(reports: list[Report], json_file: Path | None, junit_file: Path | None, html_file: Path | None) -> None:
    from ciris_store_core.conformance.junit import to_junit
    from ciris_store_core.conformance.matrix import to_html
    from ciris_store_core.conformance.results import to_json

    for path, make in ((json_file, to_json), (junit_file, to_junit), (html_file, to_html)):
        if path == Path("-"):
            sys.stdout.write(make(reports))
        elif path is not None:
            _write_file(path, make(reports))


def _write_file(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written ({error.strerror}). Choose another path.") from error
