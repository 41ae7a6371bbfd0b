"""The commands on schedules that have a module of their own; see `cli.table`."""

from queuectl.cli.command import SCHEDULES, Command
from queuectl.cli.options import ENQUEUE, Option, flag, option

_NOT_FOR_THEM = {"--id", "--at", "--start-by"}
OF_JOBS = tuple(each for each in ENQUEUE if _NOT_FOR_THEM.isdisjoint(each.flags))

POLICY = (
    option("--cron", "EXPR", "fire by this cron expression: 5 fields, 6 with seconds first, or @daily"),
    option("--every", "DURATION", "fire at this interval: 30s, 5m, 2d"),
    option("--tz", "ZONE", "time zone of the expression, such as Europe/Berlin (default: this machine's)"),
    Option(
        ("--overlap",), "while an earlier job has not ended: make none, let one wait, cancel that one, or make another "
        "(default: skip)", {"choices": ("skip", "queue", "replace", "allow")},
    ),
    Option(
        ("--catch-up",), "of fires that no worker saw in time, make up none, the last, or up to 100 (default: one)",
        {"choices": ("skip", "one", "all")},
    ),
    option("--late-max", "DURATION", "make no job for a fire that is seen later than this"),
    option("--jitter", "DURATION", "fire up to this much later, by an amount that follows from the name"),
    option(
        "--alert", "CMD|URL", "run or call this when runs begin to fail or be late, then daily, and once they are well"
    ),
    option("--ping", "URL", "call URL/start when a run starts, and URL or URL/fail when it ends"),
    option("--expect-within", "DURATION", "a run that has not succeeded within this time is late"),
)  # fmt: skip

ROWS = (
    Command(
        name="schedule add", group=SCHEDULES, makes_store=True, help="add jobs at set times", target="schedule:add",
        words="SCHEDULE", least=1, most=1, takes_command=True,
        options=(
            *POLICY, flag("--replace", "replace the schedule of this name"),
            flag("--paused", "add it paused: it fires once it is resumed"), *OF_JOBS,
        ),
        description="Add a schedule. Each time it fires, a worker adds the job, once, with the id NAME.TIME. The "
        "command sees the time in QUEUECTL_SCHEDULED_AT. It runs in this folder, with the variables captured now. All "
        "other options are those of enqueue. At least one worker has to run.",
        examples=(
            'queuectl schedule add nightly --cron "0 3 * * *" -- ./backup.sh',
            'queuectl schedule add report --cron "0 9 * * mon-fri" -- make report',
            "queuectl schedule add poll --every 5m --overlap queue -c 'make poll'",
        ),
    ),
    Command(
        name="schedule set", group=SCHEDULES, help="change a schedule", target="schedule:change", words="SCHEDULE",
        least=1, most=1, takes_command=True, options=(*POLICY, *OF_JOBS),
        description="Change the given parts of a schedule: when it fires, its policy, its job. The others stay. A new "
        "rule counts from now on. none lifts --late-max, --jitter, --alert, --ping and --expect-within; it puts "
        "options of the job, such as --expires and --tag, back to their defaults.",
        examples=(
            'queuectl schedule set nightly --cron "30 3 * * *"',
            "queuectl schedule set nightly --timeout 2h -- ./new.sh",
        ),
    ),
    Command(
        name="schedule preview", group=SCHEDULES, reads=True, help="show when a cron expression fires",
        target="schedule:preview", words="EXPR", least=1, most=1,
        options=(
            option("--tz", "ZONE", "in this time zone (default: this machine's)"),
            option("--from", "TIME", "show fires after this time of --tz (default: now)", dest="from_"),
            option("-n", "--count", "N", "show N fires (default: 10)"),
            option("--name", "SCHEDULE", "draw H as a schedule of this name does", default=""),
        ),
        description="Say what a cron expression means, and when it fires next. Nothing is added. With --json: the "
        "times in UTC.",
        examples=('queuectl schedule preview "0 3 * * *"', 'queuectl schedule preview "0 9 * * 1" --tz Europe/Berlin'),
    ),
    Command(
        name="import crontab", group=SCHEDULES, makes_store=True,
        help="turn a crontab into schedules", target="crontab:import_crontab",
        words="[FILE|-]", most=1,
        options=(
            flag("--system", "as /etc/crontab and /etc/cron.d have it: with a column for the user"),
            Option(
                ("--dialect",), "the daemon that has run it (default: debian)",
                {"choices": ("debian", "cronie"), "default": "debian"},
            ),
            flag("--apply", "add the schedules, paused, all or none"),
        ),
        description="Print the schedule add lines that do what a crontab did: its own user's, a file's, or stdin's. "
        "Lines that cron never ran, and those that have no equivalent, are named with the reason; then the exit code "
        "is 1.",
        examples=("queuectl import crontab", "queuectl import crontab /etc/crontab --system --apply"),
    ),
)  # fmt: skip
