from __future__ import annotations

import pytest

from ciris_store_core import Corrupt, Page, Unreadable
from ciris_store_core.api.common import all_pages, identical

BROKEN = Unreadable("t1", "bad JSON")
PAGES = {None: Page([1, 2], "next"), "next": Page([4], None, [BROKEN])}


def test_a_scan_never_hides_a_row_that_cannot_be_read() -> None:
    with pytest.raises(Corrupt, match="'t1' cannot be read"):
        list(all_pages(PAGES.__getitem__, None))
    seen: list[Unreadable] = []
    assert list(all_pages(PAGES.__getitem__, seen.append)) == [1, 2, 4] and seen == [BROKEN]


@pytest.mark.parametrize(
    ("a", "b"), [(1, 1.0), (1, True), ({"a": [0]}, {"a": [False]}), ([1], [1, 2]), ({"a": 1}, {"b": 1}), ("1", 1)]
)
def test_values_that_json_keeps_apart_are_not_identical(a: object, b: object) -> None:
    assert identical(a, a) and identical(b, b) and not identical(a, b) and not identical(b, a)
