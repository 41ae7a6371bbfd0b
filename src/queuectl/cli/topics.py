"""`queuectl help exit-codes|json|environment|states`: what scripts can rely on, as tables; contract.py has all as JSON.

The reference page is generated from the same tables, and tests compare them with the code.
"""

from __future__ import annotations

from collections.abc import Iterator

from queuectl.domain import errors
from queuectl.domain.job import JobState
from queuectl.typed import NamedTuple

WIDTH = 80

EXIT_CODES = (
    ("0", "done"),
    ("1", "the operation failed, a check found something, or a question was answered with no"),
    ("2", "wrong usage or bad input"),
    ("3", "no such job, attempt, queue, lock, batch, schedule, worker, token or service"),
    (
        "4",
        "conflict: the id or unique key is taken, the job is in a state that does not allow it, or the lock is in use",
    ),
    ("5", "the store cannot be reached or is damaged"),
    ("124", "wait, batch wait: the time given with --timeout is over"),
    ("125", "run, wait, batch wait: a failure of queuectl itself, or the job never ran"),
    ("128+n", "run, wait: the command was ended by signal n; 130 is Ctrl-C everywhere"),
    ("other", "run, wait: the command's own exit code"),
)

SHAPES = (
    ("stdout", "with --json: only JSON"),
    ("stderr", "with --json: one object per line, an error or a note"),
    ("times", "RFC 3339 in UTC; null if there is none"),
    ("durations", "seconds, as numbers"),
    ("jobs", "every key is always present. Commands that take several ids always print an array"),
    ("show", "a job with its executions and events; an event has event, at, attempt and more as fields"),
    ("findings", "of doctor and status --check: level, code, message, fix"),
    ('{"error": {…}}', "code, message and hint; the codes are listed below"),
    ('{"note": {…}}', "code and message"),
)

NOTES = (
    ("all_well", "status --check found nothing"),
    ("already_served", "worker start --if-none: a live worker serves these queues"),
    ("can_start", "worker start --check: nothing stands in the way"),
    ("attempt", "the attempt whose output follows"),
    ("no_lines", "enqueue --each-line: the input is empty"),
    ("dry_run", "enqueue --dry-run: how many jobs it would add"),
    ("so_far", "how far a command on many jobs got before an error or Ctrl-C"),
    ("already_there", "enqueue --on-conflict ignore: a job with this id exists and was kept"),
    ("not_awaited", "enqueue --on-conflict replace: the waiting job does not wait for what --after names"),
    ("already_queued", "run: it follows the job that has the unique key"),
    ("cancelled", "run: its job is cancelled"),
    ("cancelling", "run: its job is being cancelled"),
    ("cleaned_up", "doctor --clean: removed what a dead worker left"),
    ("detached", "the worker runs in the background"),
    ("hidden_from_git", "git ignores the store's files"),
    ("how_to_stop", "how to stop the worker or server that has started"),
    ("info", "anything else"),
    ("insecure", "serve: listens beyond this machine without HTTPS"),
    ("job_ended", "run, wait: how a job ended, if its exit code does not say so"),
    ("left_out", "enqueue: keys that queuectl itself writes were ignored"),
    ("login", "serve: the address that logs a browser in"),
    ("kept", "run --keep: the job goes on"),
    ("more", "there is more than the limit shows"),
    ("no_deeds", "the audit log is empty"),
    ("no_events", "nothing has happened within the time"),
    ("no_jobs", "nothing matches"),
    ("missing", "a folder, file, program or user of a new job does not exist here"),
    ("no_effect", "a variable of a new job is one that every worker sets itself"),
    ("lock_too_small", "lock set: a job needs more units than the lock has now"),
    ("units_numbered", "lock set: a lock's units have numbers now instead of their names"),
    ("no_batch", "batch list: there is no batch yet"),
    ("no_lock", "no lock is set or used"),
    ("no_schedule", "there is no schedule yet"),
    ("no_queue", "no job and no setting names a queue"),
    ("queue_paused", "jobs were added to a paused queue"),
    ("schedules_paused", "restore: all schedules are paused"),
    ("hooks_held", "restore: hooks that were waiting are held"),
    ("no_store", "there is no store to remove"),
    ("no_token", "there is no token yet"),
    ("no_worker", "no live worker serves this"),
    ("not_hidden_from_git", "git clean would remove the store's files"),
    ("not_run", "the job has not run yet"),
    ("not_cancelled", "run: its job was not cancelled, or may not be: the store did not answer"),
    ("nothing_changed", "the question was answered with no"),
    ("one_stream", "the job keeps stdout and stderr in one"),
    ("other_store", "commands here use another store"),
    ("reserve_used", "the disk is full: the reserved space was used"),
    ("shown_once", "the token is not shown again"),
    ("store", "the store is unavailable, or available again"),
    ("shrunk", "prune --shrink: how much smaller the file is"),
    ("waiting", "the worker waits for running commands"),
    ("tokens_left", "copy, restore: tokens that a store had and the new one has not"),
    ("too_late", "a new job has to start before it may"),
    ("waits", "wait, run, logs -f: why the job does not run yet"),
    ("worker_gone", "the worker that ran the job is gone, and there is no other"),
    ("worker_log", "a line of the worker's log"),
    ("worker_orphaned", "the job runs on, but its worker's dispatcher is gone"),
    ("worker_suspended", "the job's worker is suspended (SIGSTOP or Ctrl-Z)"),
)

