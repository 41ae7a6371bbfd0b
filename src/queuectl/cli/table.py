"""Commands that have a module of their own, one row each: name, meaning, function, options.

All others follow from the table of operations: see `cli.commands`, which is read only where a command is not found
here. A command's module is imported only when that command is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from queuectl.cli.options import ACT, ENQUEUE, FILE, FOLLOW, ON_CONFLICT, SELECT, Option, flag, many, option

if TYPE_CHECKING:
    from queuectl.client.operation import Operation

__all__ = ["GLOBAL_OPTIONS", "GROUPS", "OWN", "Command", "Option", "function_of"]

JOBS, WORKERS, LIMITS, DLQ = "Jobs", "Workers", "Queues and locks", "Dead letter queue"
WEB, SETUP = "Over HTTP", "Setup and upkeep"
GROUPS = (JOBS, WORKERS, LIMITS, DLQ, WEB, SETUP)

GLOBAL_OPTIONS = (
    option("--db", "PATH", "the store (default: $QUEUECTL_DB or the nearest)"),
    flag("--json", "print JSON, and nothing else, on stdout"),
    flag("--quiet", "print bare ids and no messages"),
    Option(
        ("--color",), "colours (auto: only on a terminal)", {"choices": ("auto", "always", "never"), "default": "auto"}
    ),
    Option(("--version",), "print the version", {"action": "store_true"}),
    Option(("-h", "--help"), "print this help", {"action": "store_true"}),
)


class Command(NamedTuple):
    """One row. `target` is `module:function` relative to `queuectl.cli`, imported when it is called. `words` shows its
    `least` to `most` (None: any number of) positional words. `takes_command`: words after `--` are a command.
    `own_failure` replaces the exit code of queuectl's own errors in commands that pass on another exit code.
    `makes_store`: makes the store if it does not exist. `frees_room`: may use the reserved space on a full disk.
    `reads`: changes nothing and shows nothing secret. `only_here`: why the dashboard's console refuses it.
    `operation`: the use case of a plain command."""

    name: str
    group: str
    help: str
    description: str
    target: str
    examples: tuple[str, ...]
    words: str = ""
    least: int = 0
    most: int | None = None
    options: tuple[Option, ...] = ()
    takes_command: bool = False
    own_failure: int | None = None
    makes_store: bool = False
    frees_room: bool = False
    reads: bool = False
    only_here: str = ""
    operation: Operation[Any] | None = None


_ROWS = (
    Command(
        name="enqueue", group=JOBS, makes_store=True, help="add a job", target="enqueue:enqueue",
        words="[JSON]", options=(*ENQUEUE, ON_CONFLICT, FILE), takes_command=True,
        description="Add a job: as JSON, as words after --, or as a shell string with -c. Add many from a file with "
        "--file. Once its id is printed, the job survives a crash and a power cut.",
        examples=(
            """queuectl enqueue '{"id": "job1", "command": "sleep 2", "max_retries": 2}'""",
            "queuectl enqueue --queue video --timeout 1h -- ffmpeg -i in.mov out.mp4",
            "queuectl enqueue --delay 10m -c 'make report | mail -s report me'",
            "queuectl enqueue --file jobs.jsonl",
        ),
    ),
    Command(
        name="run", group=JOBS, help="add a job, follow its output, exit with its code", target="run:run",
        makes_store=True,
        options=(
            *ENQUEUE,
            flag("--keep", "leave the job in the queue on Ctrl-C"),
            option("--start-timeout", "S", "cancel the job if it has not started after S seconds"),
        ),
        takes_command=True, own_failure=125,
        description="Add a job, show its output as it comes, and exit with its exit code. It is not retried unless "
        "--max-retries is given. Exit code 125 is a failure of queuectl itself. Ctrl-C cancels the job.",
        examples=("queuectl run -- make -j4 test", "queuectl run --queue gpu -c 'python train.py > log'"),
    ),
    Command(
        name="status", group=JOBS, reads=True, help="show workers, counts and the next retries (the default)",
        target="status:status",
        description="Show the store, its workers and their slots, the number of jobs in each state, the oldest "
        "waiting job, and the next retries. With --check, print one line for each problem and exit 1 if there is one.",
        options=(
            flag("--check", "print each problem on a line; exit 1 if there is one"),
            option("--max-wait", "DURATION", "with --check: longest wait of a due job (default: 10m)", default="10m"),
            option("--dead-within", "DURATION", "with --check: look this far back (default: 1h)", default="1h"),
        ),
        examples=("queuectl status", "queuectl status --json", "queuectl status --check --max-wait 30m"),
    ),
    Command(
        name="list", group=JOBS, reads=True, help="list jobs", target="listing:list_jobs", words="[ID...]",
        options=(
            *SELECT,
            option("--limit", "N", "at most the N newest, or the first N by --sort; or all"),
            option("--sort", "KEY", "by id, state, queue, priority, attempts, created, updated; -KEY: reverse"),
        ),
        description="List jobs, the newest last: on a terminal as many as fit, in a pipe and as JSON all that match. "
        "All selectors must match; repeat one to match any of its values.",
        examples=(
            "queuectl list --state failed --state dead",
            "queuectl list --command 'ffmpeg *' --older-than 1h",
            "queuectl list --json | jq -r '.[].id'",
        ),
    ),
    Command(
        name="show", group=JOBS, reads=True, help="show everything about a job", target="listing:show", words="[ID...]",
        options=SELECT,
        description="Show a job's command, policy and environment, why it is not running yet, every attempt, and what "
        "people did to it. With --json: the job with its executions and events.",
        examples=("queuectl show job1", "queuectl show job1 --json"),
    ),
    Command(
        name="explain", group=JOBS, reads=True,
        help="say why a job is not running", target="listing:explain", words="[ID...]",
        options=SELECT,
        description="Say what a job is doing, or what it waits for: each closed gate on a line, with who keeps it "
        "closed and the job's place in line; when it is likely to start, by the last 100 runs of its queue; and what "
        "would bring that forward. With --json: `reason_code` says which kind of gate it is.",
        examples=("queuectl explain job1",),
    ),
    Command(
        name="logs", group=JOBS, reads=True, help="print a command's output", target="logs:logs", words="[ID...]",
        options=(*FOLLOW, *SELECT),
        description="Print what a job's command wrote, byte for byte: its latest attempt, or the one that --attempt "
        "names. -f may start before the job does, follows its retries and ends with it.",
        examples=("queuectl logs job1", "queuectl logs -f job1", "queuectl logs job1 --attempt 2 --tail 20"),
    ),
    Command(
        name="wait", group=JOBS, reads=True, help="wait until jobs have finished", target="wait:wait", words="[ID...]",
        options=(
            flag("--any", "wait only until the first of them has finished"),
            option("--timeout", "DURATION", "give up after this long, with exit code 124"),
            flag("--allow-none", "exit 0 if the selection matches no job"),
            *SELECT,
        ),
        own_failure=125,
        description="Wait until the jobs are completed, dead or cancelled. Exit with the job's exit code: the highest "
        "of several, 128+n for signal n, 125 if it never ran. Exit 3 if the selection matches no job.",
        examples=("queuectl wait job1 job2", "queuectl wait --tag nightly --timeout 1h"),
    ),
    Command(
        name="retry", group=JOBS, help="run jobs again", target="acting:retry", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Run jobs again. A failed job runs now and keeps its attempts. A finished job starts over with 0 "
        "attempts. Selectors match failed, dead and cancelled jobs unless --state is given.",
        examples=("queuectl retry job1", "queuectl retry --state cancelled --queue video"),
    ),
    Command(
        name="clone", group=JOBS, help="add a copy of a job", target="enqueue:clone", words="ID", least=1, most=1,
        options=ENQUEUE, takes_command=True,
        description="Add a copy of a job under a new id, with its command, policy and environment. Options and a "
        "command after -- change the copy. The original stays as it is.",
        examples=("queuectl clone job1", "queuectl clone job1 --queue gpu --timeout 2h", "queuectl clone job1 -- make"),
    ),
    Command(
        name="set", group=JOBS, help="change jobs that are not running", target="setting:set_keys",
        words="[ID...] [KEY=VALUE...]", takes_command=True,
        options=(
            Option(
                ("--replace",), "put NEW in the place of OLD in the command",
                {"nargs": 2, "metavar": ("OLD", "NEW"), "default": None},
            ),
            *SELECT, *ACT,
        ),
        description="Change what jobs are to do that are not running. A key is one of a job's JSON, or named as the "
        "option of enqueue: queue, priority, run_at, delay, timeout, max_retries, tags, locks, command and others. Lists "
        "have commas between; none empties a key. A job that runs, or that a worker claims meanwhile, is refused with "
        "exit code 4. Selectors match waiting jobs unless --state is given.",
        examples=(
            "queuectl set job1 priority=5 timeout=2h",
            "queuectl set --queue video --tag old queue=archive run_at=22:00",
            "queuectl set job1 --replace in.mov out.mov",
            "queuectl set job1 -- make -j8",
        ),
    ),
    Command(
        name="cancel", group=JOBS, frees_room=True, help="end jobs for good", target="acting:cancel", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Cancel jobs that have not finished. A running command gets SIGTERM within a second, and SIGKILL "
        "after its kill-grace.",
        examples=("queuectl cancel job1", "queuectl cancel --queue video --state pending --yes"),
    ),
    Command(
        name="hold", group=JOBS, help="keep jobs from starting", target="acting:hold", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Hold jobs: no worker starts a held job until it is released.",
        examples=("queuectl hold job1", "queuectl hold --tag nightly"),
    ),
    Command(
        name="release", group=JOBS, help="let held jobs start", target="acting:release", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Release held jobs, so that workers may start them.",
        examples=("queuectl release job1", "queuectl release --all"),
    ),
    Command(
        name="delete", group=JOBS, frees_room=True, help="delete jobs with their history", target="acting:delete",
        words="[ID...]", options=(*SELECT, *ACT, flag("--force", "cancel running jobs first")),
        description="Delete jobs with their history and output. A running job is refused unless --force is given.",
        examples=("queuectl delete job1", "queuectl delete --state completed --older-than 7d"),
    ),
    Command(
        name="worker start", group=WORKERS, makes_store=True, help="run jobs", target="worker:start",
        options=(
            option("--count", "N", "run up to N commands at a time (default: 1)", dest="slots"),
            many("-q", "--queue", "QUEUE", "serve only this queue; may be repeated (default: all)", dest="queues"),
            many("--not-queue", "QUEUE", "serve all queues but this one; may be repeated", dest="not_queues"),
            option("--poll", "S", "look for work at least every S seconds"),
            flag("--drain", "exit once no job is left, scheduled ones included"),
            flag("--if-none", "do nothing if a live worker serves these queues"),
            flag("--detach", "run in the background"),
            option("--max-load", "L", "start nothing while the load average is L or more"),
            option("--min-free-memory", "SIZE", "start nothing while less memory is free, such as 2g"),
            option("--name", "NAME", "the worker's name (default: host and random letters)"),
            option("--stop-timeout", "S", "end running commands S seconds after a graceful stop"),
        ),
        description="Start a worker in the foreground. Ctrl-C lets running commands finish, starts no new ones, and "
        "exits 0. A second Ctrl-C ends the commands and gives their attempts back. A third one does not wait for an "
        "unavailable store.",
        examples=(
            "queuectl worker start --count 4",
            "queuectl worker start --queue video,mail --drain",
            "queuectl worker start --not-queue video",
            "queuectl worker start --detach --if-none --name night",
        ),
    ),
    Command(
        name="worker stop", group=WORKERS, frees_room=True, help="stop workers, from any terminal",
        target="worker:stop", words="[NAME...]", options=(
            flag("--now", "end their commands and give the attempts back"),
            flag("--all-hosts", "stop workers on other hosts too"),
        ),
        description="Stop the live workers of this host, or those named, on any host; names may be GLOBs. Each "
        "finishes its running commands and exits. Wait until all have exited, and print their names.",
        examples=("queuectl worker stop", "queuectl worker stop night --now"),
    ),
    Command(
        name="worker list", group=WORKERS, reads=True, help="list live workers", target="worker:list_workers",
        description="List live workers with their slots, queues and running jobs.",
        examples=("queuectl worker list", "queuectl worker list --json"),
    ),
    Command(
        name="worker logs", group=WORKERS, reads=True,
        help="print a worker's log", target="worker:logs", words="[NAME]",
        most=1, options=(
            flag("-f", "--follow", "follow the log until the worker exits"),
            option("--tail", "N", "only the last N lines"),
        ),
        description="Print the log of the named worker. Without a name: of the only live worker, or of the last one "
        "if none is alive.",
        examples=("queuectl worker logs night", "queuectl worker logs -f"),
    ),
    Command(
        name="queue set", group=LIMITS, makes_store=True, help="set limits of a queue", target="queue:set_limits",
        words="QUEUE KEY=VALUE...", least=2,
        description="Set limits of a queue: concurrency=4 runs 4 of its jobs at a time, over all workers; rate=100/h "
        "starts at most 100 in any hour, and rate=100/h,even spaces them. max-retries, timeout, kill-grace and "
        "backoff-… are defaults of jobs added from now on. none lifts. A lowered limit ends nothing.",
        examples=(
            "queuectl queue set video concurrency=4",
            "queuectl queue set api rate=100/h,even max-retries=5 timeout=10m",
            "queuectl queue set video concurrency=none",
        ),
    ),
    Command(
        name="lock set", group=LIMITS, makes_store=True, help="set the units of a lock", target="lock:set_units",
        words="LOCK [N|units=A,B...] [env=NAME]", least=2, most=3,
        description="Set how many units a lock has, or their names. A command sees the units it holds in "
        "QUEUECTL_LOCK_NAME, and with env= in that variable too. A lock that nobody has set has one unit.",
        examples=(
            "queuectl lock set licence 4",
            "queuectl lock set gpu units=0,1,2,3 env=CUDA_VISIBLE_DEVICES",
        ),
    ),
    Command(
        name="dlq list", group=DLQ, reads=True,
        help="list dead jobs, with reason and last output", target="dlq:list_dead",
        words="[ID...]", options=(
            *SELECT,
            option("--limit", "N", "at most the N newest; or all"),
            flag("--group", "count by queue, command, exit code and error"),
        ),
        description="List the dead letter queue: jobs that have used up their retries or failed permanently.",
        examples=("queuectl dlq list", "queuectl dlq list --group", "queuectl dlq list --error timed --json"),
    ),
    Command(
        name="dlq show", group=DLQ, reads=True,
        help="show everything about a dead job", target="dlq:show", words="[ID...]",
        options=SELECT,
        description="Like queuectl show, for dead jobs only.", examples=("queuectl dlq show job1",),
    ),
    Command(
        name="dlq retry", group=DLQ, help="run dead jobs again", target="dlq:retry", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Move dead jobs back to their queue with 0 attempts; their history is kept. Other jobs are "
        "refused.",
        examples=("queuectl dlq retry job1", "queuectl dlq retry --all", "queuectl dlq retry --queue mail --yes"),
    ),
    Command(
        name="dlq purge", group=DLQ, frees_room=True, help="delete dead jobs", target="dlq:purge", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Delete dead jobs with their history. Other jobs are refused.",
        examples=("queuectl dlq purge job1", "queuectl dlq purge --older-than 30d"),
    ),
    Command(
        name="serve", group=WEB, only_here="is already running",
        help="serve a dashboard, a REST API and metrics", target=".web.serve:serve",
        makes_store=True,
        options=(
            option("--host", "ADDRESS", "listen here (default: 127.0.0.1, this machine only)", default="127.0.0.1"),
            option("--port", "N", "listen on this port (default: 8321; 0: any free one)", default="8321"),
            many("--allow-host", "NAME", "accept this host name too; may be repeated"),
            option("--cert", "FILE", "serve HTTPS with this certificate (PEM)"),
            option("--key", "FILE", "private key of the certificate (PEM)"),
            flag("--insecure", "allow other machines without HTTPS"),
        ),
        description="Serve the dashboard and the REST API until Ctrl-C. Every request needs a token; the address "
        "printed at the start logs a browser in. Anyone with a full token can run commands as you.",
        examples=("queuectl serve", "queuectl serve --host 0.0.0.0 --cert cert.pem --key key.pem"),
    ),
    Command(
        name="audit", group=WEB, help="list who did what", target="audit:audit",
        options=(option("--limit", "N", "only the N latest (default: 50)"),),
        description="List what people did: actions on jobs, deletions, changed settings, stopped workers, tokens. "
        "People who used HTTP are named by their token. The person who added a job is in queuectl show.",
        examples=("queuectl audit", "queuectl audit --limit 1000 --json"),
    ),
    Command(
        name="config show", group=SETUP, reads=True, help="show every setting", target="config:show",
        description="Show each setting's value, default and meaning. Settings are kept in the store, for all its "
        "users.",
        examples=("queuectl config show", "queuectl config show --json"),
    ),
    Command(
        name="init", group=SETUP, only_here="makes a store in the folder of a terminal",
        makes_store=True, help="make a store in this folder", target="upkeep:init",
        description="Make ./queuectl.db. Commands in this folder and below then use it. If --db or $QUEUECTL_DB names "
        "a server, make the tables there instead.",
        examples=("queuectl init",),
    ),
    Command(
        name="prune", group=SETUP, frees_room=True, help="delete old finished jobs", target="upkeep:prune",
        options=(
            option("--older-than", "DURATION", "delete jobs unchanged for this long, e.g. 30d"),
            many("--state", "STATE", "delete only completed, cancelled or dead jobs"),
            flag("--shrink", "then shrink the file, while workers wait"),
            *ACT,
        ),
        description="Delete finished jobs that match the options or, without options, that are older than the "
        "retention settings.",
        examples=("queuectl prune --older-than 30d", "queuectl prune --state completed --shrink"),
    ),
    Command(
        name="doctor", group=SETUP, help="check the store and this machine", target="upkeep:doctor",
        description="Check the SQLite library, the store's permissions, integrity and schema, disk space, and what "
        "dead workers left. Print a fix with each finding. Exit 1 if there is a problem.",
        options=(flag("--clean", "first remove what dead workers left"),),
        examples=("queuectl doctor", "queuectl doctor --clean"),
    ),
    Command(
        name="copy", group=SETUP, only_here="would move the store away under this server",
        help="move the store to another place", target="upkeep:copy",
        options=(
            option("--to", "URL", "copy to this path or postgresql://…"),
            flag("--keep", "keep using the store here"),
            flag("--replace", "first remove what the target store holds"),
            *ACT[:1],
        ),
        description="Copy all jobs with their history, output and settings to another store, SQLite or PostgreSQL. "
        "Workers first finish their commands and stop. The copy is compared with the original. Afterwards commands on "
        "the old store fail and name the new one, unless --keep is given.",
        examples=("queuectl copy --to postgresql://queue@db/work", "queuectl copy --to ./queuectl.db --keep"),
    ),
    Command(
        name="reset", group=SETUP, only_here="would remove the store under this server",
        help="delete the store with all its jobs", target="upkeep:reset", options=ACT[:1],
        description="Delete the store: all jobs, output and settings. The next job makes a new one.",
        examples=("queuectl reset", "queuectl reset --yes"),
    ),
    Command(
        name="completion", group=SETUP, only_here="is for the shell of a terminal",
        help="print a completion script for your shell", target="upkeep:completion",
        words="SHELL", least=1, most=1,
        description="Print a completion script for bash, zsh, fish, tcsh or powershell.",
        examples=('eval "$(queuectl completion bash)"',),
    ),
    Command(
        name="demo", group=SETUP, only_here="needs a terminal",
        makes_store=True, help="see it work in a temporary store", target="demo:demo",
        description="Add a few real jobs to a temporary store, run them with two slots, and show what happened. It "
        "takes a few seconds and leaves nothing behind.",
        examples=("queuectl demo",),
    ),
)  # fmt: skip

OWN = {row.name: row for row in _ROWS}


def function_of(target: str) -> Callable[..., Any]:
    """The function that `module:function` means, as seen from here."""
    from importlib import import_module

    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(import_module(f".{module}", "queuectl.cli"), name)
    return function
