"""The promises that are kept under fire: one row each, from which its tests take their counts.

A test takes its count as the values of a parameter, ``counts("power-cut")``, and says with ``record`` what it did and
what it found. Beside it stands a control: a weaker setting, or a backend broken on purpose, in which the same test must
find something. ``python -m tests.reliability`` runs the long counts and rewrites the table of ``docs/reliability.md``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LOG_VARIABLE = "CIRIS_UNDER_FIRE_LOG"
"""Names the file that ``record`` adds to."""

_SQLITE, _POSTGRES, _HERE = "backends/sqlite/tests", "backends/postgres/tests", "tests/reliability"
_RACES = f"{_HERE}/test_payload_races.py"
_SHOWS, _DIFFERENTIAL = "tests/scenarios/test_scenarios.py", "tests/conformance/test_differential.py"


@dataclass(frozen=True)
class Row:
    """One promise."""

    fault: str
    injected: str
    promise: str
    quick: int
    """The count of ``make test``."""
    long: int
    """The count of ``make soak``; 0 where there is nothing to count but all."""
    unit: str
    tests: tuple[str, ...]
    """``file::function``, of each database where the row applies."""
    controls: tuple[str, ...]
    cores: float = 1.0
    """How much of the machine the long run keeps busy."""
    minutes: float = 1.0
    """How long that takes, roughly: the longest begin first."""


ROWS: dict[str, Row] = {
    "power-cut": Row(
        "power cut",
        "every write of the store is replayed over a file system that loses unsynced data, cut at every one of "
        "its operations",
        "acknowledged transactions survive whole, others are absent or whole, and the file is intact",
        500, 50_000, "cuts",
        (f"{_HERE}/test_power_cut.py::test_a_power_cut_loses_nothing_that_was_acknowledged",),
        (f"{_HERE}/test_power_cut.py::test_the_control_a_log_that_is_not_synced",),
        minutes=6,
    ),
    "killed-writer": Row(
        "`kill -9` of a writer",
        "a writing process is killed at a random moment",
        "acknowledged transactions survive whole; no transaction is stored in part",
        40, 1_000, "writers",
        (f"{_HERE}/test_kills.py::test_a_killed_writer_loses_nothing",),
        (f"{_HERE}/test_kills.py::test_the_control_a_writer_that_acknowledges_too_early",),
        minutes=5,
    ),
    "killed-migration": Row(
        "`kill -9` in a migration",
        "the process is killed before each statement of each migration",
        "the schema is the old one or the new one, and the next start completes the migration",
        0, 0, "statements",
        (
            f"{_SQLITE}/test_processes.py::test_a_start_killed_at_any_statement_is_finished_by_the_next",
            f"{_POSTGRES}/test_starting.py::test_killed_before_each_statement_of_each_migration",
        ),
        (
            f"{_SQLITE}/test_processes.py::test_the_control_migrations_that_are_no_transaction",
            f"{_POSTGRES}/test_starting.py::test_the_control_migrations_that_are_no_transaction",
        ),
        minutes=2,
    ),
    "first-start": Row(
        "8 processes start on an empty database",
        "all start at the same moment",
        "the schema is created once, and all processes start",
        20, 200, "starts of 8",
        (
            f"{_SQLITE}/test_processes.py::test_eight_processes_start_at_once",
            f"{_POSTGRES}/test_starting.py::test_eight_processes_start_on_an_empty_database",
        ),
        (
            f"{_SQLITE}/test_processes.py::test_the_control_starts_without_transactions",
            f"{_POSTGRES}/test_starting.py::test_the_control_migrations_without_their_lock",
        ),
        minutes=3,
    ),
    "claim-race": Row(
        "claim race",
        "16 processes claim the same shared tasks at once",
        "each task has one winner and one row",
        200, 50_000, "tasks",
        (f"{_HERE}/test_claims.py::test_each_of_many_claims_has_one_winner",),
        (f"{_HERE}/test_claims.py::test_the_control_claims_that_look_before_they_write",),
        cores=2, minutes=10,
    ),
    "transfer": Row(
        "transfers under readers",
        "threads transfer tasks and thoughts while others read them",
        "every reader sees exactly one owner of each",
        5, 600, "seconds",
        (f"{_HERE}/test_transfers.py::test_every_reader_sees_one_owner",),
        (f"{_HERE}/test_transfers.py::test_the_control_a_transfer_that_deletes_and_adds",),
        cores=0.5, minutes=10,
    ),
    "lost-answer": Row(
        "lost answer to COMMIT",
        "a TCP proxy lets the server commit and cuts the connection before its answer",
        "`OutcomeUnknown`, neither success nor failure, and a repeated call is safe",
        200, 5_000, "answers",
        (f"{_POSTGRES}/test_lost_answers.py::test_a_lost_answer_is_unknown_and_the_retry_is_safe",),
        (f"{_POSTGRES}/test_lost_answers.py::test_the_control_a_lost_connection_that_counts_as_nothing_done",),
        minutes=3,
    ),
    "network": Row(
        "connections reset, refused, slow, dropped",
        "a TCP proxy interferes with reads, writes and commits",
        "a typed error within the deadline and a second, nothing wrong stored, and the pool recovers",
        20, 500, "of each",
        (
            f"{_POSTGRES}/test_network.py::test_typed_errors_in_time_and_a_pool_that_heals",
            f"{_POSTGRES}/test_network.py::test_a_network_that_is_only_slow_enough",
            f"{_POSTGRES}/test_network.py::test_a_server_that_cannot_be_reached",
        ),
        (
            f"{_POSTGRES}/test_network.py::test_the_control_no_watchdog",
            f"{_POSTGRES}/test_network.py::test_the_control_a_pool_that_keeps_dead_connections",
        ),
        cores=0.5, minutes=30,
    ),
    "killed-server": Row(
        "`kill -9` of the server",
        "all its processes are killed at once under load, and the server is restarted",
        "acknowledged writes survive, and writes continue within 5 s",
        5, 50, "crashes",
        (f"{_POSTGRES}/test_crashes.py::test_a_server_that_is_killed_loses_nothing",),
        (f"{_POSTGRES}/test_crashes.py::test_the_control_a_server_that_does_not_wait_for_its_disk",),
        minutes=2,
    ),
    "killed-connections": Row(
        "server processes killed every second",
        "200 callers use a pool of 10 for the given time",
        "every call ends exactly once, and no connection leaks",
        20, 600, "seconds",
        (f"{_POSTGRES}/test_crashes.py::test_200_callers_while_server_processes_are_killed_every_second",),
        (f"{_POSTGRES}/test_crashes.py::test_the_control_callers_without_retries",),
        cores=1, minutes=10,
    ),
    "lost-primary": Row(
        "loss of the primary",
        "the primary is killed under load, every other time with the link to its synchronous standby cut; the "
        "standby is promoted",
        "acknowledged writes survive, and writes continue within 5 s of the promotion",
        3, 30, "primaries",
        (f"{_POSTGRES}/test_failover.py::test_loss_of_the_primary",),
        (f"{_POSTGRES}/test_failover.py::test_the_control_a_standby_that_nobody_waits_for",),
        minutes=4,
    ),
    "lost-worker": Row(
        "a worker of Citus is killed, frozen or emptied",
        "four writers write to one schema while all processes of its node are killed or stopped for 8 s, or the schema "
        "is moved to another node; needs a cluster in `CIRIS_TEST_CITUS_URL`",
        "acknowledged writes survive, and no write is stored that was refused with another error than "
        "`OutcomeUnknown`",
        2, 30, "of each",
        (f"{_POSTGRES}/test_citus.py::test_no_write_is_lost_with_its_worker",),
        (f"{_POSTGRES}/test_citus.py::test_the_control_a_caller_that_takes_an_unknown_outcome_for_a_refusal",),
        cores=1, minutes=15,
    ),
    "pgbouncer": Row(
        "PgBouncer, transaction mode, two connections",
        "PgBouncer runs between store and server",
        "the whole conformance suite passes, and no state stays in a connection",
        0, 0, "suite",
        (
            f"{_POSTGRES}/test_pgbouncer.py::test_the_suite_passes_and_leaves_nothing_behind",
            f"{_POSTGRES}/test_pgbouncer.py::test_many_callers_share_two_connections",
        ),
        (f"{_POSTGRES}/test_pgbouncer.py::test_the_control_a_client_that_leaves_something_behind",),
        minutes=2,
    ),
    "writers": Row(
        "16 processes write to one SQLite file",
        "all write as fast as they can for the given time",
        "no error, and the slowest process commits at least half as often as the fastest",
        4, 300, "seconds",
        (f"{_SQLITE}/test_processes.py::test_sixteen_writers_share_a_file",),
        (f"{_SQLITE}/test_processes.py::test_the_control_without_the_write_lock_sixteen_writers_starve_each_other",),
        cores=2, minutes=6,
    ),
    "disk-full": Row(
        "disk full, I/O errors",
        "`PRAGMA max_page_count` and `RLIMIT_FSIZE` at a random size, below every write of the store; on "
        "PostgreSQL a limit to the size of the server's files",
        "a typed error, nothing of the write is stored, older data is intact, and writes succeed once there is "
        "space",
        50, 1_000, "writes refused",
        (
            f"{_HERE}/test_disk_full.py::test_a_write_without_room_changes_nothing",
            f"{_HERE}/test_disk_full.py::test_a_file_that_may_not_grow_keeps_what_it_has",
            f"{_HERE}/test_disk_full.py::test_a_server_without_room_keeps_what_it_has",
        ),
        (f"{_HERE}/test_disk_full.py::test_the_control_writes_that_are_no_transaction",),
        minutes=3,
    ),
    "corruption": Row(
        "corruption",
        "random bytes of the database's files are flipped",
        "a typed error or the right data; never wrong data if the database reported an error",
        60, 5_000, "damaged copies",
        (
            f"{_HERE}/test_corruption.py::test_a_damaged_file_is_noticed_or_read_right",
            f"{_HERE}/test_corruption.py::test_a_damaged_server_is_noticed_or_read_right",
        ),
        (
            f"{_HERE}/test_corruption.py::test_the_control_a_reader_that_makes_do",
            f"{_HERE}/test_corruption.py::test_the_control_a_server_that_ignores_checksums",
        ),
        minutes=15,
    ),
    "clocks": Row(
        "hosts' clocks off by 1 h and by 3 days",
        "injected clocks in 16 processes",
        "no task is claimed twice, and none is taken from a living worker",
        20, 200, "rounds",
        (f"{_HERE}/test_clocks.py::test_wrong_clocks_mislead_nobody",),
        (f"{_HERE}/test_clocks.py::test_the_control_hosts_that_trust_their_own_clocks",),
        cores=1.5, minutes=3,
    ),
    "dead-claimer": Row(
        "a claimer dies or is paused",
        "SIGKILL; SIGSTOP, and SIGCONT after the rescue",
        "its work is rescued after its lease has expired, not before; writes of the paused claimer are rejected",
        50, 500, "claimers",
        (f"{_HERE}/test_claimers.py::test_the_work_of_the_dead_is_rescued_and_the_paused_are_fenced_off",),
        (f"{_HERE}/test_claimers.py::test_the_control_a_claimer_without_a_fence",),
        cores=1, minutes=4,
    ),
    "isolation": Row(
        "isolation",
        "list-append transactions in 4 processes; their histories are checked for lost and repeated appends, "
        "aborted and intermediate reads, and cycles",
        "no update is lost; READ COMMITTED or stronger",
        4_000, 500_000, "transactions",
        (f"{_HERE}/test_isolation.py::test_no_append_is_lost",),
        (f"{_HERE}/test_isolation.py::test_the_control_appends_without_a_revision",),
        cores=2, minutes=14,
    ),
    "document-compare-and-set": Row(
        "compare-and-set race",
        "16 processes add 1 to the number in one document, by the revision that they read",
        "every success counts once: the number is the number of successes, and so is the revision",
        15, 5_000, "tries of each",
        (f"{_RACES}::test_every_compare_and_set_counts_once",),
        (f"{_RACES}::test_the_control_a_write_without_the_revision",),
        cores=2, minutes=5,
    ),
    "document-expiry": Row(
        "expiry at the moment of reads and writes",
        "an injected clock passes the expiry of a document while threads read it, refresh it, insert its successor and "
        "delete expired documents",
        "one insert succeeds and its document stays; no reader sees the expired document again",
        20, 5_000, "documents",
        (f"{_RACES}::test_an_expired_document_has_one_successor",),
        (f"{_RACES}::test_the_control_a_look_before_the_insert",),
        cores=1, minutes=5,
    ),
    "stream-append": Row(
        "16 processes append to one stream",
        "all append three entries at a time while others read what is new",
        "positions have no gaps, readers miss no position and see appends whole, and each entry is where its appender "
        "was told",
        10, 5_000, "appends of each",
        (f"{_RACES}::test_no_reader_misses_a_position",),
        (f"{_RACES}::test_the_control_numbers_that_are_taken_before_the_write",),
        cores=2, minutes=5,
    ),
    "stream-pop": Row(
        "pop race",
        "16 processes pop the entries of one stream until none is left",
        "each entry is returned once, to one of them",
        300, 50_000, "entries",
        (f"{_RACES}::test_every_entry_is_popped_once",),
        (f"{_RACES}::test_the_control_a_look_before_the_deletion",),
        cores=2, minutes=3,
    ),
    "stream-fork": Row(
        "fork under appenders",
        "a stream is forked again and again while threads append three entries at a time",
        "each copy is one moment of its source: a prefix of whole appends",
        4, 500, "streams",
        (f"{_RACES}::test_a_fork_is_one_moment",),
        (f"{_RACES}::test_the_control_entries_that_are_appended_one_by_one",),
        cores=1, minutes=5,
    ),
    "interrupts": Row(
        "interrupts",
        "KeyboardInterrupt at random points of eight operations, wherever CPython runs signal handlers; every "
        "fourth is raised by a timer's signal",
        "acknowledged writes survive, no lock, transaction or connection stays in use, and no call hangs",
        100, 2_000, "interrupts",
        (
            f"{_HERE}/test_interrupts.py::test_an_interrupt_anywhere_leaves_nothing_behind",
            f"{_POSTGRES}/test_interrupts.py::test_an_interrupt_anywhere_leaves_nothing_behind",
        ),
        (
            f"{_HERE}/test_interrupts.py::test_the_control_a_lock_that_is_a_flag",
            f"{_POSTGRES}/test_interrupts.py::test_the_control_a_connection_that_only_its_block_gives_back",
        ),
        minutes=4,
    ),
    "pool-of-one": Row(
        "a pool of one connection",
        "every public method runs in a transaction that holds the only connection, after the cached server time "
        "has expired",
        "no call waits for another connection",
        0, 0, "methods",
        (f"{_HERE}/test_pool_of_one.py::test_no_method_needs_another_connection",),
        (f"{_HERE}/test_pool_of_one.py::test_the_control_a_server_asked_on_a_connection_of_its_own",),
    ),
    "forged-rows": Row(
        "forged rows",
        "rows of every table of an audit chain are changed, renamed, removed and added by SQL, including a whole "
        "chain of another store that is signed with the same key",
        "with the key every forgery is detected; without a key `verify` never returns a plain ok",
        200, 2_000, "forgeries",
        (f"{_HERE}/test_forged_rows.py::test_every_forged_row_is_found",),
        (f"{_HERE}/test_forged_rows.py::test_the_control_a_verifier_that_trusts_the_table_of_chains",),
        minutes=4,
    ),
    "role-defaults": Row(
        "defaults of the role",
        "isolation levels, short timeouts, read-only transactions, output formats and others are set for the "
        "database or the role; then every method runs, and threads write to one node",
        "the answers of the reference, or a typed refusal",
        0, 0, "settings",
        (
            f"{_POSTGRES}/test_defaults.py::test_defaults_change_no_answer",
            f"{_POSTGRES}/test_defaults.py::test_defaults_that_refuse_are_told",
        ),
        (f"{_POSTGRES}/test_defaults.py::test_the_control_a_session_that_takes_the_defaults",),
        minutes=2,
    ),
    "differential": Row(
        "differential",
        "random scripts of calls, shrunk if they differ",
        "each backend answers as the reference does",
        300, 10_000, "scripts",
        (f"{_DIFFERENTIAL}::test_random_scripts",),
        (f"{_DIFFERENTIAL}::test_a_difference_is_shortened_and_can_be_replayed",),
        cores=1, minutes=20,
    ),
    "corpus": Row(
        "bad input",
        "every item of the corpus in every argument and field of every method; `make test` runs one case in 32",
        "the same on every backend: the identical value back, or the same typed error with nothing written",
        0, 0, "cases",
        (
            f"{_HERE}/test_corpus.py::test_all_backends_agree_on_bad_input",
            f"{_HERE}/test_large.py::test_what_is_too_large_is_refused",
        ),
        (f"{_HERE}/test_corpus.py::test_the_control_a_backend_that_changes_what_it_is_given",),
        minutes=8,
    ),
}  # fmt: skip


def counts(row: str, *marks: pytest.MarkDecorator) -> list[Any]:
    """The values of a parameter: the count for every day and the one for the long run."""
    found = ROWS[row]
    return [
        pytest.param(found.quick, id="quick", marks=marks),
        pytest.param(found.long, id="long", marks=pytest.mark.soak),
    ]


def record(row: str, subject: str, done: int, wrong: int, *, control: bool = False, note: str = "") -> None:
    """Say what a test did on ``subject``, and in how many of the cases it found the promise broken."""
    assert row in ROWS, row
    unit = ROWS[row].unit
    print(f"{row}, {subject}{', control' if control else ''}: {done:,} {unit}, {wrong:,} wrong{note and '; ' + note}")
    if os.environ.get(LOG_VARIABLE):
        entry = {"row": row, "subject": subject, "done": done, "wrong": wrong, "control": control, "note": note}
        with Path(os.environ[LOG_VARIABLE]).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
