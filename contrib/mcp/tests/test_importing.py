from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ciris_store_mcp.cli import main, serve
from ciris_store_mcp.reading import read_graph
from test_mcp import ADA, BOB, KNOWS, REFERENCE, in_order

from ciris_store_core import open_store

#: The reference server's entry point, such as node_modules/@modelcontextprotocol/server-memory/dist/index.js.
REFERENCE_SERVER = os.environ.get("MCP_REFERENCE_SERVER")


def test_a_file_of_the_reference_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, url = tmp_path / "memory.jsonl", f"sqlite:///{tmp_path}/store.db"
    lines: list[dict[str, Any]] = [{"type": "entity", **ADA}, {"type": "entity", **BOB}, {"type": "relation", **KNOWS}]
    lines += [{"type": "relation", **KNOWS, "to": "nobody"}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert main(["import", str(file), url]) == 1
    told = capsys.readouterr()
    assert told.out == "imported 2 entities and 1 relations; left out 1 relations\n"
    assert told.err == "left out: Ada knows nobody: an end is missing\n"
    with open_store(url) as store:
        graph = read_graph(store, "local", 8000, None)
        assert in_order(graph) == in_order({"entities": [ADA, BOB], "relations": [KNOWS]})
    assert main(["import", str(file), url]) == 1
    assert capsys.readouterr().out == "imported 0 entities and 0 relations; left out 1 relations\n"


def test_a_wrong_file_imports_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, url = tmp_path / "memory.jsonl", f"sqlite:///{tmp_path}/store.db"
    file.write_text(json.dumps({"type": "entity", **ADA}) + "\n{\n")
    assert main(["import", str(file), url]) == 2
    assert "line 2" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none"), url]) == 2
    with open_store(url) as store:
        assert store.graph.count() == 0


def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve(["--http", "8000"])
    assert "--http must be HOST:PORT" in capsys.readouterr().err


@pytest.mark.skipif(not REFERENCE_SERVER or shutil.which("node") is None, reason="needs MCP_REFERENCE_SERVER and node")
def test_the_expected_results_are_those_of_the_reference_server(tmp_path: Path) -> None:
    import asyncio

    from mcp import Client
    from mcp.client.stdio import StdioServerParameters

    file = tmp_path / "memory.jsonl"
    command = StdioServerParameters(command="node", args=[str(REFERENCE_SERVER)], env={"MEMORY_FILE_PATH": str(file)})

    async def run() -> None:
        async with Client(command, mode="legacy") as client:
            for tool, arguments, expected in REFERENCE:
                result = await client.call_tool(tool, arguments)
                assert not result.is_error and result.structured_content == expected, (tool, arguments)
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools.keys() == {name for name, *_ in REFERENCE}

    asyncio.run(run())
    done = subprocess.run(
        [sys.executable, "-m", "ciris_store_mcp.cli", "import", file, f"sqlite:///{tmp_path}/store.db"],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "imported 1 entities and 0 relations; left out 0 relations\n", done.stderr
