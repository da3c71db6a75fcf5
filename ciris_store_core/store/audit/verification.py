"""Verification of an audit trail: entries, correlations, signatures and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.models.audit import AuditAnchor, AuditCheckpoint, AuditEntry, AuditQuery
from ciris_store_core.models.correlations import Correlation, CorrelationFilter, CorrelationQuery
from ciris_store_core.models.enums import CorrelationType
from ciris_store_core.models.paging import CorruptRow, SortKey
from ciris_store_core.signing import is_signed, key_id_of
from ciris_store_core.store.audit.chain import (
    CORRELATION_HASH,
    GENESIS,
    STORE,
    anchor_statement,
    checkpoint_statement,
    correlation_hash,
    entry_hash,
    entry_statement,
)
from ciris_store_core.store.audit.store_identity import STORE_CHAIN, identity_of, is_changed
from ciris_store_core.store.execution import Executor

T = TypeVar("T")
_EntryPage = tuple[list[AuditEntry], dict[str, Correlation], list[CorruptRow]]

_PAGE = 1000
_LOOKS = 20
_EVENTS = CorrelationFilter(types=(CorrelationType.AUDIT_EVENT,))

Wrong = Literal[
    "changed", "missing", "not_following", "signature", "anchor", "corrupt",
    "correlation_changed", "correlation_missing", "not_chained", "cut_off", "checkpoint", "other_store", "not_listed",
]  # fmt: skip
Verdict = Literal["ok", "hashes only", "changed"]


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One fault: an entry, correlation or signature that is not as it was written."""

    kind: Wrong
    message: str
    """The fault in words, with the entry."""
    chain: str | None = None
    sequence: int | None = None
    entry_id: str | None = None


@dataclass(slots=True)
class AuditReport:
    """Result of a verification of the audit trail."""

    chains: int = 0
    entries: int = 0
    """Number of entries read."""
    signed: int = 0
    """Entries with a signature of a known key."""
    unchecked: int = 0
    """Entries with a signature that could not be checked, as no public key was given."""
    removed: int = 0
    """Entries that retention removed, as counted by the anchors."""
    unproven: int = 0
    """Entries that no checked signature covers: neither their own, nor that of a later entry in their chain."""
    unbound: int = 0
    """Entries that name no store, as they are older than that field."""
    keyed: bool = False
    """True if a key was known whose signatures count."""
    problems: list[AuditProblem] = field(default_factory=list)
    """The faults, by chain and sequence."""

    @property
    def verdict(self) -> Verdict:
        """Return ``changed`` if there are problems, ``ok`` if signatures prove that there are none.

        It is ``hashes only`` if the hashes match and no key proves them: a party that can write to the database can
        recompute all of them.
        """
        if self.problems:
            return "changed"
        return "ok" if self.keyed and not self.unproven else "hashes only"

    @property
    def ok(self) -> bool:
        """Return whether signatures prove that everything is as it was written; never true without a key."""
        return self.verdict == "ok"


class Signatures:
    """Check of signatures by a set of public keys."""

    def __init__(self, public_keys: Sequence[str], *, required: bool) -> None:
        """Check by these keys. If signatures are ``required``, a missing one is a fault."""
        self._keys = {key_id_of(key): key for key in public_keys}
        self.keyed = bool(self._keys)
        self._required = required

    def fault(self, statement: bytes, key_id: str | None, signature: str | None, after_signed: bool) -> str | None:
        """Return the fault of a signature, or None."""
        if signature is None or key_id is None:
            return "has no signature" if self._required or after_signed else None
        if not self._keys:
            return "is signed, but no public key was given" if self._required else None
        if key_id not in self._keys:
            return f"is signed with a key that was not given ({key_id})"
        return None if is_signed(statement, signature, self._keys[key_id]) else "has a wrong signature"

    def checked(self, key_id: str | None) -> bool:
        """Return whether a signature by that key is checked."""
        return key_id in self._keys


