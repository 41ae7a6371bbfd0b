"""The options of a worker: one record from the command line to the dispatcher.

A new option is a row in `cli/table.py` whose `dest` is its attribute here, an entry in `READ` if its text means
something else, and what it does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

from queuectl.domain.errors import Invalid
from queuectl.domain.served import Served
from queuectl.typed import Any, NamedTuple
from queuectl.wire.kinds import check_queue, size
from queuectl.wire.times import parse_duration

SLOTS_MAX = 4096
"""Slots of one worker, at most."""
RESTART, RELOAD = "restart", "reload"
"""What a live worker can be asked for, apart from other values of its options."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_LENGTH_MAX = 64


class WorkerOptions(NamedTuple):
    """How to start a worker.

    `slots` is how many commands it runs at a time. It serves `queues`; if there are none, all but `not_queues`. It
    looks for work at least every `poll` seconds, and if it is to `drain` exits once no job is left. `stop_timeout`
    seconds after a graceful stop it ends what runs; None: never.

    It starts nothing while its machine has a load of `max_load` or more, or less than `min_free_memory` bytes of memory
    that commands can have; None: whatever they are.

    `secrets` is the file with the values of its jobs' secrets.

    `hooks`: it also runs hooks, outside its slots.

    `name` and the number of `supervisors`, the processes that share the slots, are filled in when it starts.
    """

    slots: int = 1
    queues: tuple[str, ...] = ()
    poll: float = 5.0
    drain: bool = False
    name: str = ""
    stop_timeout: float | None = None
    supervisors: int = 0
    not_queues: tuple[str, ...] = ()
    max_load: float | None = None
    min_free_memory: int | None = None
    secrets: str | None = None
    hooks: bool = True

    @property
    def served(self) -> Served:
        return Served(self.queues, self.not_queues)


def _slots(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= SLOTS_MAX:
        raise Invalid(f"--count must be a whole number from 1 to {SLOTS_MAX:,}, not {text!r}")
    return int(text)


def queue_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of queues, each perhaps a list with commas."""
    return tuple(dict.fromkeys(check_queue(name, "queue") for text in names for name in text.split(",")))


def check_served(served: Served) -> None:
    """Raises `Invalid` for queues to serve together with some not to serve."""
    if served.only and served.but:
        raise Invalid("queues to serve and queues not to serve exclude each other", "give one of them")


def _poll(text: str) -> float:
    seconds = parse_duration(text, "--poll")
    if seconds <= 0:
        raise Invalid(f"--poll must be longer than 0, not {text!r}")
    return seconds


def _load(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) <= 0:
        raise Invalid(f"--max-load must be a number above 0, not {text!r}")
    return float(text)


def check_name(name: str) -> str:
    """A worker's name. Raises `Invalid`."""
    if not re.fullmatch(NAME, name):
        raise Invalid(f"worker name {name!r} is not valid", "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit")
    return name


def default_name(host: str, suffix: str) -> str:
    """The default name of a worker: its host's name, cut and changed to be valid, and `suffix`."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", host.partition(".")[0]).lstrip("._-")
    return f"{kept[: NAME_LENGTH_MAX - len(suffix) - 1] or 'worker'}-{suffix}"


READ: Mapping[str, Callable[[Any], Any]] = {
    "slots": _slots,
    "queues": queue_names,
    "not_queues": queue_names,
    "poll": _poll,
    "name": check_name,
    "max_load": _load,
    "min_free_memory": lambda text: size(1 << 20, 1 << 50)(text, "--min-free-memory"),
    "secrets": lambda path: os.path.abspath(os.path.expanduser(path)),
    "stop_timeout": lambda text: parse_duration(text, "--stop-timeout"),
}
"""How the text of an option is read; those that are not here are taken as they are."""


FLAGS: Mapping[str, str] = {
    "slots": "--count", "queues": "--queue", "not_queues": "--not-queue", "poll": "--poll", "drain": "--drain",
    "name": "--name", "stop_timeout": "--stop-timeout", "max_load": "--max-load",
    "min_free_memory": "--min-free-memory", "secrets": "--secrets", "hooks": "--no-hooks",
}  # fmt: skip
"""The option of each attribute that is given to a worker; the number of supervisors follows from the slots."""


def words_of(options: WorkerOptions) -> list[str]:
    """The options as words of a command line, from which `read_options` makes the same."""
    words = []
    for name, flag in FLAGS.items():
        value = getattr(options, name)
        if value == WorkerOptions._field_defaults[name]:
            continue
        if isinstance(value, bool):
            words.append(flag)
        elif isinstance(value, tuple):
            words += [f"{flag}={queue}" for queue in value]
        else:
            words.append(
                f"{flag}={value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{flag}={value}"
            )
    return words


def read_options(given: Mapping[str, Any]) -> WorkerOptions:
    """The options of a command line; what is missing or None keeps its default. Raises `Invalid`."""
    texts = {name: given[name] for name in WorkerOptions._fields if given.get(name) is not None}
    options = WorkerOptions(**{name: READ[name](text) if name in READ else text for name, text in texts.items()})
    check_served(options.served)
    return options
