"""Cold starts and memory, each measured in a fresh process.

Run as a program, ``start.py WHAT NAME URL``, it does one of them and prints figures as JSON. It stands alone, so that
nothing is loaded before the clock starts.
"""

import json
import sys
import time
from typing import Any


def _rss() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _open_store(url: str) -> Any:
    from ciris_store_core import open_store

    store = open_store(url, secrets=False)
    store.tasks.get("none")
    return store


def _open_raw(url: str, ddl: str = "") -> Any:
    db: Any
    if url.startswith("sqlite"):
        import sqlite3

        db = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if ddl:
            db.executescript(f"BEGIN; {ddl}; COMMIT;")
    else:
        import psycopg2

        db = psycopg2.connect(url)
        if ddl:
            db.cursor().execute(ddl)
            db.commit()
        db.autocommit = True
    db.cursor().execute("SELECT 1 FROM tasks WHERE task_id = 'none'")
    return db


def _open_orm(url: str) -> Any:
    from sqlalchemy import MetaData, Table, create_engine, select
    from sqlalchemy.orm import Session, registry

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    tasks = Table("tasks", MetaData(), autoload_with=engine)
    kind = type("Task", (), {})
    registry().map_imperatively(kind, tasks, properties={"metadata_": tasks.c.metadata})
    with Session(engine) as session:
        session.scalars(select(kind).where(tasks.c.task_id == "none")).all()
    return engine


def _open_langgraph(url: str) -> Any:
    if url.startswith("sqlite"):
        from langgraph.store.sqlite import SqliteStore as Kind

        url = url.removeprefix("sqlite:///")
    else:
        from langgraph.store.postgres import PostgresStore as Kind
    context = Kind.from_conn_string(url)
    store = context.__enter__()
    store.setup()
    store.get(("tasks",), "none")
    return context


OPENERS: dict[str, Any] = {"store": _open_store, "raw": _open_raw, "orm": _open_orm, "langgraph": _open_langgraph}


def main() -> None:
    """Do what the arguments say."""
    what, name, url = sys.argv[1:4]
    start = time.perf_counter()
    if what == "import":
        import ciris_store_core  # noqa: F401

        light = not {"pydantic", "sqlite3", "psycopg2"} & set(sys.modules)
        print(json.dumps({"seconds": time.perf_counter() - start, "light": light}))
    elif what == "open":
        extra = (sys.stdin.read(),) if name == "raw" else ()
        opened = OPENERS[name](url, *extra)
        print(json.dumps({"seconds": time.perf_counter() - start}))
        del opened
    else:
        urls = url.split(" ")
        kept = [OPENERS[name](urls[0])]
        before = _rss()
        kept += [OPENERS[name](one) for one in urls[1:]]
        print(json.dumps({"bytes": (_rss() - before) / (len(urls) - 1), "process": before}))


if __name__ == "__main__":
    main()
