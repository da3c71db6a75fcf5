"""Prefilter of detection: nearly no text can hold a secret, so its cost is the cost of detection."""

from __future__ import annotations

import re


def _table(kept: str, become: str) -> bytes:
    """For ``bytes.translate``: the kept characters become that one; all others a space."""
    return bytes(ord(become if chr(i) in kept else " ") for i in range(256))


_LETTERS_AND_DIGITS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_RUNS = _table(_LETTERS_AND_DIGITS + "_-", "x")
_RUN = b"x" * 18
_PURE_RUNS = _table(_LETTERS_AND_DIGITS, "x")
_PURE_RUN = b"x" * 16
_PURE = re.compile(r"[A-Za-z0-9]{16,}+", re.ASCII)
_GITLAB = re.compile(r"\bgl[a-z]{2,5}-", re.ASCII)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_CARD, _SSN = b"0" * 13, b"0" * 9


def suspicious(texts: str) -> bool:
    """Return whether there may be a secret of a built-in kind. Several texts may be joined by line breaks.

    It looks for traces: words, runs of characters that no language has, groups of digits. Each check is a call or two
    of C code over the whole text. The checks are written out, since a Python loop takes longer than the search itself.
    """
    low = texts.lower()
    if "pass" in low or "secret" in low or "pw" in low or "bearer" in low or "-----b" in low or "identified b" in low:
        return True
    if "curl" in low or " -p" in low or "login" in low or "senha" in low or "clave" in low or "contrase" in low:
        return True
    named = "key" in low or "token" in low
    if ":" in low or "=" in low or "</" in low:
        if (
            named or "cred" in low or "auth" in low or "pin" in low or "cv" in low or "card" in low or "phrase" in low
            or "mnemonic" in low or "kennw" in low or ("@" in low and "://" in low) or ("&" in low and "sig=" in low)
        ):  # fmt: skip
            return True
    elif named and ('"' in low or "_key" in low or "_token" in low or "--" in low or " is " in low):
        return True
    if not texts.isascii() and _in_another_script(low):
        return True
    raw = texts.encode("ascii", "replace")
    digits = raw.translate(_DIGITS, b" -.")
    if _SSN in digits and (_CARD in digits or b"000-00-0000" in raw.translate(_DIGITS) or "ss" in low or "soc" in low):
        return True
    if "pin" in low and " is " in low:
        return True
    return _RUN in raw.translate(_RUNS) and _like_a_token(texts, low, raw)


def _in_another_script(low: str) -> bool:
    """Return whether there is a word for a password. A search for one character is cheap, and excludes most scripts."""
    return (
        ("п" in low and "парол" in low) or "密" in low or "口令" in low or "パス" in low or "비밀" in low
        or "암호" in low
        or ("ك" in low and "كلمة" in low) or "पास" in low or "पासवर्ड" in low or "পাস" in low or "پاس" in low
        or "hasł" in low or "şifre" in low or "khẩu" in low
    )  # fmt: skip


def _like_a_token(texts: str, low: str, raw: bytes) -> bool:
    """Return whether a long run may be a token: it has no dashes for long, or begins like one that may have some."""
    if "sk-" in low or "aiza" in low or "xox" in low or "hv" in low or ":aa" in low or "eyj" in low:
        return True
    if "A3-" in texts or "access-" in low or "waka_" in low:
        return True
    if "gl" in low and _GITLAB.search(low):
        return True
    # Numbers, such as ids of chat platforms, are none.
    return _PURE_RUN in raw.translate(_PURE_RUNS) and any(not run.isdigit() for run in _PURE.findall(texts))
