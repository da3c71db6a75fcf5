"""One row of the old database, converted value by value: invalid values are fixed and noted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.base import NamedEnum

E = TypeVar("E", bound=NamedEnum)

KEPT_UNDER = "ciris_engine"
"""The key in a record's ``metadata`` for values without a field."""

INT64 = range(-(2**63), 2**63)
_LONGEST_KEPT = 10_000
_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
_BEFORE_A_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_MILLISECONDS_FROM = 1e11
"""Larger numbers of seconds would be past the year 5000, so they are milliseconds."""


class EngineRow:
    """The values of a row by column. A column that an older database lacks counts as empty."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Wrap the values as the old database holds them."""
        self._values = values
        self.notes: list[str] = []
        """The fixed values, for the report."""
        self._kept: dict[str, Any] = {}

    # --- notes ----------------------------------------------------------------------------------

    def fixed(self, column: str, why: str, original: Any = None) -> None:
        """Note a fixed value, and keep its original with the record."""
        self.notes.append(f"{column}: {why}")
        if original is not None:
            self.keep(column, original)

    def keep(self, name: str, value: Any) -> None:
        """Keep a value without a field in the record's metadata."""
        self._kept[name] = value

    def metadata(self) -> dict[str, Any]:
        """Return the kept values as a record's ``metadata``."""
        if not self._kept:
            return {}
        kept = {name: _short(value) for name, value in self._kept.items()}
        return {KEPT_UNDER: self.clean("metadata", kept)}

    # --- values ---------------------------------------------------------------------------------

    def get(self, column: str) -> Any:
        """Return the stored value, or None."""
        value = self._values.get(column)
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value

    def text(self, column: str) -> str | None:
        """Return a text without NUL and lone surrogates, or None."""
        value = self.get(column)
        return None if value is None else self.clean(column, value if isinstance(value, str) else str(value))

    def required(self, column: str, default: str | None = None) -> str:
        """Return a required text; if it is empty, note and return the default, or raise ``InvalidArgument``."""
        found = self.text(column)
        if found:
            return found
        if default is None:
            raise InvalidArgument(f"{column} is empty")
        self.fixed(column, f"empty, became {default}")
        return default

    def whole(self, column: str, default: int, low: int, high: int | None = None) -> int:
        """Return a whole number within bounds; NULL becomes the default."""
        value = self.get(column)
        if value is None:
            return default
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            self.fixed(column, f"no whole number, became {default}", value)
            return default
        bounded = min(max(number, low), INT64[-1] if high is None else high)
        if bounded != number:
            self.fixed(column, f"out of bounds, became {bounded}", number)
        return bounded

    def number(self, column: str) -> float | None:
        """Return a finite number, or None."""
        value = self.get(column)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is None or math.isfinite(number):
            return number
        self.fixed(column, "no finite number, left out", str(value))
        return None

    def choice(self, column: str, kind: type[E], default: E, aliases: Mapping[str, E] | None = None) -> E:
        """Return a member of an enum. An unknown value becomes the default, with a note; NULL without one."""
        value = self.get(column)
        if value is None:
            return default
        try:
            known = (aliases or {}).get(str(value).lower())
            return known if known is not None else kind.parse(str(value).strip())
        except InvalidArgument:
            self.fixed(column, f"unknown, became {default}", value)
            return default

    # --- times ----------------------------------------------------------------------------------

    def time(self, column: str) -> datetime | None:
        """Return a time in UTC from any known format, or None; text in no known format is noted."""
        value = self.get(column)
        if value is None or value == "":
            return None
        found = parse_time(value)
        if found is None:
            self.fixed(column, "no time that can be read", value)
        return found

    def times(self, *columns: str) -> dict[str, datetime]:
        """Return required times; the first existing one replaces the others, with a note.

        Raises ``InvalidArgument`` if no time exists.
        """
        found = {column: self.time(column) for column in columns}
        best = next((value for value in found.values() if value is not None), None)
        if best is None:
            raise InvalidArgument(f"none of {', '.join(columns)} holds a time")
        for column in [column for column, value in found.items() if value is None]:
            self.notes.append(f"{column}: empty, filled in from another time of the row")
        return {column: value or best for column, value in found.items()}

    # --- JSON -----------------------------------------------------------------------------------

    def json(self, column: str) -> Any:
        """Return a JSON value that the store can hold, or None. Malformed JSON is kept as text."""
        value = self.get(column)
        if not isinstance(value, str):
            return self.clean(column, value)
        if not value.strip():
            return None
        try:
            return self.clean(column, json.loads(value))
        except (ValueError, RecursionError):
            self.fixed(column, "no JSON, kept as text", value)
            return None

    def json_object(self, column: str) -> dict[str, Any] | None:
        """Return a JSON object, or None. Another JSON value is kept apart, with a note."""
        value = self.json(column)
        if value is None or isinstance(value, dict):
            return value
        self.fixed(column, "no JSON object, kept apart", value)
        return None

    def clean(self, column: str, value: Any) -> Any:
        """Return the value without NUL, lone surrogates, NaN and integers beyond 64 bits, which no store can hold."""
        if isinstance(value, str):
            return self._clean_text(column, value)
        if isinstance(value, dict):
            return {self._clean_text(column, str(key)): self.clean(column, each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(column, each) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            self._note_once(f"{column}: NaN or infinity became null")
            return None
        if isinstance(value, int) and value not in INT64:
            self._note_once(f"{column}: an integer beyond 64 bits became text")
            return str(value)
        return value.isoformat() if isinstance(value, datetime) else value

    def _clean_text(self, column: str, value: str) -> str:
        if not _BAD_TEXT.search(value):
            return value
        self._note_once(f"{column}: NUL or broken UTF-8 became U+FFFD")
        return _BAD_TEXT.sub("\ufffd", value)

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def open_name(row: EngineRow, column: str, default: str) -> str:
    """Return a valid name of a type for any text: ``ConversationSummary`` becomes ``conversation_summary``."""
    given = row.text(column) or default
    words = given if given.isupper() else _BEFORE_A_CAPITAL.sub("_", given)
    name = _NOT_IN_A_NAME.sub("_", words.lower()).strip("_")[:60]
    name = name if name[:1].isalpha() else f"type_{name}"
    if name != given.lower():
        row.fixed(column, f"became {name}", given)
    return name


def parse_time(value: Any) -> datetime | None:
    """Return a time in UTC from the formats of the engine, its databases and their operators; None for any other.

    Times without a zone are UTC, as the engine and ``CURRENT_TIMESTAMP`` write them. Numbers count from 1970.
    """
    try:
        found = value if isinstance(value, datetime) else _from_number(value) or _from_text(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _from_number(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) and len(value.strip()) != 8 else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)


def _from_text(text: str) -> datetime:
    text = re.sub(r"\s*(UTC|GMT)$", "Z", text) if text[:1].isdigit() else text
    try:
        return datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return parsedate_to_datetime(text)


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_KEPT:
        return value[:_LONGEST_KEPT] + "…"
    return value