READ = (
    ("QUEUECTL_DB", "the store: a path or postgresql://…"),
    ("QUEUECTL_JOB_ID", "in a job: its id; run, wait and logs -f warn when they wait for its slot"),
    ("XDG_CONFIG_HOME", "folder of systemd/user, for service install (default: ~/.config)"),
    ("XDG_DATA_HOME", "folder of queuectl/queuectl.db, the last default store (default: ~/.local/share)"),
    ("XDG_STATE_HOME", "folder of local files for a store on a server (default: ~/.local/state)"),
    ("NO_COLOR", "if set and not empty: no colours"),
    ("TERM", "if it is dumb: no colours"),
    ("PAGER", "top: what shows a log (default: less -R +G)"),
    ("COLUMNS", "the width of tables on a terminal, and of help"),
    ("TZ", "time zone of times shown to people"),
    ("TRACEPARENT", "passed on to the command of a new job"),
    ("NOTIFY_SOCKET", "set by systemd: where it hears how a worker is, as often as WATCHDOG_USEC asks"),
)

SEEN = (
    ("QUEUECTL_JOB_ID", "the job's id"),
    ("QUEUECTL_ATTEMPT", "the number of this start of the job, from 1, never reset"),
    ("QUEUECTL_QUEUE", "its queue"),
    ("QUEUECTL_BATCH", "its batch, if it has one"),
    ("QUEUECTL_SLOT", "its place on the worker, from 0"),
    ("QUEUECTL_LEASE", "the fencing token: it grows with every claim of the job"),
    ("QUEUECTL_LOCK_NAME", "for each lock: the units that it holds, with commas between; NAME in capitals"),
    ("QUEUECTL_PROGRESS", "the file for its progress, such as: 40 encoding"),
    ("QUEUECTL_RESULT", "the file for its result: JSON of at most 64 KiB"),
    ("QUEUECTL_SCHEDULED_AT", "the time for which a schedule has added the job"),
    ("QUEUECTL_TAG", "a number by which queuectl finds what the command has started"),
    ("QUEUECTL_DB", "the store"),
    ("QUEUECTL_STATE", "hooks: completed, failed or dead; alerts: failing, late or recovered"),
    ("QUEUECTL_EXIT_CODE", "hooks: the exit code that they tell of, empty if there is none"),
    ("QUEUECTL_ERROR", "hooks: the error that they tell of, empty if there is none"),
    ("QUEUECTL_TAIL", "hooks: the last 4 KiB of the output that they tell of"),
    ("QUEUECTL_SCHEDULE", "alerts: the schedule that they tell of"),
)

STATES = (
    (JobState.BLOCKED.value, "waits for the jobs it depends on"),
    (JobState.PENDING.value, "waits for a worker, not before its run_at"),
    (JobState.PROCESSING.value, "a worker holds its lease and runs it; until its command has begun, it is starting"),
    (JobState.FAILED.value, "the last attempt failed; it runs again at next_retry_at"),
    (JobState.COMPLETED.value, "its command ended with exit code 0"),
    (JobState.DEAD.value, "retries are used up, or the failure is permanent: it is in the dead letter queue"),
    (JobState.CANCELLED.value, "a person or a dependency ended it"),
)


class Section(NamedTuple):
    """A table of words and what they mean, under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


def error_codes() -> tuple[tuple[str, str], ...]:
    """Every code of an error that a command can end with, and when; each class of the error tree has one."""
    found: dict[str, str] = {}
    kinds = [errors.QueuectlError]
    while kinds:
        kind = kinds.pop(0)
        kinds += [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
        if kind is not errors.QueuectlError:
            found.setdefault(
                kind.code, f"{(kind.__doc__ or '').partition('. ')[0].rstrip('.')} (exit {kind.exit_code})"
            )
    return tuple(found.items())


def topics() -> dict[str, tuple[Section, ...]]:
    """All topics by name."""
    return {
        "exit-codes": (Section("Exit codes", EXIT_CODES),),
        "json": (
            Section("What --json prints", SHAPES),
            Section("Codes of errors", error_codes()),
            Section("Codes of notes", NOTES),
        ),
        "environment": (
            Section("Variables that queuectl reads", READ),
            Section("Variables that queuectl sets for a command", SEEN),
        ),
        "states": (Section("States of a job", STATES),),
    }


NAMES = ("exit-codes", "json", "environment", "states")


def text(name: str) -> str:
    """A topic as `queuectl help` prints it."""
    return "\n\n".join("\n".join(_lines(section)) for section in topics()[name])


def _lines(section: Section) -> Iterator[str]:
    from textwrap import wrap

    yield f"{section.title}:"
    width = 4 + max(len(word) for word, _ in section.rows)
    for word, meaning in section.rows:
        yield from wrap(
            meaning,
            WIDTH,
            initial_indent=f"  {word:<{width - 2}}",
            subsequent_indent=" " * width,
            break_on_hyphens=False,
        )
