"""Every command, one row each: its name, what it is for, which function does it, what it takes.

The parser, the help, the completion and the tests come from this table. A command's module is imported only
when that command is called.
"""

from __future__ import annotations

from typing import NamedTuple

from queuectl.cli.options import ACT, ENQUEUE, FILE, FOLLOW, ON_CONFLICT, SELECT, Option, flag, many, option

__all__ = ["COMMANDS", "GLOBAL_OPTIONS", "GROUPS", "Command", "Option"]

JOBS, WORKERS, DLQ, WEB, SETUP = "Jobs", "Workers", "Dead letter queue", "Over HTTP", "Setup and upkeep"
GROUPS = (JOBS, WORKERS, DLQ, WEB, SETUP)

GLOBAL_OPTIONS = (
    option("--db", "PATH", "the store (default: $QUEUECTL_DB or the nearest)"),
    flag("--json", "print JSON, and nothing else, on stdout"),
    flag("--quiet", "print bare ids, no messages"),
    Option(
        ("--color",), "colours (auto: only on a terminal)", {"choices": ("auto", "always", "never"), "default": "auto"}
    ),
    Option(("--version",), "print the version", {"action": "store_true"}),
    Option(("-h", "--help"), "print this help", {"action": "store_true"}),
)


class Command(NamedTuple):
    """One row. `target` is `module:function` as seen from `queuectl.cli`, found by name when it is called; `words` is
    how its positional words are shown, of which there may be `least` to `most` (none: any number). `takes_command`:
    words behind `--` are a command. `own_failure` replaces the exit code of queuectl's own errors where the
    command's codes are passed through. `makes_store`: it writes, and makes the store where there is none. `frees_room`:
    on a full disk it may use the room that is kept for the way out."""

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


