"""Command ``ciris-store-langgraph``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ciris_store_core import StoreError, open_store
from ciris_store_langgraph.moving import import_all, source_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 1 if something came back different, 2 if it could not run."""
    parser = argparse.ArgumentParser(prog="ciris-store-langgraph", description=__doc__)
    commands = parser.add_subparsers(required=True)
    moving = commands.add_parser("import", help="import threads and items from LangGraph's own tables")
    moving.add_argument("source", help="sqlite:///FILE or postgresql://... of LangGraph's saver or store")
    moving.add_argument("target", help="URL of the store, as for open_store")
    given = parser.parse_args(arguments)
    try:
        with source_of(given.source) as source, open_store(given.target) as store:
            report = import_all(source, store)
    except ImportError as error:
        print(f"{error}. Install ciris-store-langgraph[import].", file=sys.stderr)
        return 2
    except StoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"imported {report.threads} threads with {report.checkpoints} checkpoints and {report.writes} writes, and "
        f"{report.items} items; left out {report.expired} expired items"
    )
    for each in report.different:
        print(f"differs: {each}", file=sys.stderr)
    return 1 if report.different else 0


if __name__ == "__main__":
    sys.exit(main())
