"""What somebody with access to the database itself may do to an audit trail, past the store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ciris_store_core import AuditEntry, Store
from ciris_store_core.api.audit_chain import entry_hash
from ciris_store_core.inmemory.backend import MemorySession
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.stores.backend import Session

_DELETE = "DELETE FROM {audit_entries} WHERE chain = ? AND sequence = ?"
_DELETE_ANCHOR = "DELETE FROM {audit_anchors} WHERE chain = ?"


@contextmanager
def past_the_store(store: Store) -> Iterator[Any]:
    """A writing session of the backend itself."""
    with store._backend.session(write=True) as session:
        yield session


def delete(session: Session, chain: str, *sequences: int) -> None:
    """Remove entries."""
    if isinstance(session, MemorySession):
        assert session._tables.entries.delete([(chain, number) for number in sequences]) == len(sequences)
        return
    for number in sequences:
        assert session.run(_DELETE, (chain, number)) == 1  # type: ignore[attr-defined]


def delete_anchor(session: Session, chain: str) -> None:
    """Remove the anchor."""
    if isinstance(session, MemorySession):
        assert session._tables.anchors.delete([chain]) == 1
    else:
        assert session.run(_DELETE_ANCHOR, (chain,)) == 1  # type: ignore[attr-defined]


def entries_of(session: Session, chain: str) -> dict[int, AuditEntry]:
    """By sequence."""
    return {entry.sequence: entry for entry in session.audit.find(AuditQuery(10_000, chain=chain)).items}


def rewrite(session: Session, entry: AuditEntry, *, rehash: bool = False, **changes: Any) -> None:
    """Change fields of an entry; with ``rehash`` also its hash, so that it looks right by itself."""
    changed = entry.replaced(**changes)
    if rehash:
        changed.__dict__["entry_hash"] = entry_hash(changed)
    delete(session, entry.chain, entry.sequence)
    session.audit.append([changed])


def swap(session: Session, one: AuditEntry, other: AuditEntry) -> None:
    """Exchange the places of two entries."""
    delete(session, one.chain, one.sequence, other.sequence)
    session.audit.append([one.replaced(sequence=other.sequence), other.replaced(sequence=one.sequence)])


@dataclass(frozen=True)
class Tampering:
    """What was done, and which entries a report must name, one of them at least."""

    what: str
    entries: frozenset[int]


def tamper(session: Session, chain: str, dice: random.Random) -> Tampering:
    """Do one thing at random to a chain: edit, delete, swap or cut."""
    return dice.choice(_ALL)(session, entries_of(session, chain), dice)


_Entries = dict[int, AuditEntry]


def _edit(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    number = dice.choice(list(entries))
    entry = entries[number]
    changes: dict[str, Any] = dice.choice(
        [
            {"actor": entry.actor + "x"},
            {"event_type": "nothing"},
            {"payload": {**entry.payload, "more": True}},
            {"entry_id": "other"},
            {"metadata": {}},
            {"at": entry.at.replace(year=1999)},
            {"previous_hash": "0" * 63 + "1"},
            {"entry_hash": "0" * 63 + "1"},
        ]
    )
    rewrite(session, entry, **changes)
    return Tampering(f"edit {number} {sorted(changes)}", frozenset({number}))


def _forge(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    number = dice.choice(list(entries)[:-1])
    rewrite(session, entries[number], rehash=True, actor="somebody else")
    return Tampering(f"edit and hash anew {number}", frozenset({number, number + 1}))


def _delete(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    number = dice.choice(list(entries)[:-1])
    delete(session, entries[number].chain, number)
    return Tampering(f"delete {number}", frozenset({number}))


def _swap(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    one, other = dice.sample(list(entries), 2)
    swap(session, entries[one], entries[other])
    return Tampering(f"swap {one} {other}", frozenset({one, other}))


def _cut_beginning(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    first = min(entries)
    upto = dice.randrange(first, max(entries))
    delete(session, entries[first].chain, *range(first, upto + 1))
    return Tampering(f"cut the beginning to {upto}", frozenset({first}))


def _cut_end(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    """Found by the correlations that stay, without any checkpoint."""
    last = max(entries)
    start = dice.randrange(min(entries) + 1, last + 1)
    delete(session, entries[last].chain, *range(start, last + 1))
    return Tampering(f"cut the end from {start}", frozenset())


def _edit_correlation(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    number = dice.choice(list(entries))
    assert session.correlations.update(entries[number].entry_id, {"tags": {"forged": "yes"}})
    return Tampering(f"edit the correlation of {number}", frozenset({number}))


def _delete_correlation(session: Session, entries: _Entries, dice: random.Random) -> Tampering:
    number = dice.choice(list(entries))
    assert session.correlations.delete([entries[number].entry_id]) == 1
    return Tampering(f"delete the correlation of {number}", frozenset({number}))


_ALL: list[Callable[[Session, _Entries, random.Random], Tampering]] = [
    _edit, _forge, _delete, _swap, _cut_beginning, _cut_end, _edit_correlation, _delete_correlation,
]  # fmt: skip
