"""No frame of a refused URL shows the password, as error reports with locals would."""

from __future__ import annotations

from types import TracebackType

import pytest

from ciris_store_core.errors import InvalidURL, StoreError
from ciris_store_core.url import resolve_url
from ciris_store_postgres.connect import ConnectOptions

PASSWORD = "s3cretXq9"


@pytest.mark.parametrize(
    "option",
    ["sslmode=maybe", "connect_timeout=x", "nothing=1", "pool_size=0", "schema=a.b", "keepalives=2", "migrate=perhaps",
     "idle_check=-1", "load_balance_hosts=x"],
)  # fmt: skip
def test_a_refused_option(option: str) -> None:
    url = resolve_url(f"postgresql://user:{PASSWORD}@host/db?{option}")
    with pytest.raises(StoreError) as caught:
        ConnectOptions.from_url(url)
    assert isinstance(caught.value, InvalidURL) and PASSWORD not in str(caught.value)
    seen = frames_of(caught.value.__traceback__)
    assert len(seen) > 1 and not [name for name, text in seen if PASSWORD in text]


def frames_of(traceback: TracebackType | None) -> list[tuple[str, str]]:
    """Function and locals of each frame but this test's own."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name != "test_a_refused_option":
            found.append((code.co_qualname, repr(traceback.tb_frame.f_locals)))
        traceback = traceback.tb_next
    return found
