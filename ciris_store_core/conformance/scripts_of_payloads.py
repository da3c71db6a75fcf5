"""Scripts of peers about documents and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ciris_store_core.conformance.factories import T0, task
from ciris_store_core.conformance.payload_samples import K, S, document, json_value, stream_entry, write
from ciris_store_core.conformance.support import reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import RevisionMismatch
from ciris_store_core.validation.payloads import value_of

Signal = Callable[..., Any]
"""The callback of ``scripts.Signal``; that module imports this one."""


def write_payloads(session: Session, number: int) -> None:
    """Write a document, two entries and a task that belong together, and count in a document that is there."""
    session.tasks.add([task(f"t{number}")])
    [found] = session.documents.lock([K]) or [document(value=0)]
    session.documents.put([write(document(f"d{number}", number)), write(document(value=number))], T0)
    session.streams.append(S, [stream_entry([number, part], f"{number} {part}") for part in range(2)], T0, 2 * number)
    assert value_of(found.payload) == max(number - 1, 0), "a document of an earlier transaction is missing"


def count_document(backend: Backend, signal: Signal, times: int) -> None:
    """Add to the number in the document ``k``, by compare-and-set."""
    done = 0
    while done < times:
        with reading(backend) as session:
            [found] = session.documents.get([K], None)
        new = write(document(payload=json_value(value_of(found.payload) + 1)), expected=found.revision)
        try:
            transact(backend, lambda session, new=new: session.documents.put([new], T0))  # type: ignore[misc]
            done += 1
        except RevisionMismatch:
            continue


def append_entries(backend: Backend, signal: Signal, me: str, times: int) -> list[int]:
    """Append an entry of one's own and one that all peers send, again and again. Return the positions of the first."""

    def append(session: Session, number: int) -> int:
        given = [stream_entry([me, number]), stream_entry(number, f"shared {number}")]
        return session.streams.append(S, given, T0, None)[0].position

    return [transact(backend, lambda session, n=number: append(session, n)) for number in range(times)]  # type: ignore[misc]


def pop_entries(backend: Backend, signal: Signal) -> list[int]:
    """Pop entries until none is left. Return their positions."""
    taken = []
    while (found := transact(backend, lambda session: session.streams.pop(S, T0))) is not None:
        taken.append(found.position)
    return taken


def stop_in_payloads(backend: Backend, signal: Signal) -> None:
    """Write documents and entries, and stop before the commit."""
    with writing(backend) as session:
        write_payloads(session, 1)
        session.documents.delete([K], None)
        session.streams.pop(S, T0)
        signal("stopped", wait=True)


def stop_after_payload(backend: Backend, signal: Signal) -> None:
    """Stop after single calls were acknowledged."""
    with writing(backend) as session:
        session.tasks.add([task("t1")])
    with backend.session(write=True, single=True) as session:
        session.documents.put([write(document("d1", 1)), write(document(value=1))], T0)
    with backend.session(write=True, single=True) as session:
        session.streams.append(S, [stream_entry([1, part], f"1 {part}") for part in range(2)], T0, 2)
    signal("stopped", wait=True)


def write_payloads_on(backend: Backend, signal: Signal, first: int) -> None:
    """Commit transactions and report each, until killed."""
    number = first
    while True:
        with writing(backend) as session:
            write_payloads(session, number)
        signal("committed", number)
        number += 1


PAYLOAD_SCRIPTS = (
    count_document,
    append_entries,
    pop_entries,
    stop_in_payloads,
    stop_after_payload,
    write_payloads_on,
)
"""All scripts of this module."""