_ROWS = (
    Command(
        name="enqueue", group=JOBS, makes_store=True, help="add a job", target="enqueue:enqueue",
        words="[JSON]", options=(*ENQUEUE, ON_CONFLICT, FILE), takes_command=True,
        description="Adds a job: given as JSON, as words behind --, as a shell string with -c, or many from a file. "
        "When its id is printed, the job survives a crash and a power cut.",
        examples=(
            """queuectl enqueue '{"id": "job1", "command": "sleep 2", "max_retries": 2}'""",
            "queuectl enqueue --queue video --timeout 1h -- ffmpeg -i in.mov out.mp4",
            "queuectl enqueue --delay 10m -c 'make report | mail -s report me'",
            "queuectl enqueue --file jobs.jsonl",
        ),
    ),
    Command(
        name="run", group=JOBS, help="add a job, follow its output, exit as it does", target="run:run",
        makes_store=True,
        options=(
            *ENQUEUE,
            flag("--keep", "Ctrl-C leaves the job in the queue"),
            option("--start-timeout", "S", "cancel it if it has not started after this long"),
        ),
        takes_command=True, own_failure=125,
        description="Enqueues a command (without retries, unless --max-retries is given), shows its output as it "
        "comes and exits with its exit code; 125 is a failure of queuectl itself. Ctrl-C cancels the job.",
        examples=("queuectl run -- make -j4 test", "queuectl run --queue gpu -c 'python train.py > log'"),
    ),
    Command(
        name="status", group=JOBS, help="workers, counts, what comes next (the default)", target="status:status",
        description="Shows which store this is, its workers and their slots, how many jobs are in which state, the "
        "oldest one that waits, and the next retries. With --check it prints what is wrong, a line each, and exits 1.",
        options=(
            flag("--check", "exit 1 with a line for each finding"),
            option("--max-wait", "DURATION", "with --check: how long a due job may wait", default="10m"),
            option("--dead-within", "DURATION", "with --check: how far back to look for dead jobs", default="1h"),
        ),
        examples=("queuectl status", "queuectl status --json", "queuectl status --check --max-wait 30m"),
    ),
    Command(
        name="list", group=JOBS, help="list jobs", target="listing:list_jobs", words="[ID...]",
        options=(
            *SELECT,
            option("--limit", "N", "at most the N newest, or the first N of --sort (or all)"),
            option("--sort", "KEY", "by id, state, queue, priority, attempts, created, updated; -KEY: reverse"),
        ),
        description="Lists jobs, the newest last. On a terminal it shows as many as fit; in a pipe and as JSON all "
        "that match. Different selectors must all match; of a repeated one any.",
        examples=(
            "queuectl list --state failed --state dead",
            "queuectl list --command 'ffmpeg *' --older-than 1h",
            "queuectl list --json | jq -r '.[].id'",
        ),
    ),
    Command(
        name="show", group=JOBS, help="all about a job", target="listing:show", words="[ID...]", options=SELECT,
        description="Shows a job's command, policy and surroundings, why it does not run yet, every attempt, and "
        "what people did to it. As JSON: the job with its executions and events.",
        examples=("queuectl show job1", "queuectl show job1 --json"),
    ),
    Command(
        name="explain", group=JOBS, help="say why a job does not run", target="listing:explain", words="[ID...]",
        options=SELECT, description="Says in words what a job is doing or what it waits for.",
        examples=("queuectl explain job1",),
    ),
    Command(
        name="logs", group=JOBS, help="a command's output", target="logs:logs", words="[ID...]",
        options=(*FOLLOW, *SELECT),
        description="Prints what a job's command wrote, byte for byte: of its latest attempt unless --attempt says "
        "otherwise. -f may start before the job does, follows its retries and ends with it.",
        examples=("queuectl logs job1", "queuectl logs -f job1", "queuectl logs job1 --attempt 2 --tail 20"),
    ),
    Command(
        name="wait", group=JOBS, help="wait until jobs have finished", target="wait:wait", words="[ID...]",
        options=(
            flag("--any", "until the first of them has finished"),
            option("--timeout", "DURATION", "give up after this long, with exit code 124"),
            flag("--allow-none", "a selection of no job is no failure"),
            *SELECT,
        ),
        own_failure=125,
        description="Blocks until the jobs are completed, dead or cancelled. Exits with the job's exit code (of "
        "several the highest; 128+n for signal n; 125 if it never ran). A selection of no job is exit code 3.",
        examples=("queuectl wait job1 job2", "queuectl wait --tag nightly --timeout 1h"),
    ),
    Command(
        name="retry", group=JOBS, help="run jobs again", target="acting:retry", words="[ID...]",
        options=(*SELECT, *ACT),
        description="A failed job runs again at once, its attempts kept. A finished one starts afresh. Selectors mean "
        "failed, dead and cancelled jobs, unless --state says otherwise.",
        examples=("queuectl retry job1", "queuectl retry --state cancelled --queue video"),
    ),
    Command(
        name="clone", group=JOBS, help="add a job once more", target="enqueue:clone", words="ID", least=1, most=1,
        options=ENQUEUE, takes_command=True,
        description="Adds the same job once more under a new id: its command, policy and surroundings, with what the "
        "options and the command behind -- change. The job itself stays as it is.",
        examples=("queuectl clone job1", "queuectl clone job1 --queue gpu --timeout 2h", "queuectl clone job1 -- make"),
    ),
    Command(
        name="cancel", group=JOBS, frees_room=True, help="end jobs for good", target="acting:cancel", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Cancels jobs that have not finished. The command of a running one is ended (SIGTERM, after its "
        "kill-grace SIGKILL) by its worker within a second.",
        examples=("queuectl cancel job1", "queuectl cancel --queue video --state pending --yes"),
    ),
    Command(
        name="hold", group=JOBS, help="keep jobs from being started", target="acting:hold", words="[ID...]",
        options=(*SELECT, *ACT), description="No worker claims a held job until it is released.",
        examples=("queuectl hold job1", "queuectl hold --tag nightly"),
    ),
    Command(
        name="release", group=JOBS, help="let held jobs be started", target="acting:release", words="[ID...]",
        options=(*SELECT, *ACT), description="Undoes hold.",
        examples=("queuectl release job1", "queuectl release --all"),
    ),
    Command(
        name="delete", group=JOBS, frees_room=True, help="remove jobs with their history", target="acting:delete",
        words="[ID...]", options=(*SELECT, *ACT, flag("--force", "cancel running ones first")),
        description="Removes jobs, their history and their output. A running job is refused, unless --force.",
        examples=("queuectl delete job1", "queuectl delete --state completed --older-than 7d"),
    ),
    Command(
        name="worker start", group=WORKERS, makes_store=True, help="run jobs", target="worker:start",
        options=(
            option("--count", "N", "commands at the same time (default: 1)", default="1"),
            many("-q", "--queue", "QUEUE", "serve only this queue; may be repeated"),
            option("--poll", "S", "look for work at least every S seconds"),
            flag("--drain", "exit once no job is left, not even one for later"),
            flag("--if-none", "only if no live worker serves these queues yet"),
            flag("--detach", "go to the background"),
            option("--name", "NAME", "the worker's name (default: host and number)"),
            option("--stop-timeout", "S", "end the commands S seconds after a graceful stop began"),
        ),
        description="Starts a worker in the foreground. Ctrl-C: finish the running commands, claim nothing new, exit "
        "0; a second Ctrl-C ends them and gives their attempts back; a third does not wait for a store that is away.",
        examples=(
            "queuectl worker start --count 4",
            "queuectl worker start --queue video --queue mail",
            "queuectl worker start --drain",
            "queuectl worker start --detach --if-none --name night",
        ),
    ),
    Command(
        name="worker stop", group=WORKERS, frees_room=True, help="stop workers, from any terminal",
        target="worker:stop", words="[NAME...]", options=(
            flag("--now", "end their commands, giving the attempts back"),
            flag("--all-hosts", "those on other hosts as well"),
        ),
        description="Asks the workers alive now on this host (or those named, anywhere; GLOBs work) to finish their "
        "running commands and exit, waits until they have, and says which.",
        examples=("queuectl worker stop", "queuectl worker stop night --now"),
    ),
    Command(
        name="worker list", group=WORKERS, help="the workers alive now", target="worker:list_workers",
        description="Lists live workers: their slots, queues and running jobs.",
        examples=("queuectl worker list", "queuectl worker list --json"),
    ),
    Command(
        name="worker logs", group=WORKERS, help="what a worker has done and met", target="worker:logs", words="[NAME]",
        most=1, options=(
            flag("-f", "--follow", "go on until the worker has gone"),
            option("--tail", "N", "only the last N lines"),
        ),
        description="Prints a worker's log: of the one named, the only one alive, or where none is, the last.",
        examples=("queuectl worker logs night", "queuectl worker logs -f"),
    ),
    Command(
        name="dlq list", group=DLQ, help="dead jobs, with reason and last output", target="dlq:list_dead",
        words="[ID...]", options=(
            *SELECT,
            option("--limit", "N", "at most the N newest (or all)"),
            flag("--group", "count by queue, command, exit code and error"),
        ),
        description="Lists the dead letter queue: jobs whose retries are used up or whose failure is permanent.",
        examples=("queuectl dlq list", "queuectl dlq list --group", "queuectl dlq list --error timed --json"),
    ),
    Command(
        name="dlq show", group=DLQ, help="all about a dead job", target="dlq:show", words="[ID...]",
        options=SELECT,
        description="As queuectl show, for dead jobs only.", examples=("queuectl dlq show job1",),
    ),
    Command(
        name="dlq retry", group=DLQ, help="run dead jobs again", target="dlq:retry", words="[ID...]",
        options=(*SELECT, *ACT),
        description="Moves dead jobs back into their queue: attempts back to 0, history kept. Other jobs are refused.",
        examples=("queuectl dlq retry job1", "queuectl dlq retry --all", "queuectl dlq retry --queue mail --yes"),
    ),
    Command(
        name="dlq purge", group=DLQ, frees_room=True, help="delete dead jobs", target="dlq:purge", words="[ID...]",
        options=(*SELECT, *ACT), description="Deletes dead jobs with their history. Other jobs are refused.",
        examples=("queuectl dlq purge job1", "queuectl dlq purge --older-than 30d"),
    ),
    Command(
        name="serve", group=WEB, help="dashboard, REST API and metrics in a server", target=".web.serve:serve",
        makes_store=True,
        options=(
            option("--host", "ADDRESS", "where to listen (default: 127.0.0.1, this machine only)", default="127.0.0.1"),
            option("--port", "N", "the port (default: 8321; 0: any free one)", default="8321"),
            many("--allow-host", "NAME", "another name that clients may use for this server; may be repeated"),
            option("--cert", "FILE", "serve HTTPS with this certificate (PEM)"),
            option("--key", "FILE", "its private key"),
            flag("--insecure", "listen beyond this machine without HTTPS"),
        ),
        description="Serves the dashboard and the REST API until Ctrl-C. A token is always needed: the address "
        "printed at the start logs a browser in. Whoever has a full token may run commands as you.",
        examples=("queuectl serve", "queuectl serve --host 0.0.0.0 --cert cert.pem --key key.pem"),
    ),
    Command(
        name="token create", group=WEB, help="let somebody in over HTTP", target="token:create", words="NAME",
        makes_store=True, least=1, most=1,
        options=(option("--role", "ROLE", "full or read-only (default: read-only)", default="read-only"),),
        description="Makes a token for the REST API and the dashboard and prints it, once; the store keeps only its "
        "digest. A full token may run commands.",
        examples=("queuectl token create monitor", "queuectl token create alice --role full"),
    ),
    Command(
        name="token list", group=WEB, help="who may come in over HTTP", target="token:list_tokens",
        description="Lists the tokens: names, roles, when they were last used.", examples=("queuectl token list",),
    ),
    Command(
        name="token revoke", group=WEB, help="end a token", target="token:revoke", words="NAME...", least=1,
        description="Ends tokens, named by name or id. Servers forget them within a second.",
        examples=("queuectl token revoke monitor",),
    ),
    Command(
        name="audit", group=WEB, help="who did what", target="audit:audit",
        options=(option("--limit", "N", "the N latest (default: 50)"),),
        description="Lists what people did: acts on jobs, deletions, settings, stopped workers, tokens. Who came over "
        "HTTP is named by token. Who added a job, the job says itself.",
        examples=("queuectl audit", "queuectl audit --limit 1000 --json"),
    ),
    Command(
        name="config show", group=SETUP, help="every setting", target="config:show",
        description="Shows each setting's value, default and meaning. They are kept in the store, for all its users.",
        examples=("queuectl config show", "queuectl config show --json"),
    ),
    Command(
        name="config get", group=SETUP, help="one setting", target="config:get", words="NAME", least=1, most=1,
        description="Prints the value of a setting.", examples=("queuectl config get max-retries",),
    ),
    Command(
        name="config set", group=SETUP, help="change a setting", target="config:set_value", words="NAME VALUE",
        makes_store=True,
        least=2, most=2, description="Changes a setting for jobs enqueued from now on; others keep theirs.",
        examples=("queuectl config set max-retries 5", "queuectl config set backoff-base 3"),
    ),
    Command(
        name="config unset", group=SETUP, help="put a setting back to its default", target="config:unset",
        words="NAME", least=1, most=1, description="Puts a setting back to its default.",
        examples=("queuectl config unset max-retries",),
    ),
    Command(
        name="init", group=SETUP, makes_store=True, help="make a store in this folder", target="upkeep:init",
        description="Makes ./queuectl.db. Commands in this folder and below then use it by themselves. Where the "
        "store is a server, it makes the tables there.",
        examples=("queuectl init",),
    ),
    Command(
        name="prune", group=SETUP, frees_room=True, help="delete old finished jobs", target="upkeep:prune",
        options=(
            option("--older-than", "DURATION", "finished jobs unchanged for this long"),
            many("--state", "STATE", "only completed, cancelled or dead ones"),
            flag("--shrink", "then make the file as small as what is in it; workers wait meanwhile"),
            *ACT,
        ),
        description="Deletes finished jobs as the retention settings say, or as the options say.",
        examples=("queuectl prune --older-than 30d", "queuectl prune --state completed --shrink"),
    ),
    Command(
        name="doctor", group=SETUP, help="check the store and this machine", target="upkeep:doctor",
        description="Checks the SQLite library, the store's rights, integrity and schema, disk space, and what dead "
        "workers left. Each finding comes with its fix. Exits 1 if there is a problem.",
        options=(flag("--clean", "first clean up what dead workers left"),),
        examples=("queuectl doctor", "queuectl doctor --clean"),
    ),
    Command(
        name="copy", group=SETUP, help="move the store to another place", target="upkeep:copy",
        options=(
            option("--to", "URL", "where to: a path, or postgresql://…"),
            flag("--keep", "leave no pointer: the store here stays in use"),
            flag("--replace", "remove what is in the store there"),
            *ACT[:1],
        ),
        description="Copies all jobs with their history, outputs and settings into another store, SQLite or "
        "PostgreSQL. Workers first finish what they run, and stop. The copy is compared with the original. Afterwards "
        "commands on the old store fail and name the new one.",
        examples=("queuectl copy --to postgresql://queue@db/work", "queuectl copy --to ./queuectl.db --keep"),
    ),
    Command(
        name="reset", group=SETUP, help="remove the store with all its jobs", target="upkeep:reset", options=ACT[:1],
        description="Removes the store: all jobs, outputs and settings. The next command starts a new one.",
        examples=("queuectl reset", "queuectl reset --yes"),
    ),
    Command(
        name="completion", group=SETUP, help="completion for your shell", target="upkeep:completion",
        words="SHELL", least=1, most=1,
        description="Prints a completion script for bash, zsh, fish or tcsh.",
        examples=('eval "$(queuectl completion bash)"',),
    ),
    Command(
        name="demo", group=SETUP, makes_store=True, help="see it work, in a throw-away queue", target="demo:demo",
        description="Enqueues a handful of real jobs into a temporary store, runs two workers until all is done, and "
        "shows what happened. It takes some seconds and leaves nothing behind.",
        examples=("queuectl demo",),
    ),
)  # fmt: skip

COMMANDS = {row.name: row for row in _ROWS}
