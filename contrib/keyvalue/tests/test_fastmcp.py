from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from ciris_store_keyvalue import CirisKeyValue
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.middleware.caching import ResponseCachingMiddleware

from ciris_store_core import Store, open_store

SERVER = Path(__file__).with_name("fastmcp_server.py")


def test_a_response_cache_is_shared_by_servers(store: Store) -> None:
    brewed: list[str] = []

    def server() -> FastMCP:
        made = FastMCP("tea")
        made.add_middleware(ResponseCachingMiddleware(cache_storage=CirisKeyValue(store)))

        @made.tool
        def brew(leaf: str) -> str:
            brewed.append(leaf)
            return f"a cup of {leaf}"

        return made

    async def main() -> None:
        for _ in range(2):
            async with Client(server()) as client:
                for leaf in ("Assam", "Sencha"):
                    assert (await client.call_tool("brew", {"leaf": leaf})).data == f"a cup of {leaf}"
                assert [tool.name for tool in await client.list_tools()] == ["brew"]

    asyncio.run(main())
    assert brewed == ["Assam", "Sencha"]
    assert store.documents.count(("keyvalue",)) >= 2


class Upstream(BaseHTTPRequestHandler):
    """An identity provider that gives everybody the same token."""

    def do_POST(self) -> None:
        body = json.dumps({"access_token": "upstream-token", "token_type": "Bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def upstream() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)  # for another process, whose clock cannot be ours


def test_oauth_goes_on_at_another_server_process(tmp_path: Path) -> None:
    """Each step of a login is served by the other one of two processes, which share nothing but the store."""
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url):
        pass
    ports = [free_port(), free_port()]
    one, other = (f"http://127.0.0.1:{port}" for port in ports)
    back = "http://127.0.0.1:1/callback"
    verifier = "v" * 64
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    with ExitStack() as stack:
        idp = stack.enter_context(upstream())
        processes = []
        for port in ports:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, SERVER, url, str(port), one, idp],
                    env={"PYTHONPATH": ":".join(path for path in sys.path if path), "HOME": str(tmp_path)},
                )
            )
            stack.callback(process.terminate)
            processes.append(process)
        for port, process in zip(ports, processes, strict=True):
            wait_for(port, process)
        http = stack.enter_context(httpx.Client(timeout=60))
        registered = http.post(
            f"{one}/register",
            json={"redirect_uris": [back], "grant_types": ["authorization_code", "refresh_token"],
                  "response_types": ["code"], "token_endpoint_auth_method": "none", "client_name": "test"},
        )  # fmt: skip
        assert registered.status_code == 201, registered.text
        client_id = registered.json()["client_id"]
        asked = http.get(
            f"{other}/authorize",
            params={"client_id": client_id, "redirect_uri": back, "response_type": "code", "state": "mine",
                    "code_challenge": challenge, "code_challenge_method": "S256"},
        )  # fmt: skip
        assert asked.status_code == 302 and asked.headers["location"].startswith(idp), asked.text
        state = parse_qs(urlsplit(asked.headers["location"]).query)["state"][0]
        returned = http.get(f"{one}/auth/callback", params={"code": "of the upstream", "state": state})
        assert returned.status_code == 302 and returned.headers["location"].startswith(back), returned.text
        answer = parse_qs(urlsplit(returned.headers["location"]).query)
        assert answer["state"] == ["mine"]
        given = http.post(
            f"{other}/token",
            data={"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": back,
                  "client_id": client_id, "code_verifier": verifier},
        )  # fmt: skip
        assert given.status_code == 200, given.text
        token = given.json()["access_token"]

        async def use(address: str) -> str:
            transport = StreamableHttpTransport(f"{address}/mcp", headers={"Authorization": f"Bearer {token}"})
            async with Client(transport) as client:
                return (await client.call_tool("brew", {})).data

        assert asyncio.run(use(one)) == asyncio.run(use(other)) == "a cup of tea"
        assert http.post(f"{one}/mcp", headers={"Authorization": "Bearer none"}, json={}).status_code == 401
