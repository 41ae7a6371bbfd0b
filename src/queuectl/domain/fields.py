"""Every key of a job, one row each, in the order in which its JSON shows them.

From a row follow: the check of input, JSON in both directions, the JSON schemas, the options of `enqueue` and their
help, the dashboard's form, the command line that would enqueue a job again, the supervisor's message, and the rows of
both stores. A new key needs a row here, an attribute of `Spec` or `Job`, and its behaviour.
"""

from __future__ import annotations

from queuectl.domain.job import Spec
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal[
        "text", "filled text", "path", "id", "name", "names", "command", "script", "hook", "whole number", "number",
        "flag", "time", "duration", "positive duration", "duration or none",
        "seconds", "size", "exit codes", "umask", "variables", "locks",
        "dependencies", "key", "rule", "allowance", "secrets", "state", "worker", "json",
    ]  # fmt: skip
    """The type of a value. Each kind has one check (wire/kinds.py), one form in JSON (wire/jobs.py), one schema in each
    direction (client/schemas.py) and one type as a keyword argument (wire/keywords.py)."""

    Place = Literal["spec", "column", "life", "nowhere"]
    """Where a value is kept.

    - spec: in the spec that many jobs share, as an attribute of `Spec`; fixed when the job is enqueued.
    - column: in a column, because jobs are selected or ordered by it, as an attribute of `Job`; fixed likewise.
    - life: in a column, but changed by events.
    - nowhere: computed when it is shown, or used only when the job is enqueued.
    """

    Setter = Literal["user", "queuectl", "ignored"]
    """Who writes a value.

    - user: the person or program that enqueues the job.
    - queuectl: refused as input.
    - ignored: queuectl, but accepted as input and ignored.
    """

PRIORITY_MAX = 1_000_000
RETRIES_MAX = 1_000_000
BACKOFF_BASE_MAX = 1000
MEMORY_MIN, MEMORY_MAX = 1 << 20, 1 << 50
NICE_MIN, NICE_MAX = -20, 19
AT_MOST_MAX = 1000
UNLIMITED = float("inf")


class Field(NamedTuple):
    """One key. `low` and `high` bound a number. `nullable`: its JSON may be null.

    `option` (or `short`), `metavar` and `help` describe the option of `enqueue`; `label`, `hint` and `example` the
    input of the dashboard's form; `often`: it is shown first. `told`: the supervisor needs the value to
    run the command. `shown`: it is in a job's JSON. `guarded`: a release that does not
    know the key would run the job wrongly, so the first job that has it shuts older releases out of its store.
    `settable`: `set` may change it later; so it may all keys of a spec, but for those that are `spent` on a new job.
    """

    name: str
    kind: Kind
    place: Place
    setter: Setter = "user"
    low: float = 0
    high: float = UNLIMITED
    nullable: bool = False
    option: str = ""
    short: str = ""
    metavar: str | None = None
    help: str = ""
    label: str = ""
    hint: str = ""
    example: str = ""
    often: bool = False
    told: bool = False
    shown: bool = True
    guarded: bool = False
    settable: bool = False
    spent: bool = False


