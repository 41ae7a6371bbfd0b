"""Units for systemd: text from a few choices. What each line is for is in docs/service.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from queuectl.typed import NamedTuple
from queuectl.wire.workers import WorkerOptions, words_of

WORKER, PER_QUEUE, SERVER = "queuectl-worker.service", "queuectl-worker@.service", "queuectl-serve.service"
WATCHDOG_S = 120

KEEP = """\
# A stopped or crashed worker leaves its commands running; the next one takes them over, and each runs once.
KillMode=process
RestartKillSignal=SIGKILL"""
TIDY = """\
# Stopping waits for running commands, then ends what is left; those commands run again.
KillMode=mixed
TimeoutStopSec={stop_s}"""
TIDY_STOP_S = 3600
OUTLIVED = """\
# A worker that was started in its console goes on without it, as do that worker's commands.
KillMode=process
OOMPolicy=continue"""


class Choices(NamedTuple):
    """What a unit is made from. `address` is the store's, or None for the default one. `worker` has the options of the
    one worker, or with `per_queue` of one for each of its queues; `server` those of the server, as words. `tidy`: no
    command outlives the service."""

    program: Sequence[str]
    address: str | None
    is_system: bool
    worker: WorkerOptions = WorkerOptions()
    server: Sequence[str] = ()
    per_queue: bool = False
    tidy: bool = False
    user: str | None = None

    @property
    def target(self) -> str:
        return "multi-user.target" if self.is_system else "default.target"

    @property
    def is_on_a_server(self) -> bool:
        return self.address is not None and "://" in self.address


def worker_unit(choices: Choices) -> tuple[str, str]:
    """The name and the text of a worker's unit. It has no fixed name: a successor then may start before the end."""
    options = choices.worker._replace(queues=()) if choices.per_queue else choices.worker
    words = ["worker", "start", *map(_quoted, words_of(options)), *(["--queue=%I"] if choices.per_queue else [])]
    name = PER_QUEUE if choices.per_queue else WORKER
    what = "queuectl worker for queue %I" if choices.per_queue else "queuectl worker"
    own = [
        "Type=notify", "# Only the main process may say how the service is, no command of a job.", "NotifyAccess=main",
        f"WatchdogSec={WATCHDOG_S}", TIDY.format(stop_s=TIDY_STOP_S) if choices.tidy else KEEP,
        "# A command that runs out of memory ends alone.", "OOMPolicy=continue",
        "# For memory limits of jobs, where control groups can keep them.", "Delegate=yes",
        f"ExecReload={_command(choices, ['worker', 'reload'])}",
    ]  # fmt: skip
    return name, _unit(choices, what, words, own)


def server_unit(choices: Choices) -> tuple[str, str]:
    """The name and the text of the server's unit."""
    words = ["serve", "--quiet", *map(_quoted, choices.server)]
    return SERVER, _unit(choices, "queuectl dashboard and REST API", words, ["Type=exec", OUTLIVED])


def _unit(choices: Choices, what: str, words: Sequence[str], own: Sequence[str]) -> str:
    after = "\nAfter=network-online.target\nWants=network-online.target" if choices.is_on_a_server else ""
    user = [f"User={choices.user}"] if choices.user else []
    body = "\n".join([*own, *user, f"ExecStart={_command(choices, words)}", "Restart=always", "RestartSec=1"])
    return (
        f"[Unit]\nDescription={what}{after}\n# It never stops trying: a store may be away for long.\n"
        f"StartLimitIntervalSec=0\n\n[Service]\n{body}\n\n[Install]\nWantedBy={choices.target}\n"
    )


def _command(choices: Choices, words: Sequence[str]) -> str:
    """A command of queuectl on the store, from words that are quoted already."""
    store = [] if choices.address is None else ["--db", _quoted(choices.address)]
    return " ".join([*map(_quoted, choices.program), *words, *store])


def instances(choices: Choices) -> list[str]:
    """The units to start: one, or one for each queue."""
    if not choices.per_queue:
        return [WORKER]
    return [PER_QUEUE.replace("@", f"@{escaped(queue)}") for queue in choices.worker.queues]


def _quoted(word: str) -> str:
    """A word of a command line as systemd reads it: see systemd.service(5)."""
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    return plain if re.fullmatch(r"[A-Za-z0-9_./:@+=,%$-]+", plain) else '"' + plain.replace('"', '\\"') + '"'


def escaped(name: str) -> str:
    """A name as an instance of a template, as systemd-escape(1) makes it."""
    return "".join(
        "-" if letter == "/" else letter if re.match(r"[A-Za-z0-9:_]" if not at else r"[A-Za-z0-9:_.]", letter)
        else rf"\x{ord(letter):02x}"
        for at, letter in enumerate(name)
    )  # fmt: skip
