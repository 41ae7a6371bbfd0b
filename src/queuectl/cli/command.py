"""A row of the tables of commands."""

from __future__ import annotations

from collections.abc import Callable

from queuectl.cli.options import Option, flag, option
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from queuectl.client.operation import Operation

JOBS, WORKERS, LIMITS, DLQ = "Jobs", "Workers", "Queues and locks", "Dead letter queue"
SCHEDULES, WEB, SETUP = "Schedules", "Access and interfaces", "Setup and upkeep"
GROUPS = (JOBS, SCHEDULES, WORKERS, LIMITS, DLQ, WEB, SETUP)

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


def function_of(target: str) -> Callable[..., Any]:
    """The function that `module:function` means, as seen from here."""
    module, _, name = target.partition(":")
    above = len(module) - len(module.lstrip("."))
    # importlib would load more than this is worth
    imported = __import__(module[above:], globals(), fromlist=[name], level=1 + above)
    function: Callable[..., Any] = getattr(imported, name)
    return function
