"""Rewrite the tables of the documentation that tests compare with the code.

``make tables`` runs it after a change of a docstring of the contract, of an error or of a message about opening. Cells
that only a person can write stay: costs that no docstring names, and explanations.
"""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ciris_store_core import StoreError, errors
from tests import test_docs
from tests.support import mistakes
from tests.support.mistakes import Row
from tests.support.pgserver import PostgresServer
from tests.support.snippets import plain

Rows = list[list[str]]


def rewrite(page: Path, section: str, made: Callable[[Rows], Iterable[list[str]]]) -> None:
    """Replace the rows of the one table of a section by those that ``made`` returns for the present ones."""
    text = page.read_text()
    found = re.search(
        rf"^#+ {re.escape(section)}\n(?:(?!\n#).)*?^\|[ :|-]*---[ :|-]*\|\n", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no table in {section!r}"
    end = found.end()
    while text[end:].startswith("|"):
        end = text.index("\n", end) + 1
    present = [re.split(r"(?<!\\)\| ?", line[1:-1]) for line in text[found.end() : end].splitlines()]
    rows = made([[cell.strip() for cell in row] for row in present])
    page.write_text(text[: found.end()] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + text[end:])


def contract(kind: type) -> None:
    """Rewrite the table of one abstract class in contract.md."""
    required: frozenset[str] = vars(kind)["__abstractmethods__"]
    methods = {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}

    def made(present: Rows) -> Iterable[list[str]]:
        costs = {row[0].strip("`"): row[2] for row in present}
        for name, method in methods.items():
            cost, meaning = test_docs._cost_and_meaning(method)
            yield [f"`{name}`", "required" if name in required else "default", cost or costs.get(name, "?"), meaning]

    rewrite(test_docs.DOCS / "contract.md", kind.__name__, made)


def catalogue() -> None:
    """Rewrite the catalogue of errors.md: the first sentence of a docstring is the condition, the rest the advice."""

    def made(_rows: Rows) -> Iterable[list[str]]:
        for kind in vars(errors).values():
            if inspect.isclass(kind) and issubclass(kind, StoreError):
                when, _, advice = test_docs._plain(inspect.getdoc(kind) or "").partition(". ")
                bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
                yield [f"`{kind.__name__}`", bases, f"{when}.", advice, "yes" if kind.retryable else "no"]

    rewrite(test_docs.DOCS / "errors.md", "Catalogue", made)


def messages(section: str, rows: Iterable[Row]) -> None:
    """Rewrite a table of messages in urls.md. A first cell stays as it is spelled."""

    def made(present: Rows) -> Iterable[list[str]]:
        spelled = {plain(row[0]): row[0] for row in present}
        for title, error, message in rows:
            code = f"`` {message} ``" if "`" in message else f"`{message}`"
            yield [spelled[title], f"`{error}`", code.replace("|", "\\|")]

    rewrite(test_docs.URLS, section, made)


def methods() -> None:
    """Rewrite the guide's table of methods: new ones are added at the end of their row."""

    def made(present: Rows) -> Iterable[list[str]]:
        listed = {plain(row[0]): re.findall(r"`(\w+)`", row[1]) for row in present}
        for name, public in test_docs.public_methods().items():
            kept = [each for each in listed.pop(name, []) if each in public]
            listed[name] = [*kept, *sorted(public.difference(kept))]
        for name in sorted(
            listed, key=lambda name: next((n for n, row in enumerate(present) if plain(row[0]) == name), 99)
        ):
            yield [f"`{name}`", ", ".join(f"`{each}`" for each in listed[name])]

    rewrite(test_docs.DOCS / "guide.md", "Every method", made)


def main() -> None:
    """Rewrite every table; with the argument ``servers``, also those that need PostgreSQL."""
    for kind in test_docs.CONTRACT:
        contract(kind)
    catalogue()
    methods()
    messages("Bad URLs", test_docs.bad_urls())
    with pytest.MonkeyPatch.context() as patch:
        made = mistakes.argument_mistakes(patch)
        messages("Bad arguments and variables", test_docs.rows_made(made))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = mistakes.Files(Path(folder)).mistakes()
        messages("Files", test_docs.rows_made(made, mistakes.FILE_NAMES))
    with tempfile.TemporaryDirectory() as folder:
        messages("Plugins", list(test_docs.plugin_rows(Path(folder))))
    if "servers" in sys.argv[1:]:
        with PostgresServer(fast=True) as server:
            made = mistakes.server_mistakes(server)
            messages("PostgreSQL servers", test_docs.rows_made(made, mistakes.server_names(server)))


if __name__ == "__main__":
    main()