class ChainCheck:
    """Check of one chain from its anchor on, entry by entry."""

    def __init__(
        self,
        chain: str,
        anchor: AuditAnchor | None,
        signatures: Signatures,
        report: AuditReport,
        stores: Collection[str],
    ) -> None:
        """Add faults to the report. ``stores``: ids of stores whose entries may be here."""
        self.chain = chain
        self.unproven = 0
        """Number of entries after the last one whose signature was checked."""
        self._stores = stores
        self._store: str | None = None
        self.number = anchor.sequence if anchor else 0
        """The hash of the last entry, or of the anchor."""
        self.hash = anchor.entry_hash if anchor else GENESIS
        self._signed = False
        self._signatures = signatures
        self.report = report
        if anchor:
            self._look_at_anchor(anchor)

    def follow(self, entry: AuditEntry) -> None:
        """Check the next entry."""
        self.report.entries += 1
        if entry.sequence <= self.number:
            self.found("not_following", "it lies before the anchor", entry.sequence, entry)
            return
        if entry.sequence > self.number + 1:
            first, last = self.number + 1, entry.sequence - 1
            self.found("missing", "it is missing" if first == last else f"all up to {last} are missing", first)
        elif entry.previous_hash != self.hash:
            self.found("not_following", f"it does not follow the stored entry {self.number}", entry.sequence, entry)
        if entry_hash(entry) != entry.entry_hash:
            self.found("changed", "it is not as it was written", entry.sequence, entry)
        self._look_at_store(entry)
        self._look_at_signature(entry)
        self.number, self.hash = entry.sequence, entry.entry_hash

    def compare(self, entry: AuditEntry, correlation: Correlation | None) -> None:
        """Compare the entry with its correlation."""
        if correlation is None:
            self.found("correlation_missing", "its correlation was deleted", entry.sequence, entry)
        elif correlation_hash(correlation) != entry.metadata.get(CORRELATION_HASH):
            self.found("correlation_changed", "its correlation is not as it was written", entry.sequence, entry)

    def found(self, kind: Wrong, what: str, sequence: int | None, entry: AuditEntry | None = None) -> None:
        """Report a problem."""
        where = f"chain {self.chain!a}" + (f", entry {sequence}" if sequence else "")
        entry_id = entry.entry_id if entry else None
        self.report.problems.append(AuditProblem(kind, f"{where}: {what}", self.chain, sequence, entry_id))

    def _look_at_store(self, entry: AuditEntry) -> None:
        store = entry.metadata.get(STORE)
        self.report.unbound += store is None
        if store is not None and store != self._store and store not in self._stores:
            self.found("other_store", f"it was written in another store ({store!a})", entry.sequence, entry)
        self._store = store

    def _look_at_signature(self, entry: AuditEntry) -> None:
        fault = self._signatures.fault(entry_statement(entry), entry.signing_key_id, entry.signature, self._signed)
        if fault:
            self.found("signature", f"it {fault}", entry.sequence, entry)
        self.unproven += 1
        if entry.signature is not None:
            self._signed = True
            known = self._signatures.checked(entry.signing_key_id)
            if known and not fault:
                self.report.signed += 1
                self.unproven = 0
            self.report.unchecked += not known

    def _look_at_anchor(self, anchor: AuditAnchor) -> None:
        self.report.removed += anchor.removed_count
        if anchor.removed_count != anchor.sequence:
            self.found("anchor", f"its anchor counts {anchor.removed_count} entries", anchor.sequence)
        fault = self._signatures.fault(anchor_statement(anchor), anchor.signing_key_id, anchor.signature, False)
        if fault:
            self.found("anchor", f"its anchor {fault}", anchor.sequence)
        self._signed = anchor.signature is not None
        if fault or not self._signatures.checked(anchor.signing_key_id):
            self.unproven = anchor.removed_count


