"""The rules of language, held over pages, docstrings, comments and error texts."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ciris_store_core import errors

ROOT = Path(__file__).resolve().parent.parent
CODE = ["ciris_store_core", "backends", "contrib", "benchmarks", "tests"]
#: These pages quote the old words: the list of renames, the words to avoid, and the specification, which is not ours.
QUOTING = {"CHANGELOG.md", "docs/glossary.md", "docs/specification.md", "tests/test_prose.py"}

FORBIDDEN_OPENINGS = re.compile(r"(?:What|How|Whether|Whose|Where|Who|Whoever|Nobody|Somebody|Whatever)\b(?![^.!]*\?)")
"""Openings of the first sentence of a docstring. A question is allowed."""

RELATIVE_SUBJECT = re.compile(r"(?:^|[.!:] )(?:What|Whatever|Whoever|Nobody|Somebody)\b[^.?!]*(?:[.!](?!\w)|$)")
"""A relative clause in the place of a sentence's subject: "What was acknowledged survives". A question is allowed."""

ADVICE_IN_A_CLAUSE = re.compile(
    r"[:;] (?:add|call|check|choose|encode|fix|give|install|keep|leave|make|name|pass|put|read|reinstall|remove|repair|"
    r"restore|run|say|uninstall|use|write) "
)
"""Advice of an error that is not a sentence of its own: "the store is closed: open a new one"."""

WORDS = re.compile(
    r"\b(?:"
    r"whoever|nobody|somebody|"
    r"g[ia]v(?:e|es|en|ing) (?:it |them |work |tasks |all )?back|gives? back|"
    r"vaults?|unseal(?:s|ed|ing)?|seal(?:s|ed|er|ing)?|reveal(?:s|ed|ing)?|"
    r"upgraders?|UpgradeFailed|on_bad_text|consolidat\w+|[uU]nreadable|"
    r"mend(?:s|ed|ing)?|twins?|lineages?|doom(?:s|ed|ing)?|"
    r"lets? go of|write turn|turn to write|the turn|its turn|"
    r"cuts? (?:a|the) (?:audit )?chain|"
    r"SyncMemoryService|WriteTurn|AnyOwner"
    r")\b",
    re.IGNORECASE,
)
"""Words for which ``docs/glossary.md`` names another."""


IDENTIFIER = re.compile(
    r"(?:^|_)(?:seal(?:s|ed|er)?|unseal|vaults?|reveal(?:s|ed)?|upgraders?|consolidat\w+|unreadable|mend(?:s|ed|ing)?|twins?|"
    r"lineages?|doom\w*|whoever|give_back|gave_back|on_bad_text)(?:$|_)|"
    r"(?:^|_)(?:Sealed|Sealer|Vault|Upgraders?|UpgradeFailed|Unreadable|WriteTurn|AnyOwner|SyncMemoryService)"
)
"""The same words as parts of identifiers."""

#: The errors of the store, and those of Python that it raises.
ERRORS = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)} | {
    name for name, kind in vars(builtins).items() if inspect.isclass(kind) and issubclass(kind, Exception)
}
#: Becomes an ``InvalidArgument`` once the path to the value is known.
ERRORS.add("Refused")


class Text(NamedTuple):
    """A piece of prose and its place."""

    place: str
    text: str
    is_docstring: bool = False
    is_error: bool = False


