"""Hints for unknown commands and options: other tools' words, similar words, lines that are safe to paste."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.domain.likeness import KEYS, near
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.cli.command import Command

COMMANDS = {
    "cron": "schedule add", "crontab": "import crontab", "schedules": "schedule list",
    "abort": "cancel", "add": "enqueue", "at": "enqueue --at", "atq": "list", "atrm": "cancel",
    "bg": "enqueue", "cat": "logs", "check": "doctor", "clean": "prune", "continue": "release", "create": "enqueue",
    "daemon": "worker start", "dashboard": "serve", "dead": "dlq list", "describe": "show", "edit": "set",
    "exec": "run",
    "failed": "dlq list", "fg": "logs -f", "follow": "logs -f", "gc": "prune", "get": "show", "health": "doctor",
    "info": "show", "inspect": "show", "jobs": "list", "kill": "cancel", "log": "logs", "ls": "list", "new": "enqueue",
    "output": "logs", "pause": "hold", "ps": "list", "purge": "dlq purge", "push": "enqueue", "put": "enqueue",
    "qalter": "set", "qdel": "cancel", "qhold": "hold", "qrls": "release", "qstat": "list", "qsub": "enqueue",
    "remove": "delete",
    "requeue": "retry", "rerun": "retry", "restart": "retry", "resume": "release", "rm": "delete", "sacct": "list",
    "sbatch": "enqueue", "scancel": "cancel", "scontrol": "set", "settings": "config show", "sinfo": "worker list",
    "squeue": "list", "srun": "run", "start": "worker start", "stash": "hold", "stop": "worker stop",
    "submit": "enqueue", "suspend": "hold", "switch": "move", "tail": "logs -f", "tasks": "list", "terminate": "cancel",
    "ui": "serve", "update": "set", "unhold": "release", "unpause": "release", "version": "--version",
    "watch": "status", "web": "serve", "why": "explain", "work": "worker start", "workers": "worker list",
    "config delete": "config unset", "config list": "config show", "config ls": "config show",
    "config remove": "config unset", "config reset": "config unset", "config rm": "config unset",
    "dlq clear": "dlq purge", "dlq delete": "dlq purge", "dlq inspect": "dlq show", "dlq ls": "dlq list",
    "dlq replay": "dlq retry", "dlq requeue": "dlq retry", "dlq rm": "dlq purge", "token add": "token create",
    "token delete": "token revoke", "token ls": "token list", "token new": "token create", "token rm": "token revoke",
    "batch create": "enqueue --batch", "lock add": "lock set", "lock create": "lock set", "lock ls": "lock list",
    "lock remove": "lock delete", "lock rm": "lock delete", "queue add": "queue set", "queue create": "queue set",
    "queue ls": "queue list", "queue start": "queue resume", "queue stop": "queue pause",
    "schedule disable": "schedule pause", "schedule enable": "schedule resume", "schedule remove": "schedule delete",
    "schedule create": "schedule add", "schedule ls": "schedule list", "schedule new": "schedule add",
    "schedule next": "schedule preview", "schedule rm": "schedule delete", "schedule trigger": "schedule run",
    "worker add": "worker start", "worker kill": "worker stop --now", "worker log": "worker logs",
    "worker ls": "worker list", "worker ps": "worker list", "worker run": "worker start",
    "worker show": "worker list", "worker status": "worker list",
}  # fmt: skip
"""Other tools' words for a command: hints, never aliases."""

OPTIONS = {
    "--array": "--file", "--attempts": "--max-retries", "--background": "--detach", "--backoff": "--backoff-initial",
    "--backoff-factor": "--backoff-base", "--begin": "--at", "--burst": "--drain", "--chdir": "--cwd",
    "--concurrency": "--count", "--daemon": "--detach", "--database": "--db", "--deadline": "--timeout",
    "--dedupe-key": "--unique-key", "--defer": "--delay", "--error-code": "--exit-code", "--executable": "--shell",
    "--export": "--env", "--format": "--json", "--grep": "--command", "--group": "--queue", "--head": "--limit",
    "--in": "--delay", "--interval": "--poll", "--job-id": "--id", "--job-name": "--id", "--jobs": "--count",
    "--last": "--limit", "--lines": "--tail", "--log": "--output", "--logfile": "--output", "--match": "--command",
    "--max-tries": "--max-retries", "--mem-limit": "--memory-max", "--nice": "--priority", "--no-color": "--color",
    "--no-colour": "--color", "--on-error": "--on-failure", "--order": "--sort", "--order-by": "--sort",
    "--out": "--output", "--parallel": "--count", "--partition": "--queue", "--paused": "--hold",
    "--processes": "--count", "--rc": "--exit-code", "--requires": "--after", "--retries": "--max-retries",
    "--retry-delay": "--backoff-initial", "--schedule": "--at", "--silent": "--quiet", "--slots": "--count",
    "--start-at": "--at", "--stashed": "--hold", "--status": "--state", "--store": "--db", "--threads": "--count",
    "--time": "--timeout", "--ttl": "--expires", "--unique": "--unique-key", "--user": "--owner",
    "--username": "--owner", "--workers": "--count", "--working-dir": "--cwd", "-C": "--cwd", "-d": "--detach",
    "-e": "--env", "-g": "--queue", "-j": "--count", "-o": "--output", "-p": "--priority", "-q": "--quiet",
    "-t": "--timeout",
}  # fmt: skip
"""Other tools' words for an option, used for commands that have that option."""

