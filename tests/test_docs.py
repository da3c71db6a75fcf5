"""The documentation is right: its programs run, its tables agree with the code, its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ciris_store_core import (
    Capability,
    ClaimedTask,
    OccurrenceHandle,
    Store,
    StoreError,
    Transaction,
    contract,
    errors,
    open_store,
)
from ciris_store_core.clock import SystemClock
from ciris_store_core.contract import hookspecs
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import InvalidURL
from ciris_store_core.url import resolve_url
from tests.support import mistakes
from tests.support.mistakes import Mistakes, Row, row_of
from tests.support.pgserver import ExternalServer, PostgresServer
from tests.support.snippets import RUN, Block, blocks_of, broken_links, rows_of, run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
URLS = DOCS / "urls.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    # tests/test_specification.py runs the programs of the specification.
    *sorted(page for page in DOCS.rglob("*.md") if page.name != "specification.md"),
    *sorted(ROOT.glob("backends/*/README.md")),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def test_the_pages_are_found() -> None:
    names = set(map(name_of, PAGES))
    assert names >= {"docs/guide.md", "docs/urls.md", "docs/contract.md", "docs/errors.md", "backends/sqlite/README.md"}


# --- blocks and links -------------------------------------------------------------------------


#: The programs of this page run on a server: it is about nothing else.
POSTGRES_PAGE = DOCS / "howto" / "postgresql.md"
#: The programs of these pages need the packages of frameworks: the tests of their adapters run them.
INTEGRATIONS = DOCS / "integrations"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != POSTGRES_PAGE and page.parent != INTEGRATIONS], ids=name_of
)
def test_every_program_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.postgres
def test_every_program_of_the_page_about_postgresql_runs(tmp_path: Path, postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    run_page(POSTGRES_PAGE, tmp_path, CIRIS_DB_URL=url)
    postgres_server.drop_database(url)


def run_page(page: Path, tmp_path: Path, **variables: str) -> None:
    # In an interpreter of its own: what tests have imported, or pytest has rewritten, must not matter.
    command = [sys.executable, "-W", "error", "-m", "tests.support.snippets", str(page)]
    variables |= {name: value for name, value in os.environ.items() if not name.startswith("CIRIS_")}
    variables["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    print(done.stdout)


@every_page
def test_what_is_not_run_says_why(page: Path) -> None:
    left_out = [block for block in blocks_of(page) if block.language != RUN or block.reason is not None]
    for block in left_out:
        print(f"{block}: {block.language or 'text'}, not run: {block.reason}")
    without = [str(block) for block in left_out if not block.reason]
    assert not without, f"put <!-- not run: reason --> before the block at {', '.join(without)}"


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def planted(folder: Path, text: str) -> list[Block]:
    page = folder / "page.md"
    page.write_text(text)
    return blocks_of(page)


def test_a_program_that_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(planted(tmp_path, "# Page\n\n```python\nx = 0\n```\n\n```python\n1 / x\n```\n"))
    assert caught.traceback[-1].lineno + 1 == 8


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    assert run(planted(tmp_path, "```python\nprint(1)\n#> 1\n```\n")) == 1
    with pytest.raises(AssertionError, match="shows"):
        run(planted(tmp_path, "```python\nif True:\n    print(1)\n    #> 2\n```\n"))


def test_a_mark_belongs_to_the_block_behind_it(tmp_path: Path) -> None:
    blocks = planted(tmp_path, "<!-- not run: a sketch -->\n```python\n1 / 0\n```\n\n```sh\nls\n```\n")
    assert [block.reason for block in blocks] == ["a sketch", None]
    assert run(blocks) == 0


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](#one-thing) [b](#two) [c](page.md) [d](gone.md) [e](https://example.org)\n")
    assert broken_links(page) == ["#two", "gone.md"]


# --- everything is documented -----------------------------------------------------------------


def test_every_hook_is_documented() -> None:
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")]
    assert hooks
    assert not [name for name in hooks if f"`{name}`" not in (DOCS / "contract.md").read_text()]


@pytest.mark.parametrize(("page", "section"), [("contract.md", "Capabilities"), ("guide.md", "Open a store")])
def test_every_capability_is_documented(page: str, section: str) -> None:
    assert [row[0] for row in rows_of(DOCS / page, section)] == [str(capability) for capability in Capability]


def test_every_command_is_documented() -> None:
    import typer.main

    from ciris_store_core.cli.app import app

    commands = sorted(_commands(typer.main.get_command(app), "ciris-store"))
    assert [row[0] for row in rows_of(DOCS / "guide.md", "Command line")] == commands


def _commands(command: object, name: str) -> Iterator[str]:
    below = getattr(command, "commands", {})
    for word, each in below.items():
        yield from _commands(each, f"{name} {word}")
    if not below:
        yield name


PARTS = ["graph", "correlations", "tasks", "thoughts", "occurrences", "leases", "shared_tasks", "audit", "secrets"]
PARTS += ["authorities", "documents", "streams"]


def public_methods() -> dict[str, set[str]]:
    """Return the public methods of a store, its parts and its handles, by the name that the guide gives each."""
    classes: dict[str, type] = {"transaction": Transaction, "handle": OccurrenceHandle, "claimed": ClaimedTask}
    with open_store("memory://") as store:
        classes |= {"store": Store, **{f"store.{part}": type(getattr(store, part)) for part in PARTS}}
    return {name: _public(kind) for name, kind in classes.items()}


def test_every_method_of_the_store_is_in_the_guide() -> None:
    listed = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows_of(DOCS / "guide.md", "Every method")}
    assert listed == public_methods()


def _public(kind: type) -> set[str]:
    own = [each for each in kind.__mro__ if each.__module__.startswith("ciris_store_core")]
    members = {name: value for each in own for name, value in vars(each).items() if not name.startswith("_")}
    return {name for name, value in members.items() if inspect.isfunction(value) or isinstance(value, property)}


# --- the contract and the errors --------------------------------------------------------------

CONTRACT = [each for each in vars(contract).values() if inspect.isclass(each) and inspect.isabstract(each)]


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
def test_the_table_of_the_contract_is_right(kind: type) -> None:
    rows = rows_of(DOCS / "contract.md", kind.__name__)
    required: frozenset[str] = vars(kind)["__abstractmethods__"]
    methods = {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}
    assert [row[0] for row in rows] == list(methods)
    for name, kept, cost, meaning in rows:
        said_cost, said_meaning = _cost_and_meaning(methods[name])
        assert kept == ("required" if name in required else "default"), name
        assert cost and (not said_cost or cost == said_cost), f"the docstring of {name} says: {said_cost}"
        assert meaning == said_meaning, name


def _cost_and_meaning(method: object) -> tuple[str, str]:
    """Return the cost and the meaning in a docstring of the contract, without its clauses."""
    text = _plain((inspect.getdoc(method) or "").split("\n- ")[0])
    found = re.search(r"\s*\b(Required|Default)([;:] (?P<cost>[^.]*))?\.(?=\s|$)", text)
    if found is None:
        return "", text
    return found["cost"] or "", (text[: found.start()] + text[found.end() :]).strip()


def _plain(docstring: str) -> str:
    return " ".join(docstring.split()).replace("``", "`")


def test_the_catalogue_of_errors_is_right() -> None:
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, StoreError)]
    rows = rows_of(DOCS / "errors.md", "Catalogue")
    assert [row[0] for row in rows] == [kind.__name__ for kind in kinds]
    for kind, (_, bases, when, advice, retryable) in zip(kinds, rows, strict=True):
        assert bases.replace("`", "") == ", ".join(base.__name__ for base in kind.__bases__)
        assert f"{when} {advice}" == _plain(inspect.getdoc(kind) or ""), kind
        assert retryable == ("yes" if kind.retryable else "no")


# --- URLs -------------------------------------------------------------------------------------

OPTIONS = {"SQLite": "sqlite:///x.db", "PostgreSQL": "postgresql://h/d", "memory://": "memory://"}
#: Read by the URL itself, before the backend sees its options.
READ_EARLIER = {"PostgreSQL": {"host", "port"}}


def options_of(section: str) -> dict[str, str]:
    """The documented options with their defaults."""
    rows = rows_of(URLS, section)
    return {name: row[1] for row in rows for name in re.findall(r"\w+", row[0])}


@pytest.mark.parametrize("section", OPTIONS)
def test_every_url_option_is_documented(section: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        made(f"{OPTIONS[section]}?no_such_option=1")
    valid = set(str(caught.value).partition("Use one of: ")[2].rstrip(".").split(", ")) - {""}
    assert set(options_of(section)) == valid | READ_EARLIER.get(section, set())


@pytest.mark.parametrize("section", ["SQLite", "PostgreSQL"])
def test_the_defaults_of_url_options_are_right(section: str) -> None:
    url = OPTIONS[section]
    given = [(name, value) for name, value in options_of(section).items() if value != "—"]
    assert given
    for name, value in given:
        assert made(f"{url}?{name}={value}") == made(url), f"{name} is not {value} by default"


def made(url: str) -> object:
    """Return the settings that the backend reads from a URL."""
    parsed = resolve_url(url)
    with closing(Registry().spec_for(parsed.scheme).factory(parsed, BackendContext(SystemClock()))) as backend:
        return getattr(backend, "settings", None) or getattr(backend, "options", None)


def test_every_variable_is_documented() -> None:
    sources = "\n".join(file.read_text() for file in (ROOT / "ciris_store_core").rglob("*.py"))
    variables = set(re.findall(r'"(CIRIS_[A-Z_]+)"', sources))
    assert variables and {row[0] for row in rows_of(URLS, "Variables")} == variables


# --- the error tables -------------------------------------------------------------------------


def agree(section: str, made_now: Iterable[Row]) -> None:
    documented = [tuple(row) for row in rows_of(URLS, section)]
    for row in made_now:
        assert row in documented, (
            f"{section} in {URLS.name} needs this row (make tables):\n| {row[0]} | `{row[1]}` | `{row[2]}` |"
        )
        documented.remove(row)
    assert not documented, "nothing makes these mistakes"


def rows_made(made_now: Mistakes, replaced: Mapping[str, str] | None = None) -> list[Row]:
    return [row_of(title, make, replaced or {}) for title, make in made_now.items()]


def bad_urls() -> list[Row]:
    """Return the rows that the URLs of the table make now."""
    found = rows_made({row[0]: mistakes.opened(row[0]) for row in rows_of(URLS, "Bad URLs")})
    # A backend of contrib is no part of the release, but may be installed beside it.
    return [(url, error, message.replace("duckdb, ", "")) for url, error, message in found]


def test_bad_urls() -> None:
    rows = bad_urls()
    assert len(rows) > 30
    agree("Bad URLs", rows)


def test_bad_arguments_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    agree("Bad arguments and variables", rows_made(mistakes.argument_mistakes(monkeypatch)))


def test_bad_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to other users
        agree("Files", rows_made(mistakes.Files(Path(folder)).mistakes(), mistakes.FILE_NAMES))


@pytest.mark.postgres
def test_what_servers_refuse() -> None:
    with PostgresServer(fast=True) as server:
        agree("PostgreSQL servers", rows_made(mistakes.server_mistakes(server), mistakes.server_names(server)))


def test_bad_plugins(tmp_path: Path) -> None:
    agree("Plugins", list(plugin_rows(tmp_path)))


def plugin_rows(folder: Path) -> Iterator[Row]:
    for title in mistakes.Plugins(folder, pytest.MonkeyPatch()).mistakes():
        # Each alone: a broken plugin of one row must not be there for the next.
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CIRIS_ALLOWED_BACKENDS", raising=False)
            yield row_of(title, mistakes.Plugins(folder, patch).mistakes()[title], {})


# --- no message is missing ---------------------------------------------------------------------

ABOUT_OPENING = {
    "InvalidURL", "UnknownScheme", "PluginError", "MigrationRequired", "IncompatibleSchema", "NotADatabase",
}  # fmt: skip
SOURCES = ["ciris_store_core", "backends/sqlite/ciris_store_sqlite", "backends/postgres/ciris_store_postgres"]
#: Parts that use a store; what they refuse on their own account is not about opening one.
PROGRAMS = {"conformance", "cli", "demo", "transfer"}
#: Cannot happen before there is a third major version of the contract.
NOT_YET = ".x. Upgrade the backend: pip install --upgrade"


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place of each error about opening, and the longest constant piece of its message."""
    for file in sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py")):
        if not PROGRAMS.isdisjoint(file.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ABOUT_OPENING:
                pieces = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
                texts = [piece for piece in pieces if isinstance(piece, str)]
                if texts:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", max(texts, key=len).strip()


def test_every_message_about_opening_is_in_a_table() -> None:
    page = URLS.read_text()
    found = dict(messages())
    assert len(found) > 40
    missing = {place: text for place, text in found.items() if text not in page and NOT_YET not in text}
    assert not missing
