from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_langgraph.conformance import saver_suite, store_suite, upstream
from tests.support.pgserver import shared_server


@pytest.fixture(scope="module", autouse=True)
def databases() -> Iterator[None]:
    server, made = shared_server(), list[str]()

    def new_database() -> str:
        made.append(server.create_database())
        return made[-1]

    upstream.new_database = new_database
    yield
    upstream.new_database = None
    for url in made:
        server.drop_database(url)


test_store_memory = store_suite(upstream.ciris_memory_store, durable=False)
test_store_sqlite = store_suite(upstream.ciris_sqlite_store)
test_store_postgres = store_suite(upstream.ciris_postgres_store)
test_saver_memory = saver_suite(upstream.ciris_memory_saver, durable=False)
test_saver_sqlite = saver_suite(upstream.ciris_sqlite_saver)
test_saver_postgres = saver_suite(upstream.ciris_postgres_saver)
