"""Artifacts of ADK: versions as streams, bytes as documents."""

from __future__ import annotations

from typing import Any

from google.adk.artifacts import artifact_util
from google.adk.artifacts.base_artifact_service import ArtifactVersion, BaseArtifactService, ensure_part
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

from ciris_store_adk.stores import OnStore
from ciris_store_core import StreamEntry, Transaction

_REFERENCES = 5
_EMPTY = types.Part()
# A session that is rewound saves this to hide an artifact that it did not have yet.
_HIDDEN = types.Part(inline_data=types.Blob(mime_type="application/octet-stream", data=b""))

Key = tuple[tuple[str, ...], str]


class CirisArtifactService(OnStore, BaseArtifactService):
    """Files of sessions, and of users (``user:`` before their names), each with its versions from 0.

    A version is stored in one transaction, its bytes as they are; they have at most 16 MiB.

    >>> runner = Runner(app_name="app", agent=agent, artifact_service=CirisArtifactService(store))
    """

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Store a new version and return its number."""
        part = ensure_part(artifact)
        stream = self._stream(app_name, user_id, session_id, filename)
        value = {"metadata": custom_metadata or {}, "mime_type": _mime_type(part, app_name, user_id, session_id)}
        saved: int = await self._store.run(self._save, stream, part, value)
        return saved

    def _save(self, tx: Transaction, stream: Key, part: types.Part, value: dict[str, Any]) -> int:
        data = part.inline_data.data if part.inline_data else None
        value["part"] = part.model_dump(mode="json", exclude_none=True, exclude={"inline_data": {"data"}})
        # The append locks the file, so that each version gets a number of its own.
        [position] = tx.streams.append(*stream, [value], secrets=self._mode)
        if data is not None:
            media_type = value["mime_type"]
            tx.documents.put(*_bytes(stream, position - 1), data, media_type=media_type, secrets=self._mode)
        return position - 1

    async def load_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> types.Part | None:
        """Return a version, the newest by default, or None. A reference to another artifact is followed."""
        for remaining in range(_REFERENCES, -1, -1):
            stream = self._stream(app_name, user_id, session_id, filename)
            part = await self._load(stream, version)
            if part is None or not artifact_util.is_artifact_ref(part):
                return None if part in (_EMPTY, _HIDDEN) else part
            assert part.file_data is not None and part.file_data.file_uri is not None
            app_name, user_id, session_id, filename, version = artifact_util.resolve_artifact_reference(
                file_uri=part.file_data.file_uri,
                app_name=app_name,
                user_id=user_id,
                session_id=session_id,
                remaining_depth=remaining,
            )
        return None

    async def _load(self, stream: Key, version: int | None) -> types.Part | None:
        entry = await self._entry(stream, version)
        if entry is None:
            return None
        part = types.Part.model_validate(entry.value["part"])
        if part.inline_data:
            stored = await self._store.documents.get(*_bytes(stream, entry.position - 1))
            if stored is None:
                return None
            part.inline_data.data = stored.value
        return part

    async def list_artifact_keys(self, *, app_name: str, user_id: str, session_id: str | None = None) -> list[str]:
        """Return the names of the files of a user, and of a session if one is given, in order."""
        found: list[str] = []
        for scope in ["user"] if session_id is None else ["user", "session"]:
            cursor = None
            while True:
                below = self._scope(app_name, user_id, session_id if scope == "session" else None)
                page = await self._store.streams.find(below, limit=1000, cursor=cursor)
                found += [each.name for each in page.items]
                if (cursor := page.next_cursor) is None:
                    break
        return sorted(found)

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Delete a file with all its versions."""
        stream = self._stream(app_name, user_id, session_id, filename)
        await self._store.run(self._delete, stream)

    def _delete(self, tx: Transaction, stream: Key) -> None:
        tx.streams.delete(*stream)
        tx.documents.delete_matching(_bytes(stream, 0)[0])

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """Return the numbers of the versions, in order."""
        info = await self._store.streams.info(*self._stream(app_name, user_id, session_id, filename))
        return [] if info is None else list(range(info.first_position - 1, info.last_position))

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[ArtifactVersion]:
        """Return what is stored about each version, in order."""
        stream = self._stream(app_name, user_id, session_id, filename)
        return [self._version(stream, each) async for each in self._store.streams.scan(*stream)]

    async def get_artifact_version(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> ArtifactVersion | None:
        """Return what is stored about a version, the newest by default, or None."""
        stream = self._stream(app_name, user_id, session_id, filename)
        entry = await self._entry(stream, version)
        return None if entry is None else self._version(stream, entry)

    async def _entry(self, stream: Key, version: int | None) -> StreamEntry | None:
        if version is None:
            return await self._store.streams.last(*stream)
        if version < 0:
            return None
        found = (await self._store.streams.read(*stream, after=version, limit=1)).items
        return found[0] if found and found[0].position == version + 1 else None

    def _version(self, stream: Key, entry: StreamEntry) -> ArtifactVersion:
        *_, app, user = stream[0][: len(self._root) + 3]
        session = f"/sessions/{stream[0][-1]}" if len(stream[0]) > len(self._root) + 3 else ""
        number = entry.position - 1
        return ArtifactVersion(
            version=number,
            canonical_uri=f"ciris://apps/{app}/users/{user}{session}/artifacts/{stream[1]}/versions/{number}",
            custom_metadata=entry.value["metadata"],
            create_time=entry.created_at.timestamp(),
            mime_type=entry.value["mime_type"],
        )

    def _stream(self, app: str, user: str, session: str | None, filename: str) -> Key:
        if filename.startswith("user:"):
            return self._scope(app, user, None), filename
        if session is None:
            raise InputValidationError("Session ID must be provided for session-scoped artifacts.")
        return self._scope(app, user, session), filename

    def _scope(self, app: str, user: str, session: str | None) -> tuple[str, ...]:
        kind = "file of user" if session is None else "file of session"
        return (*self._root, kind, app, user, *([] if session is None else [session]))


def _bytes(stream: Key, version: int) -> Key:
    return (*stream[0], stream[1]), str(version)


def _mime_type(part: types.Part, app: str, user: str, session: str | None) -> str | None:
    """Return the media type of a part, or None; raise ADK's ``InputValidationError`` if it can be no artifact."""
    if part.inline_data is not None:
        return part.inline_data.mime_type
    if part.text is not None:
        return "text/plain"
    if part.file_data is None:
        raise InputValidationError("Not supported artifact type.")
    if not artifact_util.is_artifact_ref(part):
        return part.file_data.mime_type
    uri = part.file_data.file_uri or ""
    target = artifact_util.parse_artifact_uri(uri)
    if target is None:
        raise InputValidationError(f"Invalid artifact reference URI: {uri}")
    artifact_util.validate_artifact_reference_scope(app_name=app, user_id=user, session_id=session, parsed_uri=target)
    return None
