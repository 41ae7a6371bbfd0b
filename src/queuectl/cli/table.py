"""Commands that have a module of their own, one row each: name, meaning, function, options. Those on jobs are in
`cli.table_of_jobs`.

All others follow from the table of operations: see `cli.commands`, which is read only where a command is not found
here. A command's module is imported only when that command is called.
"""

from queuectl.cli import table_of_schedules
from queuectl.cli.command import DLQ, LIMITS, SETUP, WEB, WORKERS, Command
from queuectl.cli.options import ACT, SELECT, flag, many, off, option
from queuectl.cli.table_of_jobs import ROWS

WORKER = (
    option("--count", "N", "run up to N commands at a time (default: 1)", dest="slots"),
    many("-q", "--queue", "QUEUE", "serve only this queue; may be repeated (default: all)", dest="queues"),
    many("--not-queue", "QUEUE", "serve all queues but this one; may be repeated", dest="not_queues"),
    option("--poll", "S", "look for work at least every S seconds"),
    option("--max-load", "L", "start nothing while the load average is L or more"),
    option("--min-free-memory", "SIZE", "start nothing while less memory is free, such as 2g"),
    off("--no-hooks", "run no hooks of jobs", "hooks"),
    option("--secrets", "FILE", "values of the jobs' secrets, as lines NAME=VALUE; only its owner may read it"),
    option("--stop-timeout", "S", "end running commands S seconds after a graceful stop"),
)
"""How a worker works, in a terminal or as a service."""
SERVER = (
    option("--host", "ADDRESS", "listen here (default: 127.0.0.1, this machine only)", default="127.0.0.1"),
    option("--port", "N", "listen on this port (default: 8321; 0: any free one)", default="8321"),
    many("--allow-host", "NAME", "accept this host name too; may be repeated"),
    option("--cert", "FILE", "serve HTTPS with this certificate (PEM)"),
    option("--key", "FILE", "private key of the certificate (PEM)"),
    flag("--insecure", "allow other machines without HTTPS"),
    option("--public-url", "URL", "the address people use, if a proxy is in front, such as https://HOST/queue"),
    many("--also", "NAME=URL", "serve this store too, below /stores/NAME; may be repeated"),
    many(
        "--trust-forwarded", "ADDRESS", "believe X-Forwarded-For of this proxy or network; may be repeated "
        "(default: with --public-url, of this machine)",
    ),
)  # fmt: skip
"""How the server serves, in a terminal or as a service."""
SERVICE = (
    flag("--system", "for the machine, not for this user alone"),
    option("--user", "NAME", "with --system: run as this user"),
    flag("--per-queue", "a worker of its own for each --queue"),
    flag("--tidy", "stopping ends all commands; by default a successor takes them over"),
    *WORKER,
    flag("--serve", "the dashboard and the REST API too, with the options that follow"),
    *SERVER,
)

