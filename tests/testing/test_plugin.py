"""The fixtures for applications, in a pytest of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import Task, open_store
from tests.support.snippets import RUN, blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "testing.md"

EMPTY_AND_STILL = """
from datetime import UTC, datetime
from ciris_store_core import Task, persistence

def test_one(ciris_store, ciris_store_clock):
    assert ciris_store.is_empty()
    added = ciris_store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    assert added.created_at == ciris_store_clock.now() == ciris_store.server_now()
    assert persistence.task_exists("t") and persistence.get_store() is ciris_store

def test_two(ciris_store, ciris_store_clock):
    assert ciris_store.is_empty()
    later = ciris_store_clock.advance(days=1)
    assert ciris_store.server_now() == later
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a test module in a process of its own; nothing tells it of the plugin but the installed distribution."""
    monkeypatch.delenv("CIRIS_DB_URL", raising=False)

    def it(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *arguments)

    return it


def test_pytest_finds_the_plugin_by_itself(run: Any) -> None:
    run(EMPTY_AND_STILL).assert_outcomes(passed=2)


def test_a_file_for_each_test(run: Any, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nciris_store_url = sqlite:///{tmp_path}/test.db\n")
    source = EMPTY_AND_STILL + "\ndef test_where(ciris_store):\n    assert 'test_where' in ciris_store.info()['path']\n"
    run(source).assert_outcomes(passed=3)


@pytest.mark.postgres
def test_a_schema_for_each_test_which_is_gone_afterwards(run: Any, postgres_server: Any) -> None:
    url = postgres_server.create_database()
    joined = url + ("&" if "?" in url else "?")
    run(EMPTY_AND_STILL, "--ciris-store-url", joined + "schema={name}").assert_outcomes(passed=2)
    assert not [name for name in schemas(url) if name.startswith("test_")]
    postgres_server.drop_database(url)


def schemas(url: str) -> list[str]:
    import psycopg2

    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()


def test_a_store_with_records_is_not_touched(run: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/production.db"
    with open_store(url) as store:
        store.tasks.add(Task(task_id="precious", channel_id="c", description="d"))
    result = run("def test_it(ciris_store):\n    raise AssertionError('ran')\n", "--ciris-store-url", url)
    result.assert_outcomes(errors=1)
    assert "holds records: tests need a store of their own" in result.stdout.str()
    with open_store(url) as store:
        assert store.tasks.count() == 1


def test_options_of_the_store(run: Any) -> None:
    options = "import pytest\n@pytest.fixture\ndef ciris_store_options():\n    return {'occurrence_id': 'me'}\n"
    run(options + "def test_it(ciris_store):\n    assert ciris_store.tasks.count(occurrence_id='me') == 0\n"
        "    from ciris_store_core import Task\n"
        "    added = ciris_store.tasks.add(Task(task_id='t', channel_id='c', description='d'))\n"
        "    assert added.agent_occurrence_id == 'me'\n").assert_outcomes(passed=1)  # fmt: skip


def test_the_tests_of_the_page_pass(run: Any) -> None:
    source = "\n\n".join(block.code for block in blocks_of(PAGE) if block.language == RUN)
    assert source.count("def test_") == 3
    run(source).assert_outcomes(passed=4)
