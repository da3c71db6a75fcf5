"""Detection of secrets in texts and in the keys and texts of JSON values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.secrets.names import pattern_of
from ciris_store_core.secrets.patterns import BUILT_IN, SecretPattern
from ciris_store_core.secrets.prefilter import suspicious
from ciris_store_core.secrets.spans import Collapsed, Match, Matches, fill, outside, reference_spans

_MOST_KEYS = 10_000


class Detector:
    """Detector of secrets of the built-in kinds and of further patterns. Safe to use from many threads."""

    def __init__(self, patterns: Iterable[SecretPattern] = (), without: Collection[str] = ()) -> None:
        """Detect ``patterns`` beside the built-in kinds, except those that ``without`` names."""
        self._own = tuple(patterns)
        unknown = [name for name in without if name not in BUILT_IN]
        if isinstance(without, str) or unknown:
            raise InvalidArgument(
                f"without: {ascii(unknown or without)[:80]} is not built in. Choose from {', '.join(sorted(BUILT_IN))}."
            )
        self._without = frozenset(without)
        self._plain_keys: set[str] = set()

    @cached_property
    def _searches(self) -> list[Callable[[str], Matches]]:
        # Imported at the first suspicious text: the import compiles all expressions, which takes longer than opening
        # a store, and a program that writes nothing suspicious never needs them.
        from ciris_store_core.secrets.searches import SEARCHES

        return [search for kinds, search in SEARCHES if not self._without.issuperset(kinds)]

    def harmless(self, texts: list[str], keys: Iterable[str] = ()) -> bool:
        """Return True if there is nothing to find in these texts and under these keys; False is only a suspicion."""
        return (
            (self._plain_keys.issuperset(keys) or all(map(self._is_plain, keys)))
            and not suspicious("\n".join(texts))
            and not any(self._find_own(text) for text in texts if self._own)
        )

    def _is_plain(self, name: str) -> bool:
        """Return whether a key says nothing of its value, and holds no secret itself."""
        return self.key(name) is None and name in self._plain_keys

    def key(self, name: str) -> SecretPattern | None:
        """Return the kind of secret that the key of a JSON object names for its value."""
        if name in self._plain_keys:
            return None
        pattern = pattern_of(name)
        if pattern is not None and pattern.name not in self._without:
            return pattern
        # A key that may be a secret itself must not be kept in memory.
        if len(name) < 100 and not suspicious(name) and not self._find_own(name):
            if len(self._plain_keys) >= _MOST_KEYS:
                self._plain_keys.clear()
            self._plain_keys.add(name)
        return None

    def find(self, text: str) -> list[Match]:
        """Return the secrets in a text, in order, without overlaps. Of a secret around references, return the parts."""
        found = self._find_built_in(text) + self._find_own(text)
        found = [match for match in found if match.pattern.name not in self._without and match.start < match.end]
        if not found:
            return []
        kept = _merge(sorted(found, key=lambda match: (match.start, -match.end)))
        return outside(kept, reference_spans(text), text)

    def _find_built_in(self, text: str) -> list[Match]:
        if not suspicious(text):
            return []
        spans = reference_spans(text)
        if not spans:
            return [match for search in self._searches for match in search(text)]
        # The text is searched with each reference as part of a value, and again without the references, as a reference
        # may stand at the beginning, at the end or in the middle of a secret.
        filled = fill(text, spans)
        found = [match for search in self._searches for match in search(filled)]
        return found + list(self._find_collapsed(Collapsed(text, spans)))

    def _find_collapsed(self, collapsed: Collapsed) -> Iterator[Match]:
        from ciris_store_core.secrets.searches import BY_NAME

        for search in self._searches:
            for match in search(collapsed.text):
                if search not in BY_NAME or not collapsed.is_beside(match.start):
                    yield Match(*collapsed.original(match.start, match.end), match.pattern)

    def _find_own(self, text: str) -> list[Match]:
        return [
            Match(*match.span("secret" if "secret" in match.re.groupindex else 0), pattern)
            for pattern in self._own
            for match in re.finditer(pattern.regex, text)
        ]


def _merge(found: list[Match]) -> list[Match]:
    """Merge matches that overlap into one, of the kind of the first and longest."""
    kept: list[Match] = []
    for match in found:
        if kept and match.start < kept[-1].end:
            if match.end > kept[-1].end:  # No part of a secret may be left over.
                kept[-1] = kept[-1]._replace(end=match.end)
        else:
            kept.append(match)
    return kept
