"""Values of documents and stream entries, as backends store them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PayloadFormat = Literal["json", "bytes", "encrypted"]


@dataclass(slots=True)  # frozen, each would take three times as long to make
class Payload:
    """A value as it is stored: the text of a JSON value, bytes, or the ciphertext of either.

    A backend stores and returns all fields exactly, and looks into none but ``searchable``.
    """

    format: PayloadFormat
    body: str | bytes
    """Text without NUL for ``json``, or its bytes in UTF-8 where lone surrogates are in it; bytes for the others."""
    searchable: str | None = None
    """JSON text that filters see; None: they see ``body``. Always None for ``bytes`` and ``encrypted``, which no filter
    finds. Given where the body is bytes, or holds a NUL (escaped) or a number that databases compare differently."""
    media_type: str | None = None
    """Media type of ``bytes``."""
    key_id: str | None = None
    """Id of the key that ``encrypted`` bytes are encrypted under."""
    secret_refs: tuple[str, ...] = ()
    """Ids of the secrets that the value refers to."""

    @property
    def filtered_text(self) -> str | None:
        """The JSON text that filters see; None if there is none."""
        if self.format != "json":
            return None
        return str(self.body) if self.searchable is None else self.searchable
