"""The commands on jobs that have a module of their own, one row each; see `cli.table`."""

from queuectl.cli.command import JOBS, Command
from queuectl.cli.options import ACT, ENQUEUE, FOLLOW, MANY, SELECT, Option, flag, option

ROWS = (
    Command(
        name="enqueue", group=JOBS, makes_store=True, help="add a job", target="enqueue:enqueue",
        words="[JSON]", options=(*ENQUEUE, *MANY), takes_command=True,
        description="Add a job: as JSON, as words after --, or as a shell string with -c. Add many from a file with "
        "--file, or one for each line of a list with --each-line, where {} is the line, {.} the line without its "
        "extension, {/} its last part, {//} its folder, {#} its number and {1} a column. "
        "Once its id is printed, the job survives a crash and a power cut.",
        examples=(
            """queuectl enqueue '{"id": "job1", "command": "sleep 2", "max_retries": 2}'""",
            "queuectl enqueue --queue video --timeout 1h -- ffmpeg -i in.mov out.mp4",
            "queuectl enqueue --delay 10m -c 'make report | mail -s report me'",
            "queuectl enqueue --each-line pictures.txt -- convert {} {.}.png",
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
        "--max-retries is given. Exit code 125 is a failure of queuectl itself. Ctrl-C cancels the job and "
        "waits for its end; a second one leaves at once.",
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
            option("--dead-within", "DURATION", "with --check: jobs dead within this time (default: 1h)", default="1h"),
        ),
        examples=("queuectl status", "queuectl status --json", "queuectl status --check --max-wait 30m"),
    ),
    Command(
        name="list", group=JOBS, reads=True, help="list jobs", target="listing:list_jobs", words="[ID...]",
        options=(
            *SELECT,
            option("--limit", "N", "at most the N newest, or the first N by --sort; or all"),
            option("--sort", "KEY", "id, state, queue, priority, attempts, created, updated, duration; -KEY reverses"),
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
        options=(flag("--tree", "show what it depends on, and what depends on it"), *SELECT),
        description="Show a job's command, policy and environment, why it is not running yet, every attempt, and what "
        "people did to it. With --json: the job with its executions and events.",
        examples=("queuectl show job1", "queuectl show job1 --json", "queuectl show job1 --tree"),
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
        name="batch wait", group=JOBS, reads=True, help="wait until a batch is done", target="batch:wait",
        words="BATCH", least=1, most=1,
        options=(option("--timeout", "DURATION", "give up after this long, with exit code 124"),), own_failure=125,
        description="Wait until no job of a batch is unfinished. On a terminal it shows how many are done and failed, "
        "the rate and the time left. It exits with the highest exit code of its jobs, as wait does.",
        examples=("queuectl batch wait import-7",),
    ),
    Command(
        name="retry", group=JOBS, help="run jobs again", target="acting:retry", words="[ID...]",
        options=(
            flag("--cascade", "also run again what depends on them and has finished, in order"), *SELECT, *ACT
        ),
        description="Run jobs again. A failed job runs now and keeps its attempts. A finished job starts over with 0 "
        "attempts, and what its failure had cancelled waits for it again. Selectors match failed, dead and cancelled "
        "jobs unless --state is given.",
        examples=("queuectl retry job1", "queuectl retry job1 --cascade", "queuectl retry --state dead --queue video"),
    ),
    Command(
        name="top", group=JOBS, reads=True, only_here="needs a terminal", help="watch what runs, waits and fails",
        target="top:top", options=(flag("--once", "print it once"),),
        description="Show slots, queues, running jobs with their progress, why others wait, and the latest failures, "
        "once a second. Keys open a log, cancel, retry, and pause a queue.",
        examples=("queuectl top", "queuectl top --once", "queuectl top --json"),
    ),
    Command(
        name="events", group=JOBS, reads=True, help="show what has happened", target="past:events",
        options=(
            option("--since", "DURATION", "look this far back (default: 1h)", default="1h"),
            flag("-f", "--follow", "go on with what happens from now on, until Ctrl-C"),
        ),
        description="Show what happened to jobs, and what people did, a line each, the latest last. With --json and "
        "--follow: an object a line.",
        examples=("queuectl events", "queuectl events --since 10m --follow", "queuectl events -f --json"),
    ),
    Command(
        name="report", group=JOBS, reads=True, help="list what executions have used", target="past:report",
        options=(
            flag("--by-job", "one row a job, with sums, instead of one an execution"),
            option("--since", "DURATION", "only what ran within this time"),
            flag("--csv", "values with commas between, all columns"),
            flag("--tsv", "values with tabs between, all columns"),
            option("--columns", "NAMES", "these columns, with commas between"),
            *SELECT,
        ),
        description="List executions with their times, exit codes, processor time and memory, for accounting. "
        "Durations are in seconds, sizes in bytes and times in UTC, except in the table for people.",
        examples=(
            "queuectl report --since 7d --csv > week.csv",
            "queuectl report --by-job --columns owner,queue,cpu_time,max_rss --json",
        ),
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
                ("--replace",), "replace OLD by NEW in the command",
                {"nargs": 2, "metavar": ("OLD", "NEW"), "default": None},
            ),
            *SELECT, *ACT,
        ),
        description="Change jobs that are not running. A key is one of a job's JSON, or named as the "
        "option of enqueue: queue, priority, run_at, delay, timeout, max_retries, tags, locks, command and others. "
        "Lists have commas between; none empties a key. A job that runs, or that a worker claims meanwhile, is refused "
        "with exit code 4. Selectors match waiting jobs unless --state is given.",
        examples=(
            "queuectl set job1 priority=5 timeout=2h",
            "queuectl set --queue video --tag old queue=archive run_at=22:00",
            "queuectl set job1 --replace in.mov out.mov",
            "queuectl set job1 -- make -j8",
        ),
    ),
    Command(
        name="move", group=JOBS, help="change the order of waiting jobs", target="setting:move", words="ID", least=1,
        most=1,
        options=(
            flag("--front", "before all jobs of its queue"),
            option("--before", "ID", "just before this job of the same queue"),
        ),
        description="Move a due job in line: to the front of its queue, or just before another job of that queue. It "
        "takes the other job's priority. A job that is not due, runs or has ended cannot be moved.",
        examples=("queuectl move job9 --front", "queuectl move job9 --before job3"),
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
)  # fmt: skip
