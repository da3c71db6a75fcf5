"""Links to lines of the source lead to the symbols that they name, and the questions of a reader are few jumps away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.line_links import PAGES, ROOT, line_of, links_of

HOW = ROOT / "docs" / "how-it-works.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_line_holds_its_symbol(page: Path) -> None:
    wrong = [
        f"{link.symbol}: {link.file.name}:{link.line}, now {line}: make links"
        for link in links_of(page)
        if (line := line_of(link.file, link.symbol)) != link.line
    ]
    assert wrong == []


def test_a_symbol_that_moved_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "m.py").write_text("\nX = 1\n\n\nclass A:\n    def f(self): ...\n")
    page.write_text("[`X`](m.py#L1) and [`A.f`](m.py#L6)")
    assert [(link.symbol, line_of(link.file, link.symbol) == link.line) for link in links_of(page)] == [
        ("X", False),
        ("A.f", True),
    ]


@pytest.mark.parametrize(
    ("anchor", "section", "symbols"),
    [
        ("claim", "Claim", {"CLAIM", "CLAIMABLE", "WriteLock"}),
        ("secret-replacement", "Secret replacement", {"Validator.record", "SecretRedactor", "SecretCrypto.encrypt"}),
    ],
)
def test_the_readme_leads_to_the_answer_in_two_jumps(anchor: str, section: str, symbols: set[str]) -> None:
    assert f"docs/how-it-works.md#{anchor}" in (ROOT / "README.md").read_text()
    text = HOW.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    assert symbols <= {link.symbol for link in links_of(HOW) if f"`{link.symbol}`" in text}
