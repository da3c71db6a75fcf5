"""Metadata hook of the build: a README whose links work on a package index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def readme_for_index(text: str, source: str | None, version: str) -> str:
    """Return the README with absolute links to that version's files; without a public source, with their titles."""
    link = r"\1" if source is None else rf"[\1]({source.rstrip('/')}/blob/v{version}/\2)"
    return RELATIVE.sub(link, text)


class CustomMetadataHook(MetadataHookInterface):
    """Hook that hatchling calls for the dynamic fields of ``pyproject.toml``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = readme_for_index(text, metadata.get("urls", {}).get("Source"), metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