def texts_of_page(name: str, page: str) -> Iterator[Text]:
    """Yield the paragraphs of a Markdown page, without its blocks of code."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose)
    for paragraph in re.split(r"\n\s*\n|\n(?=[-*|#]|\d+\. )", prose):
        yield Text(name, " ".join(paragraph.split()).lstrip("#*-|0123456789. "))


def texts_of_code(name: str, source: str) -> Iterator[Text]:
    """Yield the docstrings, comments and error texts of a module, and its identifiers in one text a line."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if docstring := ast.get_docstring(node):
                yield Text(f"{name}:{getattr(node, 'lineno', 1)}", _without_code(docstring), is_docstring=True)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Text(f"{name}:{node.lineno}", _without_code(node.value.value))
        elif isinstance(node, ast.Call) and _name_of(node.func) in ERRORS:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield Text(f"{name}:{part.lineno}", _without_code(part.value), is_error=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(f"{name}:{token.start[0]}", _without_code(token.string.lstrip("#: ")))


def identifiers_of(name: str, source: str) -> Iterator[str]:
    """Yield the identifiers of a module that the glossary names otherwise."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and IDENTIFIER.search(token.string):
            yield f"{name}:{token.start[0]}: the name {token.string!r}: see docs/glossary.md"


def _name_of(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _without_code(text: str) -> str:
    return " ".join(re.sub(r"``?[^`]*``?", "", text).split())


def faults_of(text: Text) -> Iterator[str]:
    """Yield what is wrong with a text."""
    if text.is_docstring and FORBIDDEN_OPENINGS.match(text.text):
        yield f"{text.place}: begins with {text.text.split()[0]!r}: {text.text[:60]!r}"
    if found := RELATIVE_SUBJECT.search(text.text):
        yield f"{text.place}: a relative clause as the subject: {found[0].strip('. ')[:60]!r}"
    if text.is_error and (found := ADVICE_IN_A_CLAUSE.search(text.text)):
        yield f"{text.place}: advice in a clause, not a sentence: {text.text[found.start() :][:60]!r}"
    if found := WORDS.search(text.text):
        yield f"{text.place}: {found[0]!r}: see docs/glossary.md"


def pages() -> Iterator[tuple[str, str]]:
    """Yield the Markdown pages of the repository, by name."""
    for page in sorted(ROOT.glob("*.md")) + sorted(p for d in ["docs", *CODE] for p in (ROOT / d).rglob("*.md")):
        yield page.relative_to(ROOT).as_posix(), page.read_text()


def modules() -> Iterator[tuple[str, str]]:
    """Yield the Python modules of the repository, by name."""
    for file in sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py")):
        yield file.relative_to(ROOT).as_posix(), file.read_text()


def faults() -> Iterator[str]:
    """Yield all faults of the repository."""
    for name, page in pages():
        if name not in QUOTING:
            yield from (fault for text in texts_of_page(name, page) for fault in faults_of(text))
    for name, source in modules():
        if name not in QUOTING:
            yield from (fault for text in texts_of_code(name, source) for fault in faults_of(text))
            yield from identifiers_of(name, source)


def test_the_prose_of_the_repository() -> None:
    found = list(faults())
    assert not found, f"{len(found)} places:\n" + "\n".join(found[:200])


SENTENCE = "What was acknowledged survives a kill -9 and a power cut."


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(list(texts_of_page("page.md", f"# Title\n\nA sentence. {SENTENCE}\n")), id="page"),
        pytest.param(list(texts_of_code("m.py", f'def f():\n    """{SENTENCE}"""\n')), id="docstring"),
        pytest.param(list(texts_of_code("m.py", f'def f():\n    raise ValueError("{SENTENCE}")\n')), id="error"),
        pytest.param(
            list(texts_of_code("m.py", 'raise StoreClosed(f"{it} is closed: call open_store again")\n')), id="advice"
        ),
        pytest.param(list(texts_of_code("m.py", "x = 1  # Nobody gives it back.\n")), id="comment"),
    ],
)
def test_a_planted_fault_is_found(planted: list[Text]) -> None:
    assert [fault for text in planted for fault in faults_of(text)]


def test_a_planted_identifier_is_found() -> None:
    assert list(identifiers_of("m.py", "def give_back(sealed):\n    return SealedBox\n"))


def test_plain_sentences_pass() -> None:
    page = "Acknowledged writes survive `kill -9` and power loss. What does it cost? See `vault` in the list.\n"
    assert not [fault for text in texts_of_page("page.md", page) for fault in faults_of(text)]
