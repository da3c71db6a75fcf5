"""Detection takes time that grows with the length of a text and no faster, for hostile texts too."""

from __future__ import annotations

import random
import sys
import time
from types import FrameType
from typing import Any

import pytest

from ciris_store_core.secrets.detector import Detector
from ciris_store_core.secrets.references import reference

TYPED = reference("01890a5d-ac96-774b-bcce-b302099a8057", "password")

# Each is repeated to a long text.
PIECES = (
    "password: ", "password is ", "api key ", "token=", "sk-", "eyJ", "eyJaaaaaaaa.", "://", "://a:", "a://b@", "1-",
    "1 ", "12", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN ", "A ", "bearer ", "AIza-", "xox", "{SECRET:", "=", ":",
    "'", '":"', "a_-", "pass ", "secret to ", "111-", "111-11-", "hooks.slack.com/services/", ".", "\\", "key:'",
    "pin is ", "0", "x.", "Z9-", "password: hunter2 ", "password=hunter2xZ9 " + TYPED, TYPED, TYPED + "pass",
    "pw " + TYPED, "password=" + TYPED + "hunter2xZ9 ", "-----BEGIN PRIVATE KEY-----" + TYPED,
    "{SECRET:01890a5d-ac96-774b-bcce-b302099a",
    "4111 1111 1111 1111 ", "4111.", "1.1.", "536-22-1234 ", "ssn ", "ssn: 1", "social security number ", "<password>",
    "<password>x</password>", "<password a='", "</", "<a <a ", '<add key="password" ', "&quot;password&quot;:",
    "&quot;",
    "curl -u ", "curl ", "curl -u a:b", "mysql -p", "mysql ", "--password ", "--password=", "-p ", " -",
    "identified by ",
    "identified by 'a", "use the password ", "the password ", "use ", "пароль ", "пароль: ", "密码", "密码：", "是",
    "{api_key: {", '"api_key": {"a": ', "password: {", "[", "ghp_", "ghp_a ", "A" * 24 + " ", "0123456789abcdef", "SG.",
    "password of the big new red wiki ", "token token token ", "secret: \n", "é", "\ue000", "a" * 65 + "=", "AKIA",
    "X-Amz-Signature=", "?sig=", "@", "://a:b@c ", "pwd/", "user: bob / ", "-----END ", "PuTTY-User-Key-File-2: ", "\n",
)  # fmt: skip

LENGTH = 6000


def mixtures() -> list[str]:
    chooser = random.Random(3)
    return ["".join(chooser.choices(PIECES, k=3)) for _ in range(12)]


TEXTS = [*PIECES, *mixtures()]
KNOWN = Detector()


def of_length(piece: str, length: int) -> str:
    return piece * max(1, length // len(piece))


def steps(text: str) -> int:
    """Steps of Python code that finding takes: exact, and the same in every run."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        KNOWN.find(text)
    finally:
        sys.settrace(before)
    return count


def seconds(text: str) -> float:
    began = time.thread_time()
    KNOWN.find(text)
    return time.thread_time() - began


def test_there_are_enough_of_them() -> None:
    assert len({*TEXTS}) >= 80


@pytest.mark.parametrize("piece", TEXTS, ids=range(len(TEXTS)))
def test_python_code_takes_steps_in_proportion(piece: str) -> None:
    once, more = steps(of_length(piece, LENGTH // 3)), steps(of_length(piece, 4 * LENGTH // 3))
    assert more < 4 * 1.5 * once + 3000, repr(piece[:40])


@pytest.mark.parametrize("piece", TEXTS, ids=range(len(TEXTS)))
def test_expressions_take_time_in_proportion(piece: str) -> None:
    """Four times the text would take sixteen times as long, were it quadratic; any of three tries may show less."""
    short, long = of_length(piece, 2 * LENGTH), of_length(piece, 8 * LENGTH)
    for _ in range(3):
        once = min(seconds(short) for _ in range(3))
        if seconds(long) < 4 * 2.5 * once + 0.002:
            return
    pytest.fail(f"time grows faster than the text: {piece[:40]!r}")