class Verifier:
    """Verification of a trail, read page by page, each page in a transaction of its own."""

    def __init__(
        self,
        executor: Executor,
        public_keys: Sequence[str],
        checkpoint: AuditCheckpoint | None,
        required: bool | None,
        stores: Sequence[str] = (),
    ) -> None:
        """Verify by these keys and that checkpoint. ``stores``: ids of stores whose entries may be here."""
        self._x = executor
        self._signatures = Signatures(public_keys, required=bool(public_keys) if required is None else required)
        self._checkpoint = checkpoint
        self._given = frozenset(stores)
        self._stores = self._given

    def run(self, chain: str | None) -> AuditReport:
        """Verify one chain, or the whole trail."""
        report = AuditReport(keyed=self._signatures.keyed)
        self._look_at_identity(report)
        self._look_at_checkpoint(report)
        known = {head.chain for head in self._checkpoint.heads} if self._checkpoint else set()
        if chain is None:
            before = self._x.read("audit.verify", lambda session: session.correlations.count(_EVENTS))
        for name in sorted({*self._chains(), *known}) if chain is None else [chain]:
            self._add(report, self._chain(name))
        if chain is None:
            self._look_for_unlisted(report)
            if before != report.entries:
                self._look_for_unchained(report)
        return report

    def _chains(self) -> list[str]:
        return [
            name for name in self._x.read("audit.verify", lambda session: session.audit.chains()) if name != STORE_CHAIN
        ]

    @staticmethod
    def _add(report: AuditReport, part: AuditReport) -> None:
        report.chains += part.chains
        report.entries += part.entries
        report.signed += part.signed
        report.unchecked += part.unchecked
        report.removed += part.removed
        report.unproven += part.unproven
        report.unbound += part.unbound
        report.problems += part.problems

    def _chain(self, name: str) -> AuditReport:
        """Return the report of one chain.

        Look again if retention pruned it meanwhile, or the store got its id (by its first event) or copies: what was
        read before looks like a fault then.
        """
        for _ in range(_LOOKS):
            anchor, stores = self._anchor(name), self._stores
            report = AuditReport(chains=1)
            self._follow(name, anchor, report)
            if report.ok:
                break
            identity = identity_of(self._anchor(STORE_CHAIN))
            self._stores = self._given | identity.known if identity else self._given
            if (self._anchor(name), self._stores) == (anchor, stores):
                break
        return report

    def _anchor(self, name: str) -> AuditAnchor | None:
        return self._x.read("audit.verify", lambda session: session.audit.anchor(name))

    def _follow(self, name: str, anchor: AuditAnchor | None, report: AuditReport) -> None:
        check = ChainCheck(name, anchor, self._signatures, report, self._stores)
        wanted = self._wanted(name)
        seen = check.hash if wanted and wanted[0] == check.number else None
        for entry, correlation in self._entries(name, check):
            check.follow(entry)
            check.compare(entry, correlation)
            if wanted and entry.sequence == wanted[0]:
                seen = entry.entry_hash
        report.unproven = check.unproven
        if wanted and check.number < wanted[0]:
            check.found(
                "cut_off", f"the checkpoint saw {wanted[0]} entries, and it ends at {check.number}", check.number
            )
        elif wanted and seen is not None and seen != wanted[1]:
            check.found("cut_off", "the checkpoint saw another entry here", wanted[0])

    def _wanted(self, name: str) -> tuple[int, str] | None:
        heads = self._checkpoint.heads if self._checkpoint else []
        return next(((head.sequence, head.entry_hash) for head in heads if head.chain == name), None)

    def _entries(self, name: str, check: ChainCheck) -> Iterator[tuple[AuditEntry, Correlation | None]]:
        for entries, correlations, corrupt in _pages(AuditQuery(_PAGE, chain=name), self._page):
            for row in corrupt:
                check.found("corrupt", f"a row of it cannot be read ({row.error})", None)
            for entry in entries:
                yield entry, correlations.get(entry.entry_id)

    def _page(self, query: AuditQuery) -> tuple[_EntryPage, SortKey | None]:
        def fn(session: Session) -> tuple[_EntryPage, SortKey | None]:
            page = session.audit.find(query)
            stored = session.correlations.get([entry.entry_id for entry in page.items]) if page.items else []
            return (page.items, {each.correlation_id: each for each in stored}, page.corrupt), page.next_after

        return self._x.read("audit.verify", fn, single=False)

    # --- beside the chains ------------------------------------------------------------------------

    def _look_at_identity(self, report: AuditReport) -> None:
        """Verify the store's id and its list of copied stores."""
        anchor = self._anchor(STORE_CHAIN)
        identity = identity_of(anchor)
        if anchor is None or identity is None:
            return  # Nothing was bound to the store yet, or every entry shows that its id is missing.
        self._stores = identity.known | self._given
        fault = "is not as it was written" if is_changed(anchor) else None
        # An id alone needs no signature: it may be older than the key, and the entries name it. Copies do.
        if fault is None and (anchor.signature is not None or set(identity.copied) - self._given):
            statement = anchor_statement(anchor)
            fault = self._signatures.fault(statement, anchor.signing_key_id, anchor.signature, False)
        if fault:
            message = f"the store's id and its list of copied stores (anchor of {STORE_CHAIN}) {fault}"
            report.problems.append(AuditProblem("other_store", message, STORE_CHAIN))
        if self._x.read("audit.verify", lambda session: session.audit.find(AuditQuery(1, chain=STORE_CHAIN))).items:
            message = f"chain {STORE_CHAIN} has entries, and a store writes none there"
            report.problems.append(AuditProblem("not_following", message, STORE_CHAIN))

    def _look_for_unlisted(self, report: AuditReport) -> None:
        for name in self._x.read("audit.verify", lambda session: session.audit.unlisted(), single=False):
            message = f"chain {name!a}: its row in the table of chains was deleted"
            report.problems.append(AuditProblem("not_listed", message, name))

    def _look_at_checkpoint(self, report: AuditReport) -> None:
        made = self._checkpoint
        if made is None:
            return
        fault = self._signatures.fault(checkpoint_statement(made), made.signing_key_id, made.signature, False)
        if fault is None and made.store is not None and made.store not in self._stores:
            fault = f"is of another store ({made.store!a})"
        if fault:
            report.problems.append(AuditProblem("checkpoint", f"the checkpoint {fault}"))

    def _look_for_unchained(self, report: AuditReport) -> None:
        """Report audit events among the correlations that have no entry."""
        # The ids of the correlations are read first: an append in between stores event and entry, and a pruning removes
        # both, so neither looks like an event without an entry.
        left = {
            event.correlation_id
            for page in _pages(CorrelationQuery(_PAGE, where=_EVENTS), self._events)
            for event in page
        }
        for entries, _, _ in _pages(AuditQuery(_PAGE), self._page):
            left.difference_update(entry.entry_id for entry in entries)
        still = self._x.read("audit.verify", lambda session: session.correlations.get(sorted(left))) if left else []
        for each in sorted(still, key=lambda correlation: correlation.correlation_id):
            message = f"correlation {each.correlation_id!a} is an audit event without an entry"
            report.problems.append(
                AuditProblem("not_chained", message, each.agent_occurrence_id, entry_id=each.correlation_id)
            )

    def _events(self, query: CorrelationQuery) -> tuple[list[Correlation], SortKey | None]:
        page = self._x.read("audit.verify", lambda session: session.correlations.find(query))
        return page.items, page.next_after


_Query = TypeVar("_Query", AuditQuery, CorrelationQuery)


def _pages(query: _Query, read: Callable[[_Query], tuple[T, SortKey | None]]) -> Iterator[T]:
    while True:
        page, after = read(query)
        yield page
        if after is None:
            return
        query = replace(query, after=after)
