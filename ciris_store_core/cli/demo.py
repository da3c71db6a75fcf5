"""The command ``ciris-store demo``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.output import console, say_error, say_json

if TYPE_CHECKING:
    from ciris_store_core import Store
    from ciris_store_core.demo.results import Results
    from ciris_store_core.demo.run import DemoOptions
    from ciris_store_core.demo.run_plan import RunPlan

FILE = "demo.db"


class Silent:
    """A watcher that prints nothing."""

    def begun(self, plan: RunPlan, store: Store) -> None:
        """Print nothing."""

    def told(self, what: str) -> None:
        """Print nothing."""

    def progress(self, done: int, total: int) -> None:
        """Print nothing."""


def demo(
    url: Annotated[
        str | None,
        typer.Option(help="Empty database for the demo, which keeps its records; by default a temporary SQLite file."),
    ] = None,
    workers: Annotated[int, typer.Option(min=2, max=16, help="Number of processes that share the work.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary file, and print its path.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Use the --url even if it holds records.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Demonstrate the store on real input: several processes, one of which is killed.

    They race for a start-up task, share out the inspection of every installed Python distribution, and finish the work
    that the killed one had begun. At the end the command shows the content of the store, with counts that prove that
    no work was lost or done twice; if a count is wrong, the exit code is 1. CIRIS_DB_URL is not used.
    """
    from ciris_store_core.demo.run import DemoOptions
    from ciris_store_core.demo.worker_processes import WorkerFailed

    options = DemoOptions(workers=workers, force=force)
    try:
        with nullcontext(url) if url else _temporary_database(keep) as target:
            results = _run_silently(target, options) if as_json else _run_visibly(target, options)
    except WorkerFailed as error:
        say_error(str(error))
        raise typer.Exit(Exit.FAILED) from None
    raise typer.Exit(Exit.OK if results.ok else Exit.FAILED)


def _run_silently(url: str, options: DemoOptions) -> Results:
    from ciris_store_core.demo.run import run_demo

    results = run_demo(url, options, Silent())
    say_json(results.to_dict())
    return results


def _run_visibly(url: str, options: DemoOptions) -> Results:
    # Imported here, because nothing is drawn with --json.
    from ciris_store_core.demo.report import ConsoleWatcher, draw
    from ciris_store_core.demo.run import run_demo

    screen = console()
    with ConsoleWatcher(screen) as watcher:
        results = run_demo(url, options, watcher)
    screen.print(draw(results))
    return results


@contextmanager
def _temporary_database(keep: bool) -> Iterator[str]:
    """Yield the URL of an SQLite file in a new folder, which is removed at the end unless ``keep``."""
    folder = Path(tempfile.mkdtemp(prefix="ciris-demo-"))
    url = f"sqlite:///{quote((folder / FILE).as_posix())}"
    try:
        yield url
    finally:
        if keep:
            typer.echo(f"kept: {url}  (look inside with: ciris-store info {url})", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
