"""The store of a service: given open, or opened by a URL that ADK passes on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ciris_store_core import AsyncStore, InvalidArgument, Store, open_store
from ciris_store_core.integrations.frameworks import secrets_mode

SCHEME_END = "://"

_lock = threading.Lock()
_opened: dict[str, AsyncStore] = {}


class OnStore:
    """The common base of the services."""

    def __init__(
        self,
        store: Store | AsyncStore | str | None = None,
        *,
        uri: str | None = None,
        namespace: Sequence[str] = ("adk",),
        **options: Any,
    ) -> None:
        """Work on an open store, which the caller closes, or on the one at a URI.

        Args:
            store: An open store.
            uri: ``ciris://`` before the URL of a store, as in ``ciris://sqlite:///agent.db``, as ADK's command line
                passes it on. The services of a process with one URI share the store, which is open until the process
                ends.
            namespace: Of all that the services write.
            options: Others of ADK's, such as ``agents_dir``, which no service needs.
        """
        if isinstance(store, str):
            store, uri = None, store
        if store is None:
            if uri is None:
                raise InvalidArgument(
                    "a service needs a store. Pass an open one, or an address such as 'ciris://sqlite:///agent.db'."
                )
            store = _shared(uri)
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._root = tuple(namespace)
        self._mode = secrets_mode(self._store.sync, "Google ADK")


def _shared(uri: str) -> AsyncStore:
    _, end, url = uri.partition(SCHEME_END)
    if not end or not url:
        raise InvalidArgument("the URI names no store. Write it as in ciris://sqlite:///agent.db.")
    with _lock:
        if url not in _opened:
            _opened[url] = AsyncStore(open_store(url))
        return _opened[url]
