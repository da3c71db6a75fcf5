"""Changes of an audit trail by an attacker with access to the database, past the store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ciris_store_core import Correlation, Store
from ciris_store_core.contract.backend import Session
from ciris_store_core.inmemory.backend import MemorySession
from ciris_store_core.models import AuditAnchor, AuditEntry
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.store.audit.chain import entry_hash
from ciris_store_core.store.audit.store_identity import STORE_CHAIN

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
    """A change, and the entries of which a report must name at least one."""

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


# --- by SQL, in the tables of the chains themselves ---------------------------------------------


@dataclass(frozen=True)
class Spliced:
    """A chain of another store that was signed with the same key."""

    entries: list[AuditEntry]
    correlations: list[Correlation]


def spliced(store: Store, chain: str) -> Spliced:
    """Take the chain out of that store."""
    entries = list(store.audit.scan(chain))
    found = [store.correlations.get(entry.entry_id) for entry in entries]
    return Spliced(entries, [each for each in found if each is not None])


def forge_rows(session: Any, chain: str, other: Spliced, dice: random.Random) -> str:
    """Change any row of any table of the chain, by SQL; returns what was done. Each is to be found with a key."""
    entries = entries_of(session, chain)
    has_anchor = session.audit.anchor(chain) is not None
    kind = dice.choice([each for each in _BY_SQL if has_anchor or each not in _OF_ANCHORS])
    kind(session, chain, entries, other, dice)
    return kind.__name__.strip("_")


def wipe(session: Any) -> None:
    """Take the whole trail away but for the store's id, so that the next forgery stands alone."""
    identity = session.audit.anchor(STORE_CHAIN)
    ids = [entry.entry_id for entry in session.audit.find(AuditQuery(10_000)).items]
    events = session.correlations.find(CorrelationQuery(1000, where=CorrelationFilter(types=("audit_event",)))).items
    session.correlations.delete([*ids, *(each.correlation_id for each in events)])
    for table in ("audit_entries", "audit_anchors", "audit_chains"):
        session.run(f"DELETE FROM {{{table}}}")
    if identity is not None:
        session.audit.prune(identity)


_TEXTS = ("entry_id", "event_type", "actor", "payload", "previous_hash", "entry_hash", "signature", "metadata")
_NEW = {"payload": '{"forged": true}', "metadata": '{"forged": true}'}


def _change(session: Any, table: str, column: str, value: Any, where: str, *params: Any) -> None:
    assert session.run(f'UPDATE {{{table}}} SET "{column}" = ? WHERE {where}', (value, *params)) >= 1


def _an_entry(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    column, number = dice.choice(_TEXTS), dice.choice(list(entries))
    # Not only zeros: that is the previous hash of the first entry of a chain.
    new = _NEW.get(column, "0" * 63 + "1")
    _change(session, "audit_entries", column, new, "chain = ? AND sequence = ?", chain, number)


def _signatures_away(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    statement = "UPDATE {audit_entries} SET signature = NULL, signing_key_id = NULL WHERE chain = ?"
    assert session.run(statement, (chain,)) == len(entries)


def _made_anew(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    """Every hash fits, and nothing is signed."""
    previous = min(entries.values(), key=lambda entry: entry.sequence).previous_hash
    for number in sorted(entries):
        rewrite(
            session, entries[number], rehash=True, actor="forged", previous_hash=previous, signature=None,
            signing_key_id=None,
        )  # fmt: skip
        previous = entries_of(session, chain)[number].entry_hash


def _chains_away(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    session.run("DELETE FROM {audit_chains}")
    if dice.random() < 0.8:
        dice.choice([_an_entry, _made_anew, _end_renamed])(session, chain, entries, other, dice)
    if dice.random() < 0.5:
        session.audit.head("a new chain")


def _chain_renamed(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    _change(session, "audit_chains", "chain", "forged name", "chain = ?", chain)


def _end_renamed(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    where = "chain = ? AND sequence >= ?"
    _change(session, "audit_entries", "chain", "elsewhere", where, chain, dice.choice(list(entries)))


def _end_away(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    assert session.run("DELETE FROM {audit_entries} WHERE chain = ? AND sequence >= ?", (chain, max(entries)))


def _moved(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    _change(session, "audit_entries", "sequence", max(entries) + 7, "chain = ? AND sequence = ?", chain, min(entries))


def _an_anchor(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    column, value = dice.choice(
        [("sequence", 1000), ("entry_hash", "0" * 64), ("removed_count", 1000), ("signature", "0" * 128),
         ("signature", None), ("signing_key_id", "forged"), ("metadata", '{"forged": true}')]
    )  # fmt: skip
    _change(session, "audit_anchors", column, value, "chain = ?", chain)


def _anchor_away(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    delete_anchor(session, chain)


def _a_new_anchor(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    last = entries[max(entries)]
    session.audit.prune(
        AuditAnchor(chain=chain, sequence=last.sequence, entry_hash=last.entry_hash, removed_count=last.sequence)
    )


def _the_store_id(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    column, value = dice.choice(
        [("metadata", f'{{"store": "{other.entries[0].metadata["store"]}", "copied": []}}'), ("signature", "0" * 128)]
    )
    _change(session, "audit_anchors", column, value, "chain = ?", STORE_CHAIN)


def _another_stores_chain(session: Any, chain: str, entries: _Entries, other: Spliced, dice: random.Random) -> None:
    """Sound in itself, and signed with the right key."""
    session.correlations.delete([entry.entry_id for entry in entries.values()])
    for table in ("audit_entries", "audit_anchors"):
        session.run(f"DELETE FROM {{{table}}} WHERE chain = ?", (chain,))
    session.correlations.add(other.correlations)
    session.audit.append(other.entries)


_OF_ANCHORS = (_an_anchor, _anchor_away)
_BY_SQL: list[Callable[[Any, str, _Entries, Spliced, random.Random], None]] = [
    _an_entry, _signatures_away, _made_anew, _chains_away, _chain_renamed, _end_renamed, _end_away, _moved, _an_anchor,
    _anchor_away, _a_new_anchor, _the_store_id, _another_stores_chain,
]  # fmt: skip
