"""The corpus's URLs: each is understood or refused with a typed error, and no password is ever shown."""

from __future__ import annotations

import traceback

import pytest

from ciris_store_core import StoreError, Unavailable, open_store
from ciris_store_core.errors import InvalidURL
from ciris_store_core.url import resolve_url

SECRET = "hunter2"

UNDERSTOOD = {
    f"postgresql://u:{SECRET}@x@h/d": f"{SECRET}@x",
    f"postgresql://u:{SECRET}/x@h/d": f"{SECRET}/x",
    f"postgresql://u:{SECRET}%zz@h/d": f"{SECRET}%zz",
    f"postgresql://u:{SECRET}%23%3F@h/d": f"{SECRET}#?",
    f"postgresql://u:{SECRET}:[x]@h/d": f"{SECRET}:[x]",
}
REFUSED = [
    f"postgresql://u:{SECRET}#x@h/d",
    f"postgresql://u:{SECRET}?x@h/d",
    f"postgresql://u:{SECRET}@[::1/d",
    f"postgresql://u:{SECRET}@[::zz]/d",
    f"postgresql://u:{SECRET}@h:port/d",
    f"postgresql://u:{SECRET}@h:99999/d",
    f"postgresql://u:{SECRET}@h/d?no_such_option=1",
    f"nosuchscheme://u:{SECRET}@h/d",
    "sqlite:///",
    "sqlite:///no/such/folder/x.db",
    "sqlite:///x.db?no_such_option=1",
    "sqlite:///x#y.db",
    "sqlite:///x?y.db",
    f"host=h dbname=d user=u password={SECRET}",
    f"postgresql://u:{SECRET}@h/d&sslmode=require",
    f"postgresql://u:{SECRET}@h/d?schema=information_schema",
    f"postgresql://u:{SECRET}@h/d?schema=pg_x",
    "sqlite:///a\0b",
    "",
    " ",
]
UNREACHABLE = f"postgresql://u:{SECRET}@127.0.0.1:1/d?connect_timeout=2"


@pytest.mark.parametrize("url", UNDERSTOOD)
def test_a_password_is_read_to_the_last_at_sign(url: str) -> None:
    parsed = resolve_url(url)
    assert parsed.password == UNDERSTOOD[url]
    assert SECRET not in f"{parsed} {parsed!r}"


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        open_store(url)
    assert SECRET not in told(caught.value)


def test_the_scheme_is_read_in_any_case(tmp_path: object) -> None:
    with open_store(f"SQLITE:///{tmp_path}/x.db") as store:
        assert store.is_empty()


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(Unavailable) as caught:
        open_store(UNREACHABLE)
    assert SECRET not in told(caught.value)


def told(error: StoreError) -> str:
    """Everything that a log may show of an error: causes, and local variables along the way."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [line for line in shown.format() if "tests/reliability" not in line]
    return "".join(ours)
