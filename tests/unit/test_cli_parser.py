"""From words to a command and its options, and errors that name what would be right."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli import arguments, familiar, parser
from queuectl.cli.command import GLOBAL_OPTIONS
from queuectl.cli.commands import commands
from queuectl.cli.listing import SORT_KEYS
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import INPUT


def test_global_options_may_stand_before_and_after_the_command() -> None:
    for words in (["--db", "x", "list", "--json"], ["list", "--json", "--db", "x"], ["--json", "--db=x", "list"]):
        command, rest = parser.find_command(words)
        assert command is commands()["list"]
        args, typed = parser.parse(commands()["list"], rest)
        assert (args.db, args.json, typed) == ("x", True, [])


def test_a_short_q_without_a_queue_leads_to_quiet() -> None:
    with pytest.raises(Invalid, match="--queue needs a value") as refused:
        parser.parse(commands()["list"], ["-q"])
    assert refused.value.hint.endswith("for bare ids: --quiet")


def test_an_option_of_a_command_does_not_stand_before_it() -> None:
    with pytest.raises(Invalid, match="--queue stands before the command") as refused:
        parser.find_command(["--json", "--queue", "video", "enqueue"])
    assert refused.value.hint.endswith("queuectl COMMAND --queue video")
    with pytest.raises(Invalid, match="-c stands before the command") as refused:
        parser.find_command(["-c", "sleep 5"])
    assert refused.value.hint.endswith("queuectl COMMAND -c 'sleep 5'")
    with pytest.raises(Invalid, match="unknown command 'video'"):
        parser.find_command(["--json", "video", "enqueue"])


def test_a_group_and_its_verb_are_one_command() -> None:
    assert parser.find_command(["dlq", "--json", "retry", "a"]) == (commands()["dlq retry"], ["--json", "a"])
    assert parser.find_command(["dlq"]) == ("dlq", [])


def test_what_other_tools_call_it_leads_to_a_command_there_is() -> None:
    for word, meant in familiar.COMMANDS.items():
        assert word not in commands()
        assert meant == "--version" or parser.find_command(meant.split())[0] in commands().values()
        with pytest.raises(Invalid) as refused:
            parser.find_command(word.split())
        assert refused.value.hint == f"did you mean '{meant}'?"


def test_an_unknown_word_like_no_command_leads_to_the_help() -> None:
    for words, hint in ((["foo"], "see: queuectl --help"), (["dlq", "foo"], "see: queuectl dlq --help")):
        with pytest.raises(Invalid) as refused:
            parser.find_command(words)
        assert refused.value.hint == hint


def test_a_key_of_a_job_and_other_words_for_it_lead_to_its_option() -> None:
    for field in INPUT:
        wrong = f"--{field.name.replace('_', '-')}"
        if field.option and wrong != field.option:
            assert _hint("enqueue", [wrong, "x"]) == f"did you mean '{field.option}'?"
    for wrong, meant in (
        ("--max-retry", "--max-retries"), ("--needs", "--after"), ("--base-backoff-seconds", "--backoff-initial"),
    ):  # fmt: skip
        assert _hint("enqueue", [wrong, "x"]) == f"did you mean '{meant}'?"


def test_a_hint_does_not_ask_for_the_two_dashes_that_are_there() -> None:
    assert _hint("enqueue", ["--frob"]) == "options of the command itself go after --: queuectl enqueue -- CMD ARG"
    assert _hint("enqueue", ["--frob"], ["make"]) == "see: queuectl enqueue --help"


def _hint(command: str, words: list[str], after: list[str] | None = None) -> str:
    with pytest.raises(Invalid) as refused:
        parser.parse(commands()[command], words, after)
    return refused.value.hint


def test_a_short_q_is_a_queue_wherever_one_can_be_given() -> None:
    for command in commands().values():
        if any("--queue" in option.flags for option in command.options):
            args, _ = parser.parse(command, ["-q", "video"])
            given = vars(args)
            assert "video" in (given.get("key:queue"), *given.get("queue", ()), *given.get("queues", ()))
        else:
            with pytest.raises(Invalid) as refused:
                parser.parse(command, ["-q", "video"])
            assert refused.value.hint in ("did you mean '--quiet'?", f"see: queuectl {command.name} --help")


@given(st.data())
def test_words_mean_the_same_with_and_without_argparse(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(commands().values())))
    flags = [flag for option in (*command.options, *GLOBAL_OPTIONS) for flag in option.flags]
    values = ["a", "", "-", "-5", "a b", "x=y", "-x"]
    word = st.one_of(
        st.sampled_from(flags), st.sampled_from(values), st.builds("{}={}".format, st.sampled_from(flags),
        st.sampled_from(values)), st.builds("{}{}".format, st.sampled_from(flags), st.sampled_from(values)),
    )  # fmt: skip
    words = data.draw(st.lists(word, max_size=6))
    if (usual := parser.read(command, words)) is not None:
        assert usual == arguments.parse(command, words)


def test_usual_words_need_no_argparse() -> None:
    words = ["--quiet", "-q", "video", "--env", "A=1", "--env=B=-2", "--file", "-", "one", "two"]
    usual = parser.read(commands()["enqueue"], words)
    assert usual is not None
    assert usual[1] == ["one", "two"]
    assert parser.read(commands()["enqueue"], ["--priority", "-5"]) is None


def test_help_names_every_sort_key() -> None:
    (sort,) = (option for option in commands()["list"].options if "--sort" in option.flags)
    assert set(SORT_KEYS) <= set(re.findall(r"\w+", sort.help))


def test_help_is_never_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert all("\x1b" not in arguments.build(command).format_help() for command in commands().values())


def test_ids_may_stand_between_options() -> None:
    args, typed = parser.parse(commands()["retry"], ["a", "--yes", "b", "--state", "dead", "c"])
    assert (typed, args.yes, args.state) == (["a", "b", "c"], True, ["dead"])


def test_both_spellings_of_an_option_are_one() -> None:
    words, after = parser.split_words(["--max_retries=3", "--backoff_base", "2", "--", "--keep_this"])
    assert words == ["--max-retries=3", "--backoff-base", "2"]
    assert after == ["--keep_this"]


def test_a_negative_number_is_a_value() -> None:
    args, _ = parser.parse(commands()["enqueue"], ["--priority", "-5"])
    assert vars(args)["key:priority"] == "-5"


def test_a_value_may_begin_with_a_dash() -> None:
    args, typed = parser.parse(commands()["list"], ["--sort", "-id", "--quiet", "a"])
    assert (args.sort, args.quiet, typed) == ("-id", True, ["a"])
    args, _ = parser.parse(commands()["enqueue"], ["-c", "-x y"])
    assert args.shell_command == "-x y"


@pytest.mark.parametrize(
    ("command", "words", "message", "hint"),
    [
        ("list", ["--sate", "dead"], "unknown option --sate", "--state"),
        ("list", ["--queue"], "--queue needs a value", "queuectl list --help"),
        ("list", ["--color", "pink"], "--color 'pink' is not one of auto, always, never", "queuectl list --help"),
        ("list", ["--json=yes"], "--json takes no value, not 'yes'", "queuectl list --help"),
        ("logs", ["--follow=x"], "--follow takes no value, not 'x'", "queuectl logs --help"),
        ("set", ["a", "--replace", "x"], "--replace needs 2 values", "queuectl set --help"),
        ("enqueue", ["ls", "-la"], "unknown option -la", "put -- before the command: queuectl enqueue -- ls …"),
        (
            "run",
            ["--queue", "q", "make", "-j4"],
            "unknown option -j4",
            "put -- before the command: queuectl run --queue q -- make …",
        ),
        ("run", ["make && rm x", "-y"], "unknown option -y", "write: queuectl run -c 'make && rm x'"),
        ("queue set", ["video", "--concurrency", "4"], "unknown option --concurrency", "without --: concurrency=4"),
        ("set", ["a", "--priority", "5"], "unknown option --priority", "write it without --: priority=5"),
        ("queue resume", ["-vid"], "unknown option -vid", "if it is a name, write: queuectl queue resume -- -vid"),
        ("clone", ["a", "timeout=5 m"], "clone does not take 'timeout=5 m'", "as an option: --timeout '5 m'"),
        ("schedule set", ["n", "max_retries=5"], "does not take 'max_retries=5'", "as an option: --max-retries 5"),
        (
            "run",
            ["ls", "--db", "postgresql://ann:secret@db.example/work"],
            "run does not take 'ls'",
            "write: queuectl run --db postgresql://ann@db.example/work -- ls, or -c ls",
        ),
        (
            "run",
            ["ls", "--db=postgresql://ann:se/cret@"],
            "run does not take 'ls'",
            "write: queuectl run --db 'postgresql://…' -- ls, or",
        ),
        (
            "run",
            ["ls", "--secret=A=very", "--secret", "B=secret"],
            "not take 'ls'",
            "run --secret A --secret B -- ls, or",
        ),
        ("run", ["a=b"], "run does not take 'a=b'", "write: queuectl run -- a=b, or -c a=b"),
        (
            "run",
            ["make it", "--db", "a b.db", "-q", "v", "--env=A=1"],
            "run does not take 'make it'",
            "write: queuectl run --db 'a b.db' -q v --env=A=1 -- make it, or -c 'make it'",
        ),
        ("set", ["a", "--priority=5"], "unknown option --priority", "write it without --: priority=5"),
        ("list", ["--newer-than", "1d"], "unknown option --newer-than", "see: queuectl list --help"),
        ("run", ["--prio", "5", "make"], "unknown option --prio", "did you mean '--priority'?"),
        ("enqueue", ['{"command": "x"}', "--prio", "5"], "unknown option --prio", "did you mean '--priority'?"),
        ("completion", [], "completion needs SHELL", "usage: queuectl completion SHELL"),
        ("config set", ["max-retries"], "config set needs VALUE", "config set NAME VALUE"),
        ("clone", ["a", "b && c"], "clone does not take 'b && c'", "write: queuectl clone a -c 'b && c'"),
        (
            "schedule add",
            ["n", "--every", "5m", "b", "c"],
            "schedule add does not take 'b'",
            "write: queuectl schedule add n --every 5m -- b c, or -c 'b c'",
        ),
        (
            "schedule add",
            ["n", "--every", "5m", "make", "-j4"],
            "unknown option -j4",
            "put -- before the command: queuectl schedule add n --every 5m -- make …",
        ),
        ("clone", ["a", "--prioritty", "5"], "unknown option --prioritty", "did you mean '--priority'?"),
        ("status", ["extra"], "status does not take 'extra'", "usage: queuectl status"),
    ],
)
def test_a_wrong_word_is_named_with_what_would_be_right(
    command: str, words: list[str], message: str, hint: str
) -> None:
    def understand() -> None:
        _, typed = parser.parse(commands()[command], words)
        parser.check_arity(commands()[command], typed, words)

    with pytest.raises(Invalid) as refused:
        understand()
    assert message in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(("words", "nearest"), [(["lst"], "list"), (["dlq", "lst"], "list"), (["wroker"], "worker")])
def test_an_unknown_command_names_the_nearest(words: list[str], nearest: str) -> None:
    with pytest.raises(Invalid, match="unknown command") as refused:
        parser.find_command(words)
    assert nearest in refused.value.hint


def test_each_command_is_found_by_its_own_words() -> None:
    for name, command in commands().items():
        assert parser.find_command([*name.split(), "word"]) == (command, ["word"]), name