_ROWS = (
    *ROWS,
    *table_of_schedules.ROWS,
    Command(
        name="worker start", group=WORKERS, makes_store=True, help="run jobs", target="worker:start",
        options=(
            *WORKER,
            option("--name", "NAME", "the worker's name (default: host and random letters)"),
            flag("--drain", "exit once no job is left, scheduled ones included"),
            flag("--if-none", "do nothing if a live worker serves these queues"),
            flag("--detach", "run in the background"),
            flag("--check", "check options, store and secrets; start nothing"),
        ),
        description="Start a worker in the foreground. Ctrl-C lets running commands finish, starts no new ones, and "
        "exits 0. A second Ctrl-C ends the commands and gives their attempts back. A third one does not wait for an "
        "unavailable store; a worker that runs nothing waits 5 seconds for it.",
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
            option("--limit", "N", "at most the N that died last; or all"),
            flag("--group", "count jobs that failed alike: numbers, paths and ids do not matter"),
            flag("--waiting", "with --group: count jobs that wait for a retry, too"),
        ),
        description="List the dead letter queue: jobs that have used up their retries or failed permanently. The one "
        "that died last comes first.",
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
        name="mcp", group=WEB, only_here="speaks over its own stdin and stdout",
        help="serve the queue as tools for coding agents", target=".mcp.serve:serve", makes_store=True,
        options=(flag("--read-only", "only tools that change nothing"),),
        description="Serve the queue as tools by the Model Context Protocol, on stdin and stdout: enqueue, wait, "
        "status, list, show, logs, explain, cancel, retry, batches, schedules, run_schedule. A client starts it; "
        "give the store with --db, since clients pass on no QUEUECTL_DB.",
        examples=("queuectl mcp", "queuectl mcp --read-only --db /srv/jobs.db"),
    ),
    Command(
        name="serve", group=WEB, only_here="is already running",
        help="serve a dashboard, a REST API and metrics", target=".web.serve:serve",
        makes_store=True,
        options=(*SERVER, flag("--check", "check options, store and libraries; serve nothing")),
        description="Serve the dashboard and the REST API until Ctrl-C. Every request needs a token; the address "
        "printed at the start logs a browser in. Anyone with a full token can run commands as you.",
        examples=(
            "queuectl serve", "queuectl serve --host 0.0.0.0 --cert cert.pem --key key.pem",
            "queuectl serve --public-url https://example.org/queue",
        ),
    ),
    Command(
        name="metrics", group=WEB, help="print metrics for Prometheus", target="metrics:metrics", reads=True,
        description="Print the metrics of `serve` as Prometheus reads them, except queuectl_executions_total, which "
        "counts from a server's start. For a machine without a server: have a timer write them to a file for the "
        "textfile collector of node_exporter.",
        examples=("queuectl metrics", "queuectl metrics > /var/lib/node_exporter/queuectl.prom.new"),
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
        name="migrate", group=SETUP, help="bring an older release's store up to date", target="upkeep:migrate",
        description="Upgrade the schema of a store that an older release has made. The first change by this "
        "release does the same; commands that only read never do. Workers go on meanwhile, and those of older releases "
        "of the same major version go on working.",
        examples=("queuectl migrate",),
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
        name="service install", group=WORKERS, only_here="installs services on this machine",
        help="have systemd run a worker", target="service:install", options=SERVICE,
        description="Write systemd units for a worker on this store (with --serve, for the dashboard too), start them, "
        "and have them start again after a crash and at boot. First check, as the user whose service it is, "
        "that they can start. A restart, also to a new release, leaves running commands alone; the new worker takes "
        "them over.",
        examples=(
            "queuectl service install --count 4 --secrets ~/.config/queue-secrets",
            "sudo queuectl service install --system --user jobs --serve",
            "queuectl service install --per-queue --queue gpu --queue mail",
        ),
    ),
    Command(
        name="service print", group=WORKERS, reads=True, only_here="prints units for this machine",
        help="print the systemd units", target="service:print_units", options=SERVICE,
        description="Print the units that `service install` would write, for another machine or a closer look.",
        examples=("queuectl service print", "queuectl service print --system --user jobs --tidy"),
    ),
    Command(
        name="service status", group=WORKERS, reads=True, only_here="asks systemd on this machine",
        help="show what systemd says about the service", target="service:status", options=SERVICE[:1],
        description="Show what systemd says about the installed units.",
        examples=("queuectl service status",),
    ),
    Command(
        name="service remove", group=WORKERS, only_here="removes services from this machine",
        help="stop the service and remove its units", target="service:remove", options=SERVICE[:1],
        description="Stop the worker, which waits for its running commands, and remove the units.",
        examples=("queuectl service remove",),
    ),
    Command(
        name="backup", group=SETUP, only_here="writes a file on this machine",
        help="save the store in one file", target="backup:backup", words="FILE", least=1, most=1,
        options=(flag("--replace", "write over a file that is there"),),
        description="Save all jobs with their history and output, and the settings, as of one moment, in one file. "
        "Workers go on meanwhile. Jobs that run are saved as lost with their machine: where the backup is restored, "
        "they run again.",
        examples=("queuectl backup /backups/queue.db", "queuectl backup --replace latest.db"),
    ),
    Command(
        name="restore", group=SETUP, only_here="would remove the store under this server",
        help="replace the store by a backup", target="backup:restore", words="FILE", least=1, most=1,
        options=(flag("--replace", "take the place of what the store holds"), *ACT[:1]),
        description="Make the store from a file that `backup` has written; the kind of store may differ. No worker may "
        "be running. All queues are paused, so that you can look before anything starts: queue resume --all. Workers "
        "of the store as it was can report nothing to the new one.",
        examples=("queuectl restore /backups/queue.db", "queuectl restore queue.db --db postgresql://queue@db.example/work"),
    ),
    Command(
        name="export", group=SETUP, reads=True, only_here="writes a file on this machine",
        help="write jobs as lines of JSON", target="exchange:export", words="[FILE|-]", most=1,
        options=(*SELECT, flag("--replace", "write over a file that is there")),
        description="Write jobs, a line each, in the form that list --json has: all of them, finished ones with their "
        "results, or those selected. Without a file, or with -, to stdout. History and output are not part of it: see "
        "backup. import reads it.",
        examples=(
            "queuectl export jobs.jsonl",
            "queuectl export --state dead > dead.jsonl",
            "queuectl export --queue video | jq -c 'select(.attempts > 3)'",
        ),
    ),
    Command(
        name="import", group=SETUP, makes_store=True, only_here="reads a file on this machine",
        help="add jobs that were exported, as they were", target="exchange:import_jobs", words="FILE|-", least=1,
        most=1,
        description="Add jobs from a file that export has made, or from stdin: all or none, under their ids, with "
        "their state, attempts and results. Running ones wait again. An id that is taken is named with its line, "
        "exit 4. To add new jobs, use enqueue --file; for a crontab, import crontab.",
        examples=("queuectl import jobs.jsonl", "queuectl import - < jobs.jsonl"),
    ),
    Command(
        name="copy", group=SETUP, only_here="would move the store away under this server",
        help="move the store to another place", target="upkeep:copy",
        options=(
            option("--to", "URL", "copy to this path or postgresql://…"),
            flag("--keep", "keep using the store here"),
            flag("--replace", "take the place of what the target store holds"),
            *ACT[:1],
        ),
        description="Copy all jobs with their history, output and settings to another store, SQLite or PostgreSQL. "
        "Workers first finish their commands and stop. The copy is compared with the original. Afterwards commands on "
        "the old store fail and name the new one, unless --keep is given.",
        examples=("queuectl copy --to postgresql://queue@db.example/work", "queuectl copy --to ./queuectl.db --keep"),
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
        description="Print a completion script for bash, zsh or fish. It completes commands, options and their values, "
        "and the ids, queues, locks, batches, schedules and workers that there are.",
        examples=(
            'eval "$(queuectl completion bash)"',
            "queuectl completion fish > ~/.config/fish/completions/queuectl.fish",
        ),
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
