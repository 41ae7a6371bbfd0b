"""Plain commands: what follows from a row alone, at the command line and as a request."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from queuectl.cli import main, plain
from queuectl.cli.call import Call, open_client
from queuectl.cli.console import Console, Screen
from queuectl.cli.parser import check_arity, parse
from queuectl.client import shapes
from queuectl.client.operation import DURATION, FLAG, NAME, SELECTION, Argument, Command, Operation, number
from queuectl.client.operation import plain as row
from queuectl.client.remote.request import request_of
from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.store.port import Store


class Told(NamedTuple):
    """What the made-up commands were given."""

    name: str
    text: str
    since: float | None = None
    sure: bool = False


TOLD = shapes.Shape(
    "", Told, shapes.Key("name", shapes.TEXT), shapes.Key("text", shapes.TEXT),
    shapes.Key("since", shapes.nullable(shapes.TIME)), shapes.Key("sure", shapes.FLAG),
)  # fmt: skip


def typed(name: str, **more: Any) -> Command:
    return Command(name=name, group="Jobs", help="h", description="d.", examples=(), **more)


def give(store: Store, who: str, name: str, count: int, slow: bool, wait: float, tags: list[str]) -> list[Told]:
    return [Told(name, f"{count} {slow} {wait} {tags}", 0.0, True)]


def select(store: Store, who: str, selector: Selector) -> Told:
    return Told(who, " ".join(selector.states))


LISTS = row(
    "lists", "POST", "/lists", "Jobs", "s", give, shapes.listed(TOLD.kind), "t",
    arguments=(
        Argument("name", NAME),
        Argument("count", number(1, 9), "c", 1, "-n --count N"), Argument("slow", FLAG, "s", False, "--slow"),
        Argument("wait", DURATION, "w", 0.0, "--wait DURATION"),
        Argument("tags", NAME, "t", (), "--tag TAG", many=True),
    ),
    command=typed("things give"),
)  # fmt: skip
SELECTS = row(
    "selects", "POST", "/selects", "Jobs", "s", select, TOLD.kind, "t", arguments=(Argument("selector", SELECTION),),
    command=typed("things select", confirm="jobs would be selected"),
)  # fmt: skip
EACH = row(
    "each", "DELETE", "/each/{name}", "Jobs", "s", lambda store, who, name: Told(name, "gone"), TOLD.kind, "t",
    arguments=(Argument("name", NAME, each=True),), command=typed("things drop", said="dropped {name}"),
)  # fmt: skip
NEEDS = row(
    "needs", "POST", "/needs", "Jobs", "s", lambda store, who, to: Told(to, "there"), TOLD.kind, "t",
    arguments=(Argument("to", NAME, "t", spelled="--to NAME"),), command=typed("things move", said="moved to {name}"),
)  # fmt: skip


def ran(db: Path, operation: Operation[Any], *words: str, answer: str | None = None) -> tuple[int, str]:
    """The exit code of a plain command, and what it printed."""
    written = io.BytesIO()
    out, err = (io.TextIOWrapper(each, "utf-8", write_through=True) for each in (written, io.BytesIO()))
    answers = None if answer is None else lambda question: answer
    screen = Screen(out=out, err=err, terminal=False, width=None, height=None, answer=answers, progress=False)
    command = plain.command_of(operation)
    args, rest = parse(command, ["--db", str(db), *words])
    check_arity(command, rest)
    console = Console(screen, as_json=args.json, quiet=args.quiet)
    code = main.do(command, Call(args=args, words=rest, after=None, console=console, open_client=open_client))
    return code, written.getvalue().decode()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "queuectl.db"


def test_options_are_read_by_their_kinds(db: Path) -> None:
    given = ("here", "-n", "3", "--slow", "--wait", "1m", "--tag", "a", "--tag", "b")
    (told,) = json.loads(ran(db, LISTS, "--json", *given)[1])
    assert told == {
        "name": "here",
        "text": "3 True 60.0 ['a', 'b']",
        "since": "1970-01-01T00:00:00.000000Z",
        "sure": True,
    }
    (told,) = json.loads(ran(db, LISTS, "--json", "here")[1])
    assert told["text"] == "1 False 0.0 ()"
    for wrong, message in (("x -n 10", "--count must be a whole number"), ("x --tag a,b", "--tag"), ("", "needs NAME")):
        with pytest.raises(Invalid, match=message):
            ran(db, LISTS, *wrong.split())


def test_an_option_without_a_default_has_to_be_given(db: Path) -> None:
    with pytest.raises(Invalid, match="things move needs --to NAME"):
        ran(db, NEEDS)
    assert ran(db, NEEDS, "--to", "x") == (0, "moved to x\n")


def test_a_list_is_a_table_and_bare_names_when_quiet(db: Path) -> None:
    titles, line = ran(db, LISTS, "here")[1].splitlines()
    assert titles.split() == ["NAME", "TEXT", "SINCE", "SURE"]
    assert line.split() == ["here", "1", "False", "0.0", "()", *line.split()[5:7], "yes"]
    assert ran(db, LISTS, "here", "--quiet") == (0, "here\n")


def test_a_selection_has_to_be_given_and_confirmed(db: Path) -> None:
    with pytest.raises(Invalid, match="no job was selected"):
        ran(db, SELECTS, "--yes")
    with pytest.raises(Invalid, match="jobs would be selected"):
        ran(db, SELECTS, "--state", "dead")
    assert ran(db, SELECTS, "--state", "dead", answer="n") == (1, "")
    assert ran(db, SELECTS, "--state", "dead", answer="y")[1].splitlines()[1] == "text           dead"
    assert json.loads(ran(db, SELECTS, "--all", "--yes", "--json")[1])["text"] == ""


def test_what_is_about_one_is_done_for_each_word(db: Path) -> None:
    assert ran(db, EACH, "a", "b") == (0, "dropped a\ndropped b\n")
    assert [told["name"] for told in json.loads(ran(db, EACH, "a", "b", "--json")[1])] == ["a", "b"]


def test_a_request_has_what_differs_from_the_defaults() -> None:
    asked = request_of(LISTS, {"name": "a/b", "count": 1, "slow": True, "wait": "1m", "tags": ["x"]})
    assert asked.body == {"name": "a/b", "slow": True, "wait": 60.0, "tags": ["x"]}
    assert request_of(EACH, {"name": "a/b"})[:3] == ("DELETE", "/api/v1/each/a%2Fb", {})
    dead = Selector(states=(JobState.DEAD,))
    assert request_of(SELECTS, {"selector": dead}).body == {"selector": {"state": ["dead"]}}
    assert request_of(SELECTS, {"selector": ALL_JOBS}).body == {"selector": {"all": True}}
