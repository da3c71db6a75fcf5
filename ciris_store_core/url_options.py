"""The options after the ``?`` of a database URL, read with their types by a backend."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ciris_store_core.errors import InvalidURL

if TYPE_CHECKING:
    from ciris_store_core.url import StoreURL

D = TypeVar("D")
N = TypeVar("N", int, float)

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_SECRET_INSIDE = re.compile(rf"(?:{_SECRET_NAME.pattern})[^=]{{0,20}}=|:[^/]*@", re.IGNORECASE)
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SHOWN_CHARACTERS = 40


def is_secret_option(name: str, value: str) -> bool:
    """Whether an option must not be shown: it is named like a secret, or its value holds such an option or a URL."""
    return bool(_SECRET_NAME.search(name) or _SECRET_INSIDE.search(value)) or "://" in value


class OptionReader:
    """Takes a URL's options one by one, each with its type, then refuses what is left over.

    Every method returns ``default`` where the URL does not give the option, and raises ``InvalidURL``,
    saying what would be valid, where it cannot be read. Call ``finish()`` when all are taken.
    """

    def __init__(self, url: StoreURL) -> None:
        """Read the options of ``url``."""
        self._options = url.options
        self._known: list[str] = []

    def text(self, name: str, default: D) -> str | D:
        """Any text, also the empty one."""
        self._known.append(name)
        return self._options.get(name, default)

    def boolean(self, name: str, default: D) -> bool | D:
        """One of true, yes, on, 1, false, no, off, 0, in upper or lower case."""
        value = self.text(name, None)
        if value is None:
            return default
        if value.lower() not in _WORDS:
            raise self._invalid(name, value, "true or false")
        return _WORDS[value.lower()]

    def integer(self, name: str, default: D, min: int | None = None, max: int | None = None) -> int | D:
        """A whole number from ``min`` to ``max``, both included."""
        value = self.text(name, None)
        if value is None:
            return default
        wanted = "a whole number" + _bounds(min, max)
        if not _INTEGER.fullmatch(value):
            raise self._invalid(name, value, wanted)
        return self._within(name, int(value), min, max, wanted)

    def number(self, name: str, default: D, min: float | None = None, max: float | None = None) -> float | D:
        """A finite number from ``min`` to ``max``, both included."""
        value = self.text(name, None)
        if value is None:
            return default
        wanted = "a number" + _bounds(min, max)
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise self._invalid(name, value, wanted)
        return self._within(name, float(value), min, max, wanted)

    def choice(self, name: str, default: D, choices: Iterable[str]) -> str | D:
        """One of ``choices``, exactly as written there."""
        value = self.text(name, None)
        if value is None:
            return default
        valid = list(choices)
        if value not in valid:
            raise self._invalid(name, value, "one of " + ", ".join(valid))
        return value

    def identifier(self, name: str, default: D) -> str | D:
        """A name that is safe within SQL: ``[a-z_]`` then up to 62 of ``[a-z0-9_]``."""
        value = self.text(name, None)
        if value is None:
            return default
        if not _IDENTIFIER.fullmatch(value):
            raise self._invalid(name, value, "up to 63 of a-z, 0-9 and _, not beginning with a digit")
        return value

    def finish(self) -> None:
        """Raise ``InvalidURL`` where the URL gives options that were not taken, naming them and the valid ones."""
        unknown = [name for name in self._options if name not in self._known]
        if not unknown:
            return
        hints = "".join(map(self._hint, unknown))
        valid = ", ".join(sorted(self._known)) or "none"
        raise InvalidURL(f"unknown URL option: {', '.join(unknown)}.{hints} Valid here: {valid}")

    def _hint(self, unknown: str) -> str:
        close = difflib.get_close_matches(unknown, self._known, 1)
        return f" Did you mean {close[0]!r} instead of {unknown!r}?" if close else ""

    def _within(self, name: str, value: N, low: float | None, high: float | None, wanted: str) -> N:
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._invalid(name, str(value), wanted)
        return value

    @staticmethod
    def _invalid(name: str, value: str, wanted: str) -> InvalidURL:
        shown = "***" if is_secret_option(name, value) else repr(value[:_SHOWN_CHARACTERS])
        return InvalidURL(f"the URL option {name!r} must be {wanted}, not {shown}")


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low}"
    return f" of at most {high}" if low is None else f" from {low} to {high}"
