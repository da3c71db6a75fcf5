"""Every error that a store raises.

One root, few branches. Each docstring says what the caller should do. Driver errors are translated
once, in one place per backend, by code and never by message text; the original is kept as
``__cause__``. No message ever holds a password.
"""

from __future__ import annotations

from typing import Any

from ciris_store_core.printable import printable


class StoreError(Exception):
    """Root of all errors of this library. Catch it to handle any failure of the store."""

    #: True where the whole transaction may be run again as it is. Nothing of it was kept.
    retryable: bool = False

    #: True where the call has waited for as long as a timeout allows. The store does not wait again by itself.
    waited: bool = False

    def __str__(self) -> str:
        """Return the message in one line, with control characters of whatever it quotes escaped."""
        return printable(super().__str__())


# --- the caller's input -----------------------------------------------------------------------


class InvalidArgument(StoreError, ValueError):
    """The input is not acceptable on any backend, and nothing was written. Fix the input."""


class SecretDetected(InvalidArgument):
    """A secret was found in what was to be written, and there is no key to encrypt it with. Nothing was written.

    Make a key and give it to the store, take the secret out, or open the store with ``secrets=False``.
    """


class NotSupported(StoreError):
    """This backend does not declare the capability. Choose another backend, or do without it."""


class NotFound(StoreError, LookupError):
    """A record that the call needs (not one that it asks for) does not exist, such as the end of an edge.

    Create it first. Look-ups never raise this: they return None, an empty list, False or 0.
    """


class Conflict(StoreError):
    """What is stored contradicts the call: the id exists, the revision moved on, the type differs.

    Read the stored record, decide, and call again. Nothing of the call was written.
    """


class StaleFence(Conflict):
    """The work that this handle was claimed for has another owner by now. Stop working on it."""


class AccessDenied(StoreError, PermissionError):
    """A policy, or the database's own permissions, refused. Get the approval or the grant; do not retry."""

    #: The ``ApprovalRequest`` for what was refused, where an approval would allow it.
    request: Any = None


class SecretKeyError(StoreError):
    """Secrets cannot be encrypted or decrypted: no key, another key, or a key file that cannot be used.

    Give the right keys; nothing is lost. The message never shows a key.
    """


# --- the state of the store -------------------------------------------------------------------


class UpcastError(StoreError):
    """An upcaster of yours failed on a stored node, which stays as it is. Fix the upcaster, or open without it."""


class StoreClosed(StoreError):
    """The store was closed, or is used after ``os.fork()``. Open a new one in this process."""


class TransactionError(StoreError):
    """The transaction cannot be used: it is over, aborted by an earlier failure, or not the current one.

    Leave the ``with`` block and run the whole transaction again; inside it use its own handle.
    """


class MigrationRequired(StoreError):
    """The database's schema is not one that this program may use. The message names the command that fixes it."""


class IncompatibleSchema(MigrationRequired):
    """The database was migrated by a newer program that excludes this one. Upgrade this program."""


# --- the database -----------------------------------------------------------------------------


class Unavailable(StoreError):
    """The database could not be reached or was busy; nothing was done. Run the whole call again, later."""

    retryable = True


class PoolTimeout(Unavailable):
    """No connection of the pool came free in time; nothing was done. Enlarge the pool or hold connections shorter."""

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
    """The file is something else than a database. It was not touched. Check the path."""


class Corrupt(StoreError):
    """The stored data is damaged. Stop writing, keep a copy of the files, restore a backup."""


class DatabaseError(StoreError):
    """The database refused for a reason that has no type of its own. See ``__cause__``; report it as a bug."""


# --- opening ----------------------------------------------------------------------------------


class InvalidURL(InvalidArgument):
    """The database URL cannot be understood. The message says what is wrong, never showing a password."""


class UnknownScheme(InvalidURL):
    """No installed plugin serves the URL's scheme. Install the named distribution, or fix the scheme."""


class PluginError(StoreError):
    """The plugin for the URL cannot be used: broken import, duplicate claim, wrong contract version, not allowed.

    The message says which distribution to install, upgrade, remove or allow.
    """
