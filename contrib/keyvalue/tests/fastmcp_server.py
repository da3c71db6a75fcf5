"""A FastMCP server whose OAuth state is in a store: python fastmcp_server.py URL PORT PUBLIC_ADDRESS UPSTREAM."""

from __future__ import annotations

import sys

from ciris_store_keyvalue import CirisKeyValue
from fastmcp import FastMCP
from fastmcp.server.auth.oauth_proxy import OAuthProxy
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier

from ciris_store_core import open_store

_, url, port, public, upstream = sys.argv
with open_store(url) as store:
    auth = OAuthProxy(
        upstream_authorization_endpoint=f"{upstream}/authorize",
        upstream_token_endpoint=f"{upstream}/token",
        upstream_client_id="us",
        upstream_client_secret="a secret of the upstream",
        token_verifier=StaticTokenVerifier({"upstream-token": {"client_id": "us", "scopes": []}}),
        base_url=public,
        jwt_signing_key="one key for both processes",
        client_storage=CirisKeyValue(store),
        require_authorization_consent=False,
    )
    server = FastMCP("tea", auth=auth)

    @server.tool
    def brew() -> str:
        """Brew tea."""
        return "a cup of tea"

    server.run("http", host="127.0.0.1", port=int(port), show_banner=False)
