"""Errors that a store raises.

All derive from ``StoreError``. Each docstring says when the error is raised, then what the caller should do. A backend
translates its driver's errors in one place, by code and never by message text; the original is kept as ``__cause__``.
No message ever holds a password.
"""

from __future__ import annotations

from typing import Any

from ciris_store_core.printable import printable


class StoreError(Exception):
    """Root of all errors of this library. Catch it to handle any failure of the store."""

    #: True if the whole transaction may be run again as it is. Nothing of it was kept.
    retryable: bool = False

    #: True if the call has waited for as long as a timeout allows. The store does not wait again by itself.
    waited: bool = False

    #: The kind of thing that the error is about, in lower case, such as ``"task"``, ``"node"`` or ``"lease"``.
    kind: str | None = None

    #: The key of that thing: an id, a ``NodeKey`` or ``EdgeKey``, or the path of a file. None if several are meant.
    key: Any = None

    #: One sentence that says what to do next. ``str(error)`` ends with it.
    hint: str | None = None

    def __init__(
        self,
        *args: object,
        kind: str | None = None,
        key: Any = None,
        hint: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        """Make an error whose message is the one positional argument; the keywords set the attributes of their name."""
        super().__init__(*args)
        given = {"kind": kind, "key": key, "hint": hint, "retryable": retryable}
        # Only what is given becomes an instance attribute, as pickle and copy carry exactly these over.
        self.__dict__.update((name, value) for name, value in given.items() if value is not None)

    def __str__(self) -> str:
        """Return message and hint in one line, with control characters of whatever they quote escaped."""
        message = super().__str__()
        return printable(f"{message.removesuffix('.')}. {self.hint}" if self.hint else message)


# --- the caller's input -----------------------------------------------------------------------


class InvalidArgument(StoreError, ValueError):
    """The input is not acceptable on any backend, and nothing was written. Fix the input."""


class SecretDetected(InvalidArgument):
    """The record to be written contains a secret, and there is no key to encrypt it with. Nothing was written.

    Make a key and give it to the store, remove the secret, or open the store with ``secrets=False``.
    """


class NotSupported(StoreError):
    """This backend does not declare the capability. Choose another backend, or do without it."""


class NotFound(StoreError, LookupError):
    """A record that the call needs (not one that it asks for) does not exist, such as the end of an edge.

    Create it first. Look-ups never raise this: they return None, an empty list, False or 0.
    """


class Conflict(StoreError):
    """The stored data contradicts the call: the stored node has another type, or the occurrence is alive.

    Read the stored record, decide, and call again. Nothing of the call was written.
    """


class AlreadyExists(Conflict):
    """A record with the same key is stored already.

    Use another id, or accept an identical record, as in ``tasks.add(..., exist_ok=True)``.
    """


class RevisionMismatch(Conflict):
    """The stored revision is not the expected one: another writer changed the record. Read it again and call again."""


class LeaseHeld(Conflict):
    """Another owner holds the lease. Try again when it has expired or was released."""


class StaleFence(StoreError):
    """The claim or lease has ended, and another owner may do its work by now. Stop working on it."""


class AccessDenied(StoreError, PermissionError):
    """A policy, or the database's own permissions, refused the call. Get the approval or the grant; do not retry."""

    #: The ``ApprovalRequest`` for the refused write, if an approval would allow it.
    request: Any = None


class SecretKeyError(StoreError):
    """Secrets cannot be encrypted or decrypted: no key, another key, or a key file that cannot be used.

    Give the right keys; nothing is lost. The message never shows a key.
    """


# --- the state of the store -------------------------------------------------------------------


class UpcastError(StoreError):
    """An upcaster failed on a stored node, which stays as it is. Fix the upcaster, or open the store without it."""


class StoreClosed(StoreError):
    """The store was closed, or is used after ``os.fork()``. Open a new one in this process."""


class TransactionError(StoreError):
    """The transaction cannot be used: it is over, aborted by an earlier failure, or not the current one.

    Leave the ``with`` block and run the whole transaction again; inside it use its own handle.
    """


class MigrationRequired(StoreError):
    """The database's schema is not one that this program may use. Run the command that the message names."""


class IncompatibleSchema(MigrationRequired):
    """The database was migrated by a newer program that excludes this one. Upgrade this program."""


# --- the database -----------------------------------------------------------------------------


class Unavailable(StoreError):
    """The database could not be reached or was busy; nothing was done. Run the whole call again, later."""

    retryable = True


class PoolTimeout(Unavailable):
    """No connection of the pool became free in time; nothing was done. Enlarge the pool or shorten transactions."""

    retryable = False


class OutcomeUnknown(StoreError):
    """The connection was lost after COMMIT, or the server stopped waiting for its standby: the write may not be stored.

    Read it back. ``add`` of tasks, thoughts and correlations may be called again with ``exist_ok=True``.
    """


class StorageFull(StoreError):
    """The disk or quota is full. Stored data is intact and nothing of the call was written. Make room, then retry."""


class ReadOnly(StoreError):
    """The database cannot be written: file, directory or server is read-only. Fix permissions or the URL."""


class NotADatabase(StoreError):
    """The file is not a database. It was not touched. Check the path."""


class Corrupt(StoreError):
    """The stored data is damaged. Stop writing, keep a copy of the files, restore a backup."""


class DatabaseError(StoreError):
    """The database refused for a reason that has no type of its own. Look at ``__cause__``, and report it as a bug."""


# --- opening ----------------------------------------------------------------------------------


class InvalidURL(InvalidArgument):
    """The database URL cannot be understood. Fix what the message names; it never shows a password."""


class UnknownScheme(InvalidURL):
    """No installed plugin serves the URL's scheme. Install the named distribution, or fix the scheme."""


class PluginError(StoreError):
    """The plugin for the URL cannot be used: broken import, duplicate claim, wrong contract version, not allowed.

    Install, upgrade, remove or allow the distribution that the message names.
    """
