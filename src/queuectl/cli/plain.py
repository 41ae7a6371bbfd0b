"""Commands without their own module: turns words into the arguments of an operation, and prints its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from queuectl.cli.call import Call
from queuectl.cli.changed import report_refused
from queuectl.cli.choosing import selector_of, selects
from queuectl.cli.command import Command, function_of
from queuectl.cli.options import ACT, SELECT, Option
from queuectl.cli.render import Column, visible
from queuectl.client.operation import DEAD, FLAG, REQUIRED, SELECTION, Argument, Operation
from queuectl.client.operation import Command as Typed
from queuectl.client.operations import OPERATIONS
from queuectl.client.shapes import moment
from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.words import local_time

if TYPE_CHECKING:
    from queuectl.client.facade import Client

PRINTERS = {
    "token create": "token:print_made", "token list": "token:print_all",
    "schedule list": "schedule:print_all", "schedule show": "schedule:print_one",
    "queue list": "queue:print_all", "queue show": "queue:print_one", "queue pause": "queue:print_paused",
    "batch list": "batch:print_all", "batch show": "batch:print_one",
    "stats": "stats:print_all",
    "lock list": "lock:print_all", "lock show": "lock:print_one",
}  # fmt: skip
"""Commands that print their answer for people by their own function: module and function, as in `cli.command`."""


def commands() -> Iterator[Command]:
    """The commands of all plain operations that have one."""
    for operation in OPERATIONS.values():
        if operation.command is not None:
            yield command_of(operation)


def command_of(operation: Operation[Any]) -> Command:
    """The command of a plain operation."""
    typed = operation.command
    assert typed is not None
    words = _words(operation)
    required = [each for each in words if each.default is REQUIRED]
    endless = any(each.many or each.each for each in words)
    return Command(
        name=typed.name, group=typed.group, help=typed.help, description=typed.description, examples=typed.examples,
        target="plain:run", operation=operation, words=" ".join(map(_shown, words)), least=len(required),
        most=None if endless else len(words), options=tuple(_options(operation)), makes_store=typed.makes_store,
        frees_room=typed.frees_room, reads=operation.reads and not operation.full_only,
    )  # fmt: skip


def _words(operation: Operation[Any]) -> list[Argument]:
    """The arguments that are words, not options."""
    return [
        each
        for each in operation.arguments
        if each.typed and not each.spelled.startswith("-") and each.kind not in (SELECTION, DEAD)
    ]


def _shown(argument: Argument) -> str:
    name = (argument.spelled or argument.name.upper()) + ("..." if argument.many or argument.each else "")
    return name if argument.default is REQUIRED else f"[{name}]"


def _options(operation: Operation[Any]) -> Iterator[Option]:
    for argument in operation.arguments:
        if argument.kind in (SELECTION, DEAD) and argument.typed:
            yield from SELECT
        elif argument.spelled.startswith("-"):
            *flags, last = argument.spelled.split()
            how: dict[str, Any] = {"metavar": last, "action": "append" if argument.many else "store"}
            if argument.kind is FLAG:
                flags, how = [*flags, last], {"action": "store_const", "const": True}
            yield Option(tuple(flags), argument.help, {**how, "dest": argument.name})
    if operation.command and operation.command.confirm:
        yield ACT[0]


def run(call: Call, operation: Operation[Any]) -> int:
    """Calls the operation, once for each word if it takes one, and prints the answers."""
    command = operation.command
    assert command is not None
    wanted = _wanted(call, operation)
    with call.client() as client:
        for argument in operation.arguments:
            if argument.kind in (SELECTION, DEAD) and argument.typed:
                for given in wanted:
                    given[argument.name] = _selection(call, argument, client.now())
        would = "; ".join(command.confirm.format(**given) for given in wanted if command.confirm)
        if would and not call.console.confirmed(f"{would}. Go on?", call.args.yes, would):
            return 1
        done, refused = _do(call, client, operation, wanted)
        if (printer := PRINTERS.get(command.name)) and not call.console.as_json:
            function_of(printer)(call, done[0][1], client.now())
        else:
            _print(call, operation, done)
    return report_refused(call.console, refused)


def _do(
    call: Call, client: Client, operation: Operation[Any], wanted: Sequence[dict[str, Any]]
) -> tuple[list[tuple[dict[str, Any], Any]], list[QueuectlError]]:
    """The answers, and which of several words are refused; the only one is raised."""
    done, refused = list[tuple[dict[str, Any], Any]](), list[QueuectlError]()
    for given in wanted:
        try:
            done.append((given, call.freeing(partial(client.do, operation, **given))))
        except (Conflict, NotFound) as error:
            if len(wanted) == 1:
                raise
            refused.append(error)
        except Invalid as error:
            error.say(_with_option(error.message, operation), error.hint)
            raise
    return done, refused


def _with_option(message: str, operation: Operation[Any]) -> str:
    """A message that begins with an argument, with the option that was typed instead."""
    first, _, rest = message.partition(" ")
    options = {
        each.name: each.spelled.split()[-2]
        for each in operation.arguments
        if each.spelled.startswith("-") and each.kind is not FLAG
    }
    return f"{options[first]} {rest}" if first in options else message


def _wanted(call: Call, operation: Operation[Any]) -> list[dict[str, Any]]:
    """The arguments of each call, read and checked."""
    given = {
        each.name: each.read(getattr(call.args, each.name), each.spelled.split()[-2 if each.kind is not FLAG else -1])
        for each in operation.arguments
        if each.spelled.startswith("-") and getattr(call.args, each.name) is not None
    }
    for each in operation.arguments:
        if each.default is not REQUIRED:
            given.setdefault(each.name, each.default)
        elif each.spelled.startswith("-") and each.name not in given:
            assert operation.command is not None
            name = operation.command.name
            raise Invalid(f"{name} needs {each.spelled}", f"see: queuectl {name} --help")
    words, wanted = list(call.words), [given]
    for argument in _words(operation):
        if argument.each:
            wanted = [{**given, argument.name: argument.read(word)} for word in words]
        elif argument.many:
            if words:
                given[argument.name] = argument.read(words)
        elif words:
            given[argument.name] = argument.read(words.pop(0))
    return wanted


def _selection(call: Call, argument: Argument, now: float) -> Any:
    """The selector of the options. Raises `Invalid` if none were given and that does not mean all jobs."""
    if not selects(call.args) and argument.default is REQUIRED:
        raise Invalid("no job was selected", "select jobs, e.g. --state failed, --queue video, --all")
    return selector_of(call.args, now)


def _print(call: Call, operation: Operation[Any], done: Sequence[tuple[dict[str, Any], Any]]) -> None:
    """Prints the answers: JSON, or words for people."""
    console, command, kind = call.console, operation.command, operation.kind
    assert command is not None
    assert kind is not None
    several = any(each.each for each in operation.arguments)
    shown = [kind.show(value) for _, value in done]
    if console.as_json and (several or isinstance(shown[0], list)):
        console.json_array(shown if several else shown[0])
    elif console.as_json:
        console.json(shown[0])
    elif not several and shown[0] == []:
        console.note(command.nothing, "info")
    else:
        for (given, value), document in zip(done, shown, strict=True):
            if not _is_idle(command, value):
                _print_words(call, command, given, document)
    for given, value in done:
        if _is_idle(command, value):
            console.note(command.idle.format(**given), "no_jobs")


def _is_idle(command: Typed, value: Any) -> bool:
    """Whether there was nothing to change, and the command has words for that."""
    return command.idle != "" and value.changed == 0


def _print_words(call: Call, command: Typed, given: Mapping[str, Any], document: Any) -> None:
    """Prints a table, or a line for each value."""
    console = call.console
    documents = document if isinstance(document, list) else [document]
    template = command.bare if console.quiet else command.said
    if template:
        console.lines(visible(template.format(**{**given, **each})) for each in documents)
    elif console.quiet:
        console.lines(_seen(next(iter(each.values()))) for each in documents)
    elif isinstance(document, list):
        columns = [Column(name.upper().replace("_", " "), least=8) for name in documents[0]]
        console.table(columns, [list(map(_seen, each.values())) for each in documents])
    else:
        console.lines(f"{name:<14} {_seen(value)}".rstrip() for name, value in document.items())


def _seen(value: Any) -> str:
    """A JSON value for people."""
    if value is None or isinstance(value, bool):
        return {None: "", False: "no", True: "yes"}[value]
    if isinstance(value, list):
        return ", ".join(map(_seen, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_seen(each)}" for name, each in value.items())
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", value):
        return local_time(moment(value))
    return visible(str(value))
