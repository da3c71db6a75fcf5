"""Samples from many contexts, one a line, in ``forms/*.txt``.

``⟦...⟧`` encloses what must not be stored. ``{an40}`` and the like stand for random characters, so that no file holds
anything that a program looking for leaked keys would stop at; ``\\n`` stands for a line break. A line of JSON is a
sample twice: as a value and as text.
"""

from __future__ import annotations

import json
import re
import string
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.secrets.corpus import Maker, Sample

_FOLDER = Path(__file__).parent / "forms"
_SECRET = re.compile("⟦(.*?)⟧")
_RANDOM = re.compile(r"\{(an|us|hex|b64_|up|dig|uuid)(\d*)\}")
_PARTS: dict[str, Callable[[Maker, int], str]] = {
    "an": Maker.an,
    "us": lambda make, length: make.an(1) + make.us(length - 2) + make.an(1),
    "hex": Maker.hex,
    "b64_": Maker.b64,
    "up": lambda make, length: make.chars(string.ascii_uppercase + "234567", length),
    "dig": lambda make, length: make.chars("123456789", length),
    "uuid": lambda make, _: str(uuid.UUID(make.hex(32))),
}


def promised() -> list[Sample]:
    """Secrets of the kinds and in the forms that the documentation promises."""
    return list(_samples("promised", 11))


def usual() -> list[Sample]:
    """Secrets in other usual forms: options, elements, statements, other languages, what people say."""
    return list(_samples("usual", 12))


def vendors() -> list[Sample]:
    """Tokens that show by their form which service made them."""
    return list(_samples("vendors", 13))


def lookalikes() -> list[Sample]:
    """Texts without a secret."""
    return list(_samples("lookalikes", 14))


def _samples(name: str, seed: int) -> Iterator[Sample]:
    make = Maker(seed)
    for line in (_FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("# ") or not line:
            continue
        filled = _RANDOM.sub(lambda part: _PARTS[part[1]](make, int(part[2] or 0)), line).replace("\\n", "\n")
        secrets = tuple(_SECRET.findall(filled))
        text = _SECRET.sub(r"\1", filled)
        yield Sample(text, secrets, name)
        value = _as_json(text)
        if value is not None:
            yield Sample(value, secrets, name)


def _as_json(text: str) -> Any:
    if not text.startswith(('{"', '["')):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
