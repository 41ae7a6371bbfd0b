"""Turns the forms of a job on the command line (JSON, quoted or not; words after `--`; `-c STRING`) into its JSON.

`wire.parse_request` then checks them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from queuectl.cli.keys import given
from queuectl.domain.errors import Invalid
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.wire.kinds import JsonObject

FORMS = """queuectl enqueue -- echo hello, or -c 'echo hello', or '{"command": "echo hello"}'"""


def file_of(args: SimpleNamespace, words: Sequence[str], after: Sequence[str] | None) -> str | None:
    """The file that has the jobs, or a line for each (`-`: stdin), or None if the command line itself has a job.

    Raises `Invalid` if there is no job, or more than one form.
    """
    _refuse_options(words)
    filename: str | None = "-" if list(words) == ["-"] else args.file
    if args.each_line is not None:
        if filename is not None:
            raise Invalid("--file and --each-line exclude each other", "give one of them")
        filename = args.each_line
    elif given := [name for name in ("null", "colsep", "header") if getattr(args, name)]:
        raise Invalid(f"--{given[0]} goes with --each-line", "name the file of the lines, or - for stdin")
    scripted = getattr(args, "key:script") is not None
    sources = {
        "a JSON job": bool(words) and list(words) != ["-"],
        "--script": scripted,
        "a command after --": after is not None and not scripted,
        "-c": args.shell_command is not None,
        "--file": filename is not None and args.each_line is None,
    }
    given = [name for name, there in sources.items() if there]
    if not given and args.each_line is not None:
        from shlex import quote

        whole = f"queuectl enqueue --each-line {quote(args.each_line)} -- sh -c {{}}"
        raise Invalid("--each-line needs a command", f"give it after --; where each line is a command, write: {whole}")
    if not given:
        raise Invalid("nothing to enqueue", f"write: {FORMS}")
    if given == ["a JSON job", "--script"]:
        raise Invalid("a JSON job and --script exclude each other", "words after -- are the script's arguments")
    if len(given) > 1:
        raise Invalid(f"{' and '.join(given)} exclude each other", "give one of them")
    return filename


def _refuse_options(words: Sequence[str]) -> None:
    """Raises `Invalid` for an option that is written as KEY=VALUE."""
    if any("=" in word for word in words):
        from queuectl.cli.familiar import option_for
        from queuectl.cli.parser import OF_JOBS

        for word in words:
            if (option := option_for(word, OF_JOBS["enqueue"])) is not None:
                raise Invalid(f"enqueue does not take {word!r}", f"give it as an option: {option}")


def document_of(args: SimpleNamespace, words: Sequence[str], after: Sequence[str] | None) -> object:
    """The job of a command line, with its options."""
    if not words:
        return {**command_of(args, after), **options(args)}
    from queuectl.wire.reading import merged

    return merged(_typed(words), options(args))


def command_of(args: SimpleNamespace, after: Sequence[str] | None) -> JsonObject:
    """The job of the words after `--` or of `-c STRING`, without its options."""
    if args.shell_command is not None and after is not None:
        raise Invalid("a command after -- and -c exclude each other", "give one of them")
    if getattr(args, "key:script") is not None:
        from queuectl.cli import scripts

        if args.shell_command is not None:
            raise Invalid("-c and --script exclude each other", "words after -- are the script's arguments")
        script = scripts.of(args)
        assert script is not None
        return {"command": [script.name, *(after or ())]}
    if args.shell_command is not None:
        return {"command": args.shell_command}
    if not after:
        raise Invalid("there is no command after --", "write: -- echo hello, or -c 'echo hello'")
    return {"command": list(after)}


def options(args: SimpleNamespace) -> JsonObject:
    """The keys of a job that options give."""
    typed = given(args)
    if "script" not in typed:
        return typed
    from queuectl.cli import scripts

    script = scripts.of(args)
    assert script is not None
    return scripts.merged(script.given, {**typed, "script": script.text})


def _typed(words: Sequence[str]) -> Any:
    """The job of positional words: JSON, or what a shell left of it."""
    from queuectl.cli import unquoted

    if unquoted.looks_unquoted(words):
        return unquoted.parse(words)
    text = " ".join(words)
    if not text.strip():
        raise Invalid("the job is empty", f"write: {FORMS}")
    if text.lstrip()[0] in '{["':
        from queuectl.wire.documents import parse_json

        return parse_json(text, "the job")
    from queuectl.cli.familiar import lines_for

    raise Invalid(
        f"{text!r} is not a job in JSON", f"write: {lines_for('enqueue', words)}, or a JSON object in single quotes"
    )
