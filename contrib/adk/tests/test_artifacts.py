from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ciris_store_adk import CirisArtifactService
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

from ciris_store_core import Store

A: Any = {"app_name": "app", "user_id": "ada"}
S: Any = {**A, "session_id": "s"}


def test_artifacts(store: Store) -> None:
    async def main() -> None:
        files = CirisArtifactService(store)
        data = bytes(range(256))
        picture = types.Part(inline_data=types.Blob(mime_type="image/png", data=data, display_name="p"))
        assert (
            await files.load_artifact(**S, filename="f") is None and await files.list_versions(**S, filename="f") == []
        )
        assert await files.save_artifact(**S, filename="f", artifact=picture, custom_metadata={"a": 1}) == 0
        assert await files.save_artifact(**S, filename="f", artifact={"text": "two"}) == 1
        assert await files.save_artifact(**A, filename="user:u", artifact=picture) == 0
        assert await files.load_artifact(**S, filename="f") == types.Part(text="two")
        assert await files.load_artifact(**S, filename="f", version=0) == picture
        assert await files.load_artifact(**S, filename="f", version=2) is None
        assert await files.load_artifact(**S, filename="user:u") == picture
        assert await files.list_artifact_keys(**S) == ["f", "user:u"] and await files.list_artifact_keys(**A) == [
            "user:u"
        ]
        assert await files.list_versions(**S, filename="f") == [0, 1]
        first, second = await files.list_artifact_versions(**S, filename="f")
        assert (first.version, first.mime_type, first.custom_metadata) == (0, "image/png", {"a": 1})
        assert second.mime_type == "text/plain" and second.canonical_uri.endswith("/sessions/s/artifacts/f/versions/1")
        assert await files.get_artifact_version(**S, filename="f") == second
        assert await files.get_artifact_version(**S, filename="f", version=-1) is None
        await files.delete_artifact(**S, filename="f")
        assert (
            await files.list_artifact_keys(**S) == ["user:u"] and await files.load_artifact(**S, filename="f") is None
        )
        assert await files.save_artifact(**S, filename="f", artifact=types.Part(text="new")) == 0
        with pytest.raises(InputValidationError):
            await files.save_artifact(**A, filename="f", artifact=picture)
        with pytest.raises(InputValidationError):
            await files.save_artifact(**S, filename="f", artifact=types.Part())

    asyncio.run(main())


def test_versions_and_references_of_artifacts(store: Store) -> None:
    async def main() -> None:
        files = CirisArtifactService(store)
        text = types.Part(text="x")
        numbers = await asyncio.gather(*(files.save_artifact(**S, filename="f", artifact=text) for _ in range(10)))
        assert sorted(numbers) == list(range(10))

        def reference(user: str, name: str) -> types.Part:
            uri = f"artifact://apps/app/users/{user}/sessions/s/artifacts/{name}/versions/0"
            return types.Part(file_data=types.FileData(file_uri=uri))

        await files.save_artifact(**S, filename="link", artifact=reference("ada", "f"))
        assert await files.load_artifact(**S, filename="link") == text
        with pytest.raises(InputValidationError):
            await files.save_artifact(**S, filename="link", artifact=reference("bob", "f"))
        await files.save_artifact(**S, filename="loop", artifact=reference("ada", "loop"))
        with pytest.raises(InputValidationError):
            await files.load_artifact(**S, filename="loop")
        hidden = types.Part(inline_data=types.Blob(mime_type="application/octet-stream", data=b""))
        await files.save_artifact(**S, filename="f", artifact=hidden)
        assert await files.load_artifact(**S, filename="f") is None

    asyncio.run(main())
