"""The entry point: finds the command, calls it, and turns every error into one line.

To start fast, it imports only the module of the wanted command.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Sequence

from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn, TextIO

    from queuectl.cli.call import Call
    from queuectl.cli.command import Command
    from queuectl.cli.console import Console, Screen
    from queuectl.client.facade import Client
    from queuectl.domain.errors import QueuectlError

EXIT_INTERRUPTED = 130
EXIT_WINDOWS = 2
COMPLETE = "__complete"
"""What completion scripts call; see cli/completing.py."""
EXIT_PIPE_CLOSED = 0
"""The exit code after a reader such as `head -1` has closed the pipe."""


COLLECT_EVERY = 50_000
"""Objects between two collections of cyclic garbage: a command makes too little of it to be worth the time."""


def run() -> NoReturn:
    """Runs the process's command line, and exits without the interpreter's clean-up: it would take a tenth of an
    enqueue's time, and output and store are closed already."""
    try:
        code = main()
    except KeyboardInterrupt:  # before the command began
        code = EXIT_INTERRUPTED
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    if os.name == "nt":
        print("queuectl: Windows is not supported; run it inside WSL (wsl.exe)", file=sys.stderr)
        return EXIT_WINDOWS
    _open_standard_streams()
    gc.set_threshold(COLLECT_EVERY)
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [COMPLETE]:
        from queuectl.cli.completing import lines

        sys.stdout.writelines(f"{line}\n" for line in lines(words[1:]))
        return _flushed(0, words)
    return _flushed(execute(words), words)


def do(command: Command, call: Call) -> int:
    """Calls the command's function."""
    return _function(command)(call)


def execute(
    argv: Sequence[str], screen: Screen | None = None, do: Callable[[Command, Call], int] = do,
    open_client: Callable[[str | None], Client] | None = None,
) -> int:  # fmt: skip
    """Runs a command line and returns its exit code, also after an error. The screen defaults to the process's own.

    `do` may refuse a command or run it differently; `open_client` may open another store. Given all three, a call can
    run in any thread.
    """
    from queuectl.cli import parser
    from queuectl.cli.command import Command
    from queuectl.cli.console import Console, own_screen
    from queuectl.domain.errors import Invalid, QueuectlError, SystemFailure

    words, after = parser.split_words(argv)
    screen = screen or own_screen()
    console = Console(screen, as_json="--json" in words)
    own_failure: int | None = None
    try:
        if (asked := parser.after_help(words)) is not None:
            from queuectl.cli import topics

            if topic := next((word for word in asked if word in topics.NAMES), None):
                return _told(console, "help", topics.text(topic))
            words = [*asked, "--help"]
        command, words = parser.find_command(words)
        own_failure = command.own_failure if isinstance(command, Command) else None
        return _called(command, words, after, screen, do, open_client)
    except BrokenPipeError:
        return EXIT_PIPE_CLOSED
    except QueuectlError as error:
        shown = error
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except RecursionError:
        shown = Invalid("the JSON is nested too deeply")
    except MemoryError:
        shown = SystemFailure("out of memory", "give it less at once")
    except UnicodeError as error:
        shown = Invalid(f"not UTF-8 text: {error}")
    except OSError as error:
        shown = _system_failure(error)
    console.error(shown)
    return shown.exit_code if own_failure is None else own_failure


def _system_failure(error: OSError) -> QueuectlError:
    from queuectl.domain.errors import SystemFailure

    reason = error.strerror or str(error)
    if error.filename:
        return SystemFailure(f"{os.fsdecode(error.filename)}: {reason}")
    return SystemFailure(f"cannot write the output: {reason}", "the command may have done its work all the same")


def _called(
    command: Command | str | None, words: list[str], after: list[str] | None, screen: Screen,
    do: Callable[[Command, Call], int], given: Callable[[str | None], Client] | None,
) -> int:  # fmt: skip
    """Parses the rest of a command line and calls the command's function."""
    from queuectl.cli import parser
    from queuectl.cli.call import Call, open_client, open_existing, open_rehearsal
    from queuectl.cli.command import Command
    from queuectl.cli.console import Console
    from queuectl.domain.errors import Invalid, QueuectlError

    if not isinstance(command, Command):
        if command is not None or not {"-h", "--help"}.isdisjoint(words):
            return _group(command, words, Console(screen, as_json="--json" in words))
        command = parser.OF_JOBS["status"]
    args, typed = parser.parse(command, words, after)
    console = Console(screen, as_json=args.json, quiet=args.quiet, color=args.color, db=args.db)
    if args.help:
        from queuectl.cli import arguments

        return _told(console, "help", arguments.build(command).format_help().rstrip("\n"))
    if args.version:
        return _version(console)
    if after is not None and not command.takes_command:
        typed += after
    parser.check_arity(command, typed, words)
    makes = command.makes_store and not getattr(args, "all", False)  # all that there are: none, where there is no store
    if makes and getattr(args, "dry_run", False):
        given = given or open_rehearsal
    opens = given or (open_client if makes else open_existing)
    call = Call(
        args=args, words=typed, after=after, console=console, open_client=opens,
        frees_room=command.name if command.frees_room else "",
    )  # fmt: skip
    try:
        return do(command, call)
    except QueuectlError as error:
        if command.takes_command and isinstance(error, Invalid):
            from queuectl.cli.familiar import with_options

            error.hint = with_options(error.hint, command, words)
        error.hint = call.on_this_store(error.hint)
        console.begin_line()  # it is told after the command's output
        raise


def _group(name: str | None, words: list[str], console: Console) -> int:
    """Handles `queuectl --help`, or a group's name without a verb."""
    from queuectl.cli import parser
    from queuectl.cli.commands import commands
    from queuectl.domain.errors import Invalid

    if {"-h", "--help"}.isdisjoint(words):
        verbs = [row.removeprefix(f"{name} ") for row in commands() if row.startswith(f"{name} ")]
        raise Invalid(f"{name} needs one of: {', '.join(verbs)}", f"see: queuectl {name} --help")
    if console.as_json and name is None:
        from queuectl.cli.contract import document

        console.json(document())
        return 0
    return _told(console, "help", parser.overview(name))


def _version(console: Console) -> int:
    from queuectl import __version__

    return _told(console, "version", __version__ if console.as_json else f"queuectl {__version__}")


def _told(console: Console, name: str, text: str) -> int:
    """Prints a text that needs no store; as JSON, an object with one key."""
    if console.as_json:
        console.json({name: text})
    else:
        console.print(text)
    return 0


def _function(command: Command) -> Callable[[Call], int]:
    from queuectl.cli.command import function_of

    function = function_of(command.target)
    if (operation := command.operation) is None:
        return function
    return lambda call: function(call, operation)


def _open_standard_streams() -> None:
    """Opens /dev/null for a closed stdin, stdout or stderr, so that the store does not get its number. Makes characters
    that the terminal cannot show print as escapes, not raise."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed(code: int, argv: list[str]) -> int:
    """The exit code after all output is flushed. A failure is reported once, not again at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        from queuectl.cli.console import Console

        _discard(sys.stdout)
        if not code:
            failure = _system_failure(error)
            Console(as_json="--json" in argv).error(failure)
            code = failure.exit_code
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _discard(stream: TextIO) -> None:
    """Points the stream at /dev/null, so that the interpreter's own flush succeeds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