FIELDS: tuple[Field, ...] = (
    Field(
        "id", "id", "column", option="--id", metavar="ID", help="the job's id (default: a random one)",
        label="Id", hint="left out: a random one", often=True,
    ),
    Field("command", "command", "column", settable=True),
    Field("state", "state", "life", "ignored"),
    Field("attempts", "whole number", "life", "ignored"),
    Field(
        "max_retries", "whole number", "spec", high=RETRIES_MAX,
        option="--max-retries", metavar="N", help="retries after the first run",
        label="Retries", hint="after the first run", often=True,
    ),
    Field("created_at", "time", "column", "ignored"),
    Field("updated_at", "time", "life", "ignored"),
    Field(
        "queue", "name", "column",
        option="--queue", short="-q", metavar="QUEUE", help="the queue (default: default)",
        label="Queue", example="default", often=True, settable=True,
    ),
    Field(
        "priority", "whole number", "column", low=-PRIORITY_MAX, high=PRIORITY_MAX,
        option="--priority", metavar="N", help="higher runs first (default: 0)",
        label="Priority", hint="higher runs first", example="0", often=True, settable=True,
    ),
    Field(
        "run_at", "time", "life",
        option="--at", metavar="TIME", help="start no earlier than 18:00, '2026-11-21 18:00' or RFC 3339",
        settable=True,
    ),
    Field(
        "delay", "duration", "nowhere", shown=False,
        option="--delay", metavar="DURATION", help="start no earlier than this from now: 90, 10m, 1h30m",
        label="Delay", hint="not before this has passed", example="10m", often=True, settable=True,
    ),
    Field(
        "expires", "positive duration", "spec", nullable=True,
        option="--expires", metavar="DURATION", help="cancel it unless it has started this long after it was due",
        label="Expires after", hint="unless it has started", guarded=True,
    ),
    Field(
        "start_by", "time", "life", nullable=True,
        option="--start-by", metavar="TIME", help="cancel it unless it has started by this time", guarded=True,
        settable=True,
    ),
    Field(
        "timeout", "duration or none", "spec", nullable=True,
        option="--timeout", metavar="DURATION", help="time limit of one attempt; none: no limit",
        label="Time limit", hint="of one attempt", often=True,
    ),
    Field(
        "kill_grace", "duration", "spec",
        option="--kill-grace", metavar="DURATION", help="wait this long between SIGTERM and SIGKILL",
        label="From SIGTERM to SIGKILL",
    ),
    Field(
        "backoff_base", "number", "spec", low=1, high=BACKOFF_BASE_MAX,
        option="--backoff-base", metavar="X", help="each delay is X times the one before",
        label="Each delay times",
    ),
    Field(
        "backoff_initial", "duration", "spec",
        option="--backoff-initial", metavar="DURATION", help="delay before the first retry",
        label="First retry after",
    ),
    Field(
        "backoff_max", "duration", "spec",
        option="--backoff-max", metavar="DURATION", help="longest delay between retries",
        label="Longest delay",
    ),
    Field(
        "backoff_jitter", "number", "spec", high=1,
        option="--backoff-jitter", metavar="FRACTION", help="part (0..1) of a delay that may be taken off",
        label="Jitter", hint="0 to 1, taken off at random",
    ),
    Field(
        "retry_on", "exit codes", "spec",
        option="--retry-on", metavar="CODES", help="retry only on these exit codes, e.g. 75,111",
        label="Retry only on exit codes", example="75,111",
    ),
    Field(
        "fatal_on", "exit codes", "spec",
        option="--fatal-on", metavar="CODES", help="never retry on these exit codes; 128+n means signal n",
        label="Never retry on exit codes", example="2",
    ),
    Field(
        "memory_max", "size", "spec", low=MEMORY_MIN, high=MEMORY_MAX, nullable=True, told=True, guarded=True,
        option="--memory-max", metavar="SIZE", help="end it once its processes use more memory than this: 512m, 4g",
        label="Memory limit", hint="512m, 4g: of all its processes",
    ),
    Field(
        "nice", "whole number", "spec", low=NICE_MIN, high=NICE_MAX, nullable=True, told=True, guarded=True,
        option="--nice", metavar="N", help="run it with this niceness: 19 gives way most (default: the worker's)",
        label="Niceness", hint="-20 to 19; 19 gives way most",
    ),
    Field(
        "user", "name", "spec", nullable=True, told=True, guarded=True,
        option="--user", metavar="NAME", help="run it as this user; the worker has to be root",
        label="Run as user", hint="on a worker of root",
    ),
    Field(
        "script", "script", "spec", nullable=True, told=True, guarded=True,
        option="--script", metavar="FILE",
        help="run a copy of this script; words after -- are its arguments; its lines #QUEUECTL … are options",
        label="Script", hint="run in the place of the program; the command is its name and its arguments",
    ),
    Field(
        "cwd", "path", "spec", nullable=True, told=True,
        option="--cwd", metavar="FOLDER", help="run in this folder (default: here)",
        label="Folder", hint="left out: the server's",
    ),
    Field("umask", "umask", "spec", nullable=True, told=True),
    Field(
        "env", "variables", "spec", told=True,
        option="--env", metavar="NAME[=VALUE]", help="set a variable (without =: to its value here)",
        label="Variables, NAME=VALUE a line",
    ),
    Field("captured", "names", "spec", "queuectl", told=True, shown=False),
    Field(
        "secrets", "secrets", "spec", guarded=True, option="--secret", metavar="NAME",
        help="set a variable whose value only the worker knows (worker start --secrets); may be repeated",
        label="Secrets", hint="names, with commas between; their values are the worker's", example="API_TOKEN",
    ),
    Field(
        "shell", "filled text", "spec", told=True,
        option="--shell", metavar="PATH", help="run a command string with this (default: /bin/sh)",
        label="Shell", example="/bin/sh",
    ),
    Field(
        "stdin", "path", "spec", nullable=True, told=True,
        option="--stdin", metavar="FILE", help="read input from this file (default: no input)",
        label="Input from file",
    ),
    Field(
        "output_path", "path", "spec", nullable=True, told=True,
        option="--output", metavar="PATH", help="also write the output to this file",
        label="Output also to file",
    ),
    Field(
        "split_output", "flag", "spec", told=True,
        option="--split-output", help="keep stdout and stderr apart",
        label="Keep stdout and stderr apart",
    ),
    Field(
        "tags", "names", "column",
        option="--tag", metavar="TAG", help="a word to select the job by; may be repeated",
        label="Tags", hint="with commas between", example="nightly,web", often=True, settable=True,
    ),
    Field(
        "batch", "name", "column", nullable=True, guarded=True,
        option="--batch", metavar="NAME", help="the batch that it belongs to",
        label="Batch", hint="the batch that it belongs to", example="import-7",
    ),
    Field(
        "at_most", "whole number", "nowhere", low=1, high=AT_MOST_MAX, shown=False,
        option="--at-most", metavar="N", help="with --batch: run at most N jobs of the batch at once",
        label="At most", hint="this many of the batch run at once",
    ),
    Field(
        "max_fails", "allowance", "nowhere", shown=False,
        option="--max-fails", metavar="N[%]",
        help="with --batch: cancel the rest once more than N of its jobs are dead",
        label="Dead jobs allowed", hint="N or N%: then the rest of the batch is cancelled",
    ),
    Field("schedule", "name", "column", "queuectl", nullable=True),
    Field("scheduled_at", "time", "column", "queuectl", nullable=True),
    Field(
        "unique_key", "key", "column", nullable=True, guarded=True,
        option="--unique-key", metavar="KEY", help="add it only if no unfinished job has this key",
        label="Unique key", hint="not while another unfinished job has it", example="sync-users",
    ),
    Field(
        "unique_for", "positive duration", "spec", nullable=True, guarded=True,
        option="--unique-for", metavar="DURATION", help="hold the unique key at least this long",
        label="Unique for", hint="hold the key at least this long", spent=True,
    ),
    Field("unique_until", "time", "column", "queuectl", nullable=True, shown=False),
    Field(
        "on_conflict", "rule", "nowhere", shown=False,
        option="--on-conflict", metavar="RULE",
        help="if the unique key or id is taken: ignore (default for keys), error (default for ids, and of clone), or "
        "replace",
        label="If the key is taken", hint="ignore, error or replace",
    ),
    Field(
        "depends_on", "dependencies", "column",
        option="--after", metavar="ID[:any|failed]",
        help="start only once this job, or batch:NAME, has completed (any: has finished; failed: is dead or "
        "cancelled); may be repeated",
        label="After", hint="ID or batch:NAME, with :any or :failed if need be, with commas between", example="build",
        guarded=True,
    ),
    Field(
        "locks", "locks", "column",
        option="--lock", metavar="NAME[=N]", help="hold N units (default: 1) of a lock while it runs; may be repeated",
        label="Locks", hint="NAME or NAME=N, with commas between", example="gpu=2",
        guarded=True, settable=True,
    ),
    Field("place", "number", "life", "queuectl", nullable=True, shown=False),
    Field("units", "text", "column", "queuectl", nullable=True, shown=False),
    Field(
        "held", "flag", "life",
        option="--hold", help="hold the job until it is released",
        label="Hold it until it is released", often=True, settable=True,
    ),
    Field(
        "on_success", "hook", "spec", nullable=True, guarded=True, option="--on-success", metavar="CMD|URL",
        help="once it has succeeded: run this command, or call this URL; none: no hook", label="On success",
        hint="a command, or a URL to call",
    ),
    Field(
        "on_failure", "hook", "spec", nullable=True, guarded=True, option="--on-failure", metavar="CMD|URL",
        help="after each failed attempt: run this command, or call this URL; none: no hook", label="On each failure",
        hint="a command, or a URL to call",
    ),
    Field(
        "on_dead", "hook", "spec", nullable=True, guarded=True, option="--on-dead", metavar="CMD|URL",
        help="once it is in the dead letter queue: run this command, or call this URL; none: no hook",
        label="On its death", hint="a command, or a URL to call",
    ),
    Field("owner", "text", "column", "queuectl", nullable=True),
    Field("worker", "worker", "life", "queuectl", nullable=True),
    Field("host", "text", "life", "queuectl", nullable=True),
    Field("lease", "whole number", "life", "queuectl"),
    Field("lost", "whole number", "life", "queuectl"),
    Field("started_at", "time", "life", "queuectl", nullable=True),
    Field("finished_at", "time", "life", "queuectl", nullable=True),
    Field("duration", "seconds", "nowhere", "queuectl", nullable=True),
    Field("next_retry_at", "time", "life", "queuectl", nullable=True),
    Field("exit_code", "whole number", "life", "queuectl", low=-UNLIMITED, nullable=True),
    Field("signal", "whole number", "life", "queuectl", low=-UNLIMITED, nullable=True),
    Field("error", "text", "life", "queuectl", nullable=True),
    Field("progress", "text", "life", "queuectl", nullable=True),
    Field("result", "json", "life", "queuectl", nullable=True),
    Field("output_bytes", "whole number", "life", "queuectl", nullable=True),
    Field("cpu_time", "seconds", "life", "queuectl", nullable=True),
    Field("max_rss", "whole number", "life", "queuectl", nullable=True),
    Field("reason", "text", "nowhere", "queuectl", nullable=True),
)  # fmt: skip

INPUT: tuple[Field, ...] = tuple(
    sorted(
        (field for field in FIELDS if field.setter == "user"),
        key=lambda field: Spec._fields.index(field.name) if field.place == "spec" else -1,
    )
)
"""Keys that users may give, in the order of help and forms: first those of the job, then those of its spec."""

SETTABLE = tuple(field for field in INPUT if field.settable or (field.place == "spec" and not field.spent))
"""Keys that `set` may change."""

GUARDED = tuple(field.name for field in INPUT if field.guarded)
