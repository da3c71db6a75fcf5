"""The registry names tests that there are, and the page shows each row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.reliability import page, soak
from tests.reliability.rows import ROWS, counts


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_are_there(row: str) -> None:
    for test in (*ROWS[row].tests, *ROWS[row].controls):
        file, _, function = test.partition("::")
        text = (soak.ROOT / file).read_text()
        assert function in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}, test
        assert f'record(\n        "{row}"' in text or f'record("{row}"' in text, f"{test} records nothing"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_control_and_a_line_on_the_page(row: str) -> None:
    assert ROWS[row].tests and ROWS[row].controls
    assert f"| {ROWS[row].fault} |" in page.PAGE.read_text()
    if ROWS[row].long:
        assert [each.values[0] for each in counts(row)] == [ROWS[row].quick, ROWS[row].long]


def test_results_are_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "FOLDER", tmp_path / "soak")
    records = [
        {"row": "clocks", "subject": "SQLite", "done": 200, "wrong": 0, "control": False, "note": "a | b"},
        {"row": "clocks", "subject": "SQLite", "done": 5, "wrong": 3, "control": True, "note": "told {'x': 3}"},
    ]
    soak.Result("clocks", True, 61.0, "2025-01-01", records).save()
    soak.Result("writers", False, 2.0, "2025-01-01").save()
    text = tmp_path / "page.md"
    text.write_text(f"before\n{page.BEGIN}\nout of date\n{page.END}\nafter\n")
    page.write(soak.saved(), text)
    written = text.read_text()
    assert "out of date" not in written and written.startswith("before") and written.endswith("after\n")
    assert "SQLite: 200, 0 wrong (a \\| b)<br>2025-01-01, 61 s | SQLite: 3 in 5 cases (told x: 3) |" in written
    assert "**failed**" in written and "failed: 1 (writers)" in written
    soak.forget()
    assert soak.saved() == {}
    page.write({}, text)
    assert "(a \\| b)<br>2025-01-01, 61 s | SQLite: 3 in 5 cases (told x: 3) |" in text.read_text()
    assert "Rows run: 2, failed: 0; 1 minutes" in text.read_text()


def test_a_row_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "FOLDER", tmp_path / "soak")
    monkeypatch.setattr(soak, "command_of", lambda name: ["false" if name == "writers" else "true"])
    told: list[soak.Result] = []
    soak.run(["clocks", "writers", "corpus"], 1.0, told.append)
    assert {result.row: result.passed for result in told} == {"clocks": True, "writers": False, "corpus": True}
    assert set(soak.saved()) == {"clocks", "writers", "corpus"}
