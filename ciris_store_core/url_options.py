"""Options after the ``?`` of a database URL, as a backend reads them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from ciris_store_core.errors import InvalidURL

D = TypeVar("D")
N = TypeVar("N", int, float)

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_SECRET_INSIDE = re.compile(rf"(?:{_SECRET_NAME.pattern})[^=]{{0,20}}=|:[^/]*@", re.IGNORECASE)
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_SHOWN_CHARACTERS = 40


def is_secret_option(name: str, value: str) -> bool:
    """Return whether to hide an option: its name is a secret's, or its value holds such an option or a URL."""
    return bool(_SECRET_NAME.search(name) or _SECRET_INSIDE.search(value)) or "://" in value


class OptionReader:
    """Typed access to the options of a URL, which refuses unknown options.

    Every method returns ``default`` if the URL does not give the option, and raises ``InvalidURL``, naming the valid
    values, if the value is malformed. Call ``finish()`` after the last one.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        """Read the ``options`` of a ``StoreURL``."""
        self._options = options
        self._known: list[str] = []

    def text(self, name: str, default: D) -> str | D:
        """Return any text, also the empty one."""
        self._known.append(name)
        return self._options.get(name, default)

    def boolean(self, name: str, default: D) -> bool | D:
        """Return a truth value: one of true, yes, on, 1, false, no, off, 0, in upper or lower case."""
        value = self.text(name, None)
        if value is None:
            return default
        if value.lower() not in _WORDS:
            raise self._invalid(name, value, "true or false")
        return _WORDS[value.lower()]

    def integer(self, name: str, default: D, min: int | None = None, max: int | None = None) -> int | D:
        """Return a whole number from ``min`` to ``max``, both included."""
        value = self.text(name, None)
        if value is None:
            return default
        wanted = "a whole number" + _describe_bounds(min, max)
        if not _INTEGER.fullmatch(value):
            raise self._invalid(name, value, wanted)
        return self._check_range(name, int(value), min, max, wanted)

    def number(self, name: str, default: D, min: float | None = None, max: float | None = None) -> float | D:
        """Return a finite number from ``min`` to ``max``, both included."""
        value = self.text(name, None)
        if value is None:
            return default
        wanted = "a number" + _describe_bounds(min, max)
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise self._invalid(name, value, wanted)
        return self._check_range(name, float(value), min, max, wanted)

    def choice(self, name: str, default: D, choices: Iterable[str]) -> str | D:
        """Return one of ``choices``, exactly as written there."""
        value = self.text(name, None)
        if value is None:
            return default
        valid = list(choices)
        if value not in valid:
            raise self._invalid(name, value, "one of " + ", ".join(valid))
        return value

    def identifier(self, name: str, default: D) -> str | D:
        """Return a name that is safe within quotes in SQL: ``[a-z_]`` then up to 62 of ``[a-z0-9_-]``."""
        value = self.text(name, None)
        if value is None:
            return default
        if not _IDENTIFIER.fullmatch(value):
            raise self._invalid(name, value, "up to 63 of a-z, 0-9, _ and -, beginning with a letter or _")
        return value

    def finish(self) -> None:
        """Raise ``InvalidURL``, naming the valid options, if the URL gives one that no method was called for."""
        unknown = [name for name in self._options if name not in self._known]
        if not unknown:
            return
        hints = "".join(map(self._suggest, unknown))
        advice = f"Use one of: {', '.join(sorted(self._known))}." if self._known else "Leave it out."
        raise InvalidURL(f"unknown URL option: {', '.join(unknown)}.{hints} {advice}")

    def _suggest(self, unknown: str) -> str:
        close = difflib.get_close_matches(unknown, self._known, 1)
        return f" Did you mean {close[0]!r} instead of {unknown!r}?" if close else ""

    def _check_range(self, name: str, value: N, low: float | None, high: float | None, wanted: str) -> N:
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._invalid(name, str(value), wanted)
        return value

    @staticmethod
    def _invalid(name: str, value: str, wanted: str) -> InvalidURL:
        shown = "***" if is_secret_option(name, value) else repr(value[:_SHOWN_CHARACTERS])
        return InvalidURL(f"the URL option {name!r} must be {wanted}, not {shown}")


def _describe_bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low}"
    return f" of at most {high}" if low is None else f" from {low} to {high}"