SHOWN_MAX = 60


def command_hint(word: str, known: Iterable[str], group: str = "") -> str:
    """A hint for an unknown command, or an unknown verb of a group."""
    synonym = COMMANDS.get(f"{group} {word}".strip())
    found = near(word, list(known))
    meant = synonym or (f"{group} {found}".strip() if found else None)
    return f"did you mean '{meant}'?" if meant else f"see: queuectl {group} --help".replace("  ", " ")


def option_meant(flag: str, known: Sequence[str]) -> str | None:
    """The option that an unknown one means or resembles, or None. A job's key means its option, and so does a word for
    the key."""
    from queuectl.cli.options import FLAGS
    from queuectl.wire.requests import ALIASES

    keys = {**{key: key for key in FLAGS}, **KEYS, **ALIASES}
    words = {f"--{word.replace('_', '-')}": FLAGS[key] for word, key in keys.items() if key in FLAGS}
    return near(flag, known, {**words, **OPTIONS})


SECRETS = "key:secrets"
JOBS_FROM = frozenset({"each_line", "file", "key:script", "shell_command"})
"""Options that say where jobs or their commands come from: a command in words stands instead of them."""


def given_options(command: Command, words: Sequence[str]) -> list[str]:
    """The options among the words of a command line that go with a job's command, with their values; which store is
    meant comes first. How the answer is printed is left out."""
    from queuectl.cli.command import GLOBAL_OPTIONS

    stores = [option for option in GLOBAL_OPTIONS if "--db" in option.flags]
    known = {flag: option for option in (*command.options, *stores) for flag in option.flags}
    store, others = list[str](), list[str]()
    left = iter(words)
    for word in left:
        name, equals, _ = word.partition("=")
        if (option := known.get(name)) is not None:
            values = int(option.how.get("nargs", 1)) if option.takes_value and not equals else 0
            given = [word, *(next(left, "") for _ in range(values))]
            if name == "--db":
                store = _store(given[-1].removeprefix("--db="))
            elif option.dest == SECRETS:  # a value given by mistake is not repeated
                others += [name, given[-1].removeprefix(f"{name}=").partition("=")[0]]
            elif option.dest not in JOBS_FROM:
                others += given
    return store + others


def _store(db: str) -> list[str]:
    """The option that names a store, without a password, which a wrong address may hide."""
    from queuectl.domain.errors import QueuectlError
    from queuectl.places import shown

    try:
        return ["--db", shown(db)]
    except QueuectlError:  # the address is wrong, or its library is missing
        return ["--db", "postgresql://…"]


def with_options(hint: str, command: Command, words: Sequence[str]) -> str:
    """A hint that proposes the same command with a job; there the options that were given are not left out. It is to be
    put on the same store."""
    from shlex import join

    begin = f"queuectl {command.name} "
    given = given_options(command, words)
    options = join(given[2:] if given[:1] == ["--db"] else given)
    where = [at for job in ("-- ", "-c ") if (at := hint.find(begin + job)) >= 0]
    if not where or not options:
        return hint
    at = min(where) + len(begin)
    return f"{hint[:at]}{options} {hint[at:]}"


def option_for(word: str, command: Command) -> str | None:
    """The option that `KEY=VALUE` would be, as other commands take it; None if there is none."""
    from shlex import quote

    key, equals, value = word.partition("=")
    flag = f"--{key.replace('_', '-')}"
    known = {flag for option in command.options if option.takes_value for flag in option.flags}
    return f"{flag} {quote(value)}" if equals and flag in known else None


def lines_for(command: str, words: Sequence[str], own: Sequence[str] = ()) -> str:
    """Lines that give these words to a command as its job, safe to paste, after the `own` words that it got.

    A single word with shell syntax can only be meant for a shell.
    """
    from shlex import join, quote

    from queuectl.wire.jobs import PLAIN

    command = f"{command} {join(own)}".rstrip()
    if len(words) == 1 and (not words[0] or set(words[0]) - {*PLAIN, " "}):
        line = f"queuectl {command} -c {quote(words[0])}"
    elif len(words) == 1:
        line = f"queuectl {command} -- {words[0].strip()}, or -c {quote(words[0])}"
    else:
        line = f"queuectl {command} -- {join(words)}, or -c {quote(join(words))}"
    return (
        line if len(line) <= 2 * SHOWN_MAX and line.isprintable() else f"queuectl {command} -- CMD ARG, or -c 'CMD ARG'"
    )
