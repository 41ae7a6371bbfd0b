"""What a shell leaves of JSON typed without quotes is understood, or refused; never guessed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli.keys import in_json
from queuectl.cli.unquoted import KEYS, LISTS, looks_unquoted, parse
from queuectl.domain.errors import Invalid
from queuectl.wire.requests import parse_request

PRINT_WORDS = "import json, sys; print(json.dumps(sys.argv[1:]))"

TYPED = {
    """{"id":"job1","command":"echo 'Hello World'","max_retries":3}""": {
        "id": "job1", "command": "echo 'Hello World'", "max_retries": 3,
    },
    r"""{"id":"fail1","command":"python -c \"import sys; sys.exit(1)\""}""": {
        "id": "fail1", "command": 'python -c "import sys; sys.exit(1)"',
    },
    """{"command":"echo hi"}""": {"command": "echo hi"},
    """{"id":"job1", "command":"echo hi"}""": {"id": "job1", "command": "echo hi"},
    """{ "id": "job1", "command": "echo hi", "max_retries": 2 }""": {
        "id": "job1", "command": "echo hi", "max_retries": 2,
    },
    """{"command":"echo a, b; echo c","id":"x","retry_on":[75,111],"held":true,"timeout":null}""": {
        "command": "echo a, b; echo c", "id": "x", "retry_on": [75, 111], "held": "true", "timeout": None,
    },
    """{"command":"echo a:b","tags":["x","y"],"queue":"video"}""": {
        "command": "echo a:b", "tags": ["x", "y"], "queue": "video",
    },
    """{"command":"deploy","locks":["gpu=2","disk"],"depends_on":["build","batch:b:any"],"secrets":["A","B"]}""": {
        "command": "deploy", "locks": ["gpu=2", "disk"], "depends_on": ["build", "batch:b:any"], "secrets": ["A", "B"],
    },
    """{"command":"deploy","after":["build","test"],"fatal_on":[],"backoff_base":1.5}""": {
        "command": "deploy", "after": ["build", "test"], "fatal_on": [], "backoff_base": 1.5,
    },
    """{"command":"echo {1..3} {a,b}","timeout":"1h30m"}""": {"command": "echo {1..3} {a,b}", "timeout": "1h30m"},
    """{"id":"a","command":"[ -f x ] && echo yes","state":"pending","attempts":0}""": {
        "id": "a", "command": "[ -f x ] && echo yes", "state": "pending", "attempts": 0,
    },
}  # fmt: skip


def words_from(shell: str, typed: str) -> list[str]:
    """What a real shell passes for a line typed at its prompt."""
    import json

    done = subprocess.run(
        [shell, "-c", f"'{sys.executable}' -c '{PRINT_WORDS}' {typed}"], capture_output=True, text=True, check=True
    )
    words: list[str] = json.loads(done.stdout)
    return words


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("typed", TYPED)
def test_unquoted_json_means_the_same_in_every_shell(shell: str, typed: str) -> None:
    words = words_from(shell, typed)
    assert looks_unquoted(words)
    assert parse(words) == TYPED[typed]
    parse_request(parse(words), 0.0)


KEY_NAMES = st.sampled_from(sorted(KEYS - LISTS - {"env", "command", "attempts"}))
PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="{}[],:"), min_size=1).filter(
    lambda text: text != "null"
)
COMMANDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(
    lambda text: (
        text == text.strip()
        and not re.match(r"\[[^\s\[]", text)
        and not re.search(r",\s*[A-Za-z_-]+\s*:", text)
        and not text.endswith(",")
    )
)


@given(st.dictionaries(KEY_NAMES, PLAIN, max_size=4), COMMANDS)
def test_both_forms_give_back_what_was_typed(others: dict[str, str], command: str) -> None:
    document = {**{key: in_json(key, value) for key, value in others.items()}, "command": command}
    expanded = [f"{key}:{value}" for key, value in {**others, "command": command}.items()]
    braced = ["{" + ",".join(expanded) + "}"]
    assert parse(expanded) == document
    assert parse(braced) == document


@pytest.mark.parametrize(
    "words",
    [
        ['{"command": "echo hi"}'],
        ['{"command": "echo hi"'],
        ["echo", "hi"],
        ["http://example.org"],
        ["make:all"],
        ["[1, 2]"],
        [],
    ],
)
def test_json_and_commands_are_not_taken_for_it(words: list[str]) -> None:
    assert not looks_unquoted(words)


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["{id:a,command:echo b,id:c}"], "id comes twice"),
        (["command:[echo", "a", "b]"], "'a'"),
        (["{command:[echo,a b]}"], "a list"),
        (["command:echo hi", "env:{A:b}"], "env"),
        (["{command:echo hi"], "no closing brace"),
        (["command:echo", "hi"], "'hi'"),
        (["{id:x,comand:echo hi}"], "unknown key 'comand'"),
        (["{comand:echo hi}"], "unknown key 'comand'"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(words: list[str], about: str) -> None:
    with pytest.raises(Invalid, match=re.escape(about)) as refused:
        parse_request(parse(words), 0.0)
    assert refused.value.hint


def test_a_misspelt_key_among_known_ones_is_named() -> None:
    with pytest.raises(Invalid, match="unknown key 'comand'") as refused:
        parse_request(parse(["id:x", "comand:echo hi"]), 0.0)
    assert "command" in refused.value.hint
