"""Values as text: durations, times, jobs as JSON in both directions."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.client.documents import EXECUTION
from queuectl.domain.errors import Invalid
from queuectl.domain.job import COMMAND_BYTES_MAX, COMMAND_STRING_BYTES_MAX, Attempt, Job, JobState, Outcome, Spec
from queuectl.domain.unique import Rule
from queuectl.wire import times
from queuectl.wire.jobs import command_line, job_to_json, spec_from_text, spec_to_text
from queuectl.wire.requests import INPUT_KEYS, LIFTED_BY_NULL, JobRequest, of_printed, parse_request
from queuectl.wire.sizes import format_size
from queuectl.wire.times import format_duration, format_time, parse_duration, parse_time
from tests.builders import HOST, NOON, a_job

CONTRACT_KEYS = [
    "id", "command", "state", "attempts", "max_retries", "created_at", "updated_at", "queue", "priority", "run_at",
    "expires", "start_by",
    "timeout", "kill_grace", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter", "retry_on",
    "fatal_on", "memory_max", "nice", "user", "script",
    "cwd", "umask", "env", "secrets", "shell", "stdin", "output_path", "split_output", "tags",
    "batch", "schedule", "scheduled_at", "unique_key", "unique_for",
    "depends_on", "locks", "held", "on_success", "on_failure", "on_dead", "owner",
    "worker", "host", "lease", "lost", "started_at", "finished_at", "duration", "next_retry_at", "exit_code", "signal",
    "error", "progress", "result", "output_bytes", "cpu_time", "max_rss", "reason",
]  # fmt: skip


@pytest.fixture
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- durations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90), (1.5, 1.5), ("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800),
        ("250ms", 0.25), ("1m5s", 65), (" 5s ", 5), ("1H", 3600), (0, 0), ("0", 0),
    ],
)  # fmt: skip
def test_durations_are_read_in_every_form(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "-1", -1, "5 s", "1w", "s", "1h30", "1e3", True, None, [], {}, float("nan"), float("inf"),
     10**400, "5\u017f", "\u0663s", "\u0663"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_the_right_forms(text: object) -> None:
    with pytest.raises(Invalid, match=r"grace .* is not a duration") as refused:
        parse_duration(text, "grace")
    assert "90s, 10m, 1h30m or 2d" in refused.value.hint


@pytest.mark.parametrize("text", ["9" * 400, "101000d", "99999999999"])
def test_a_duration_of_more_than_a_lifetime_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"grace .* is too long"):
        parse_duration(text, "grace")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.25, "250ms"), (0.9996, "1s"), (3.14, "3.1s"), (5, "5s"), (59.96, "1m"), (125, "2m05s"),
        (5400, "1h30m"), (3600, "1h"), (3599.7, "1h"), (187200, "2d04h"), (86400, "1d"),
    ],
)  # fmt: skip
def test_durations_are_shown_with_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0, 1e8))
def test_a_shown_duration_can_be_typed_again(seconds: float) -> None:
    again = parse_duration(format_duration(seconds))
    assert again == pytest.approx(seconds, rel=0.05, abs=0.001)


# --- times ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21T18:00:00Z", "2026-11-21T18:00:00.000000Z"),
        ("2026-11-21T18:00:00.5+02:00", "2026-11-21T16:00:00.500000Z"),
        ("2026-11-21 18:00", "2026-11-21T12:30:00.000000Z"),
        ("2026-11-21", "2026-11-20T18:30:00.000000Z"),
        ("+10m", "2027-01-15T08:10:00.000000Z"),
        ("13:31", "2027-01-15T08:01:00.000000Z"),
        ("13:29:30", "2027-01-16T07:59:30.000000Z"),
    ],
)
def test_times_are_read_in_every_form(text: str, utc: str) -> None:
    assert format_time(NOON) == "2027-01-15T08:00:00.000000Z"  # 13:30 in the zone of this test
    assert format_time(parse_time(text, NOON)) == utc


@pytest.mark.parametrize(
    "text",
    ["", "soon", "tomorrow", "25:00", "18:60", "2026-13-01", "+", "+soon", "+-5", 5, None, True, [], "18:00 pm",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "\ud800"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_right_forms(text: object) -> None:
    with pytest.raises(Invalid, match=r"run_at .* is not a (time|duration)"):
        parse_time(text, NOON, "run_at")


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)))
def test_every_time_that_can_be_read_can_be_shown(when: datetime) -> None:
    try:
        seconds = parse_time(when.isoformat(), NOON)
    except Invalid:
        return
    shown = format_time(seconds)
    assert shown is not None
    assert shown.endswith("Z")


@given(st.integers(0, 4_000_000_000_000))
def test_a_shown_time_is_exact_to_the_millisecond(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_time(format_time(seconds), NOON) == pytest.approx(seconds, abs=1e-6)


# --- input ----------------------------------------------------------------------------------


def request(**keys: Any) -> JobRequest:
    return parse_request({"command": "true", **keys}, NOON)


def test_the_example_of_the_contract_is_read() -> None:
    asked = parse_request({"id": "job1", "command": "sleep 2", "max_retries": 2}, NOON)
    assert asked == JobRequest(id="job1", command="sleep 2", spec={"max_retries": 2})


def test_every_key_can_be_given() -> None:
    asked = request(
        id="a.b:c_d-e", queue="video/hd", priority=-5, delay="10m", tags=["a", "b", "a"], held=True, timeout="90s",
        locks=["gpu", "db=2", "gpu"], expires="1h",
        kill_grace=0, backoff_base=1.5, backoff_initial="5s", backoff_max="1h", backoff_jitter=0.5, retry_on=[75, 111],
        fatal_on="2,3", cwd="/tmp", umask="0027", env={"A": "=x\n"}, shell="/bin/bash", stdin="in", output_path="out",
        split_output=True, memory_max="4g", nice="-5", user="nobody", unique_key="k", unique_for="2h",
        on_conflict="replace", secrets=["B", "C", "B"], batch="b/1", at_most="2", max_fails=" 05% ",
        on_success="a", on_failure="b", on_dead="https://example.org",
    )  # fmt: skip
    assert asked == JobRequest(
        command="true", id="a.b:c_d-e", delay=600, on_conflict=Rule.REPLACE, at_most=2,
        max_fails="5%",
        columns={
            "queue": "video/hd", "priority": -5, "tags": ("a", "b"), "held": True, "locks": ("db=2", "gpu=2"),
            "unique_key": "k", "batch": "b/1",
        },
        spec={
            "expires": 3600,
            "timeout": 90, "kill_grace": 0, "backoff_base": 1.5, "backoff_initial": 5, "backoff_max": 3600,
            "backoff_jitter": 0.5, "retry_on": (75, 111), "fatal_on": (2, 3), "cwd": "/tmp", "umask": 0o027,
            "env": {"A": "=x\n"}, "shell": "/bin/bash", "stdin": "in", "output_path": "out", "split_output": True,
            "memory_max": 4 << 30, "nice": -5, "user": "nobody", "unique_for": 7200, "secrets": ("B", "C"),
            "on_success": "a", "on_failure": "b", "on_dead": "https://example.org",
        },
    )  # fmt: skip
    assert set(Spec._fields) - set(asked.spec) == {"max_retries", "captured", "script"}


def test_sizes_are_read_and_written_as_people_write_them() -> None:
    said = {"4g": 4 << 30, "512M": 512 << 20, "1536k": 1536 << 10, "2GiB": 2 << 30, "1t": 1 << 40}
    assert {text: request(memory_max=text).spec["memory_max"] for text in said} == said
    assert request(memory_max=1 << 30).spec == request(memory_max=str(1 << 30)).spec
    assert list(map(format_size, (4 << 30, 1536 << 20, 5_000_000, 1))) == ["4g", "1536m", "5000000", "1"]


def test_both_spellings_of_a_key_are_taken_and_the_alias_too() -> None:
    assert request(**{"max-retries": 1}).spec == request(max_retries=1).spec == {"max_retries": 1}
    assert request(base_backoff_seconds=5).spec == request(**{"backoff-initial": 5}).spec == {"backoff_initial": 5}


def test_a_key_in_two_spellings_is_refused() -> None:
    for second in ({"max-retries": 2}, {"base_backoff_seconds": 2}):
        with pytest.raises(Invalid, match=r"(max_retries|backoff_initial) comes twice"):
            request(max_retries=1, backoff_initial=1, **second)
    assert request(**{"max_retries": 1, "max-retries": None}).spec == {"max_retries": 1}


def test_numbers_may_come_as_text_as_a_shell_leaves_them() -> None:
    assert request(max_retries="3", backoff_base="1.5", priority="-2", held="true").spec == {
        "max_retries": 3,
        "backoff_base": 1.5,
    }


def test_words_are_kept_exactly() -> None:
    assert request(command=["echo", "", "a  b", "$HOME", "é"]).command == ("echo", "", "a  b", "$HOME", "é")
    assert request(command="  echo 'a'\n").command == "  echo 'a'\n"


def test_an_absent_value_is_as_if_the_key_were_not_there() -> None:
    nothing = dict.fromkeys(key for key in INPUT_KEYS if key not in ("command", *LIFTED_BY_NULL))
    written = dict.fromkeys(key for key in CONTRACT_KEYS if key not in (*INPUT_KEYS, "state", "attempts"))
    assert request(**nothing, **written) == request()


def test_none_is_no_time_limit_and_so_is_null_in_a_job_that_was_printed() -> None:
    assert request(timeout="none").spec == {"timeout": None}
    assert request(timeout=None).spec == {}
    printed, left_out = of_printed({"id": "a", "command": "true", "timeout": None, "expires": None, "lease": 2})
    assert (printed, left_out) == ({"command": "true", "timeout": "none", "expires": None}, ["id", "lease"])
    with pytest.raises(Invalid, match="expires 'none' is not a duration"):
        request(expires="none")


def test_keys_that_a_new_job_has_anyway_are_taken() -> None:
    asked = request(state="pending", attempts=0, created_at="2020-01-01T00:00:00Z", updated_at="whenever")
    assert asked == request()


BAD_INPUT: list[tuple[object, str]] = [
    ([], "a job must be a JSON object, not []"),
    ("echo", 'a job must be a JSON object, not "echo"'),
    (5, "a job must be a JSON object, not 5"),
    (None, "a job must be a JSON object, not null"),
    ({}, "a job needs a command"),
    ({"id": "job1"}, "a job needs a command"),
    ({"command": None}, "a job needs a command"),
    ({"command": ""}, "command is empty"),
    ({"command": " \n\t"}, "command is empty"),
    ({"command": 5}, "command must be text, not 5"),
    ({"command": {"a": 1}}, 'command must be text, not {"a": 1}'),
    ({"command": True}, "command must be text, not true"),
    ({"command": "x", "retry_on": [75, 2], "fatal_on": "1,75"}, "exit code 75 is in retry_on and in fatal_on"),
    ({"command": []}, "command is an empty list"),
    ({"command": [""]}, "command's first word is empty"),
    ({"command": ["echo", 5]}, "a word of command must be text, not 5"),
    ({"command": "echo \0"}, "command contains a NUL byte"),
    ({"command": ["echo", "\0"]}, "a word of command contains a NUL byte"),
    ({"command": "echo \udcff"}, "command holds bytes that are not UTF-8"),
    ({"command": ["echo", "\ud800"]}, "a word of command holds bytes that are not UTF-8"),
    ({"command": "x" * (COMMAND_STRING_BYTES_MAX + 1)}, "command is 131,072 bytes long; the limit is 131,071"),
    ({"command": "é" * (COMMAND_STRING_BYTES_MAX // 2 + 1)}, "command is 131,072 bytes long; the limit is 131,071"),
    ({"command": ["echo", "x" * (COMMAND_STRING_BYTES_MAX + 1)]}, "command is 131,072 bytes long"),
    (
        {"command": "x", "env": {"A": "é" * (COMMAND_STRING_BYTES_MAX // 2)}},
        "env variable A is 131,072 bytes long; the limit is 131,071",
    ),
    ({"command": ["x" * 100_000] * 11}, "the limit is 1,048,576"),
]

BAD_VALUES: list[tuple[str, object, str]] = [
    ("id", "", 'id "" is not valid'),
    ("id", "a b", 'id "a b" is not valid'),
    ("id", "a/b", 'id "a/b" is not valid'),
    ("id", "a\n", r'id "a\n" is not valid'),
    ("id", "é", 'id "é" is not valid'),
    ("id", "x" * 129, "is not valid"),
    ("id", 5, "id 5 is not valid"),
    ("queue", "", 'queue "" is not valid'),
    ("queue", "a b", 'queue "a b" is not valid'),
    ("queue", ["a"], 'queue ["a"] is not valid'),
    ("priority", "high", 'priority must be a whole number from -1000000 to 1000000, not "high"'),
    ("priority", 1.5, "priority must be a whole number"),
    ("priority", 10**30, "priority must be a whole number"),
    ("max_retries", -1, "max_retries must be a whole number from 0 to 1000000, not -1"),
    ("max_retries", "-1", "max_retries must be a whole number from 0 to 1000000, not -1"),
    ("max_retries", "three", 'max_retries must be a whole number from 0 to 1000000, not "three"'),
    ("max_retries", 2.5, "max_retries must be a whole number"),
    ("max_retries", True, "max_retries must be a whole number"),
    ("max_retries", [3], "max_retries must be a whole number"),
    ("backoff_base", 0.5, "backoff_base must be a number from 1 to 1000, not 0.5"),
    ("backoff_base", float("nan"), "backoff_base must be a number"),
    ("backoff_base", 10**400, "backoff_base must be a number"),
    ("backoff_initial", -1, "backoff_initial -1 is not a duration"),
    ("backoff_max", "long", "backoff_max 'long' is not a duration"),
    ("backoff_jitter", 2, "backoff_jitter must be a number from 0 to 1, not 2"),
    ("on_success", "http://", 'on_success "http://" is not a URL'),
    ("on_failure", "https:///path", 'on_failure "https:///path" is not a URL'),
    ("on_dead", "HTTP://x y", 'on_dead "HTTP://x y" is not a URL'),
    ("on_dead", " http://x", 'on_dead " http://x" is not a URL'),
    ("on_dead", "https://x\u00a0y", "is not a URL"),
    ("on_dead", "http://:80/", "is not a URL"),
    ("on_dead", "http://a@", "is not a URL"),
    ("on_dead", "http://[::1/", "is not a URL"),
    ("timeout", 0, "timeout must be longer than 0, not 0"),
    ("timeout", "-5s", "timeout '-5s' is not a duration"),
    ("timeout", "99999999d", "timeout '99999999d' is too long"),
    ("timeout", True, "timeout true is not a duration"),
    ("delay", ["1m", None], 'delay ["1m", null] is not a duration'),
    ("run_at", False, "run_at false is not a time"),
    ("kill_grace", {}, "kill_grace {} is not a duration"),
    ("retry_on", [0], "an exit code of retry_on must be a whole number from 1 to 255, not 0"),
    ("retry_on", "75,many", "an exit code of retry_on must be a whole number from 1 to 255"),
    ("fatal_on", {"2": 1}, "fatal_on must be a list of exit codes"),
    ("run_at", "soon", "run_at 'soon' is not a time"),
    ("run_at", "2030-01-01T24:00", "run_at '2030-01-01T24:00' is not a time"),
    ("run_at", "2026-W47-6", "run_at '2026-W47-6' is not a time"),
    ("run_at", 5, "run_at 5 is not a time"),
    ("delay", "soon", "delay 'soon' is not a duration"),
    ("tags", [5], "tag 5 is not valid"),
    ("tags", ["a b"], 'tag "a b" is not valid'),
    ("tags", {"a": 1}, "tags must be a list of words"),
    ("held", "maybe", 'held must be true or false, not "maybe"'),
    ("held", 1, "held must be true or false, not 1"),
    ("split_output", "x", 'split_output must be true or false, not "x"'),
    ("cwd", "", "cwd is empty"),
    ("cwd", "a\0b", "cwd contains a NUL byte"),
    ("stdin", 5, "stdin must be text, not 5"),
    ("shell", "", "shell is empty"),
    ("umask", "0999", "umask must be octal text"),
    ("memory_max", "1", 'memory_max must be a size, not "1"'),
    ("memory_max", "4x", 'memory_max must be a size, not "4x"'),
    ("memory_max", True, "memory_max must be a size, not true"),
    ("memory_max", 4e9, "memory_max must be a size, not 4000000000.0"),
    ("memory_max", "9999999999999999999g", 'memory_max must be a size, not "9999999999999999999g"'),
    ("nice", 20, "nice must be a whole number from -20 to 19, not 20"),
    ("secrets", ["A=s3=\ncret"], 'secret "A=…" is not valid'),
    ("secrets", ['{"A": "s3cret"}'], 'secret "{…" is not valid'),
    ("secrets", "A: s3cret", 'secret "A:…" is not valid'),
    ("secrets", {"A": "s3cret"}, "secrets must be a list of names"),
    ("secrets", [["A"]], "secrets must be a list of names"),
    ("secrets", [{"A": "s3cret"}], "secrets must be a list of names"),
    ("secrets", "A B", 'secret "A B" is not valid'),
    ("user", "no one", 'user "no one" is not valid'),
    ("umask", "7777", "umask must be octal text"),
    ("env", [], "env must be an object of names and values, not []"),
    ("env", {"A=B": "x"}, "env has a variable named 'A=B'; a name has neither blanks nor ="),
    ("env", {"BAD NAME": "1"}, "env has a variable named 'BAD NAME'; a name has neither blanks nor ="),
    ("env", {"": "x"}, "env has a variable named ''"),
    ("env", {"\ud800": "x"}, "env has a variable whose name holds bytes that are not UTF-8"),
    ("backoff_base", "0", "backoff_base must be a number from 1 to 1000, not 0"),
    ("env", {"A": 5}, "env variable A must be text, not 5"),
    ("env", {"A": "\0"}, "env variable A contains a NUL byte"),
    ("state", "completed", 'state cannot be set to "completed"'),
    ("state", 5, "state cannot be set to 5"),
    ("attempts", 1, "attempts cannot be set to 1"),
    ("attempts", False, "attempts cannot be set to false"),
    ("exit_code", 0, "exit_code is written by queuectl and cannot be set"),
    ("lease", 0, "lease is written by queuectl and cannot be set"),
    ("depends_on", 5, "depends_on must be a list of ids, not 5"),
    ("depends_on", ["a b"], 'depends_on "a b" is not valid'),
    ("depends_on", [":any"], 'depends_on ":any" is not valid'),
    ("depends_on", ["batch:"], 'depends_on "batch:" is not valid'),
    ("depends_on", [None], "depends_on null is not valid"),
]


@pytest.mark.parametrize(("document", "message"), BAD_INPUT, ids=[message for _, message in BAD_INPUT])
def test_bad_input_is_refused_in_one_line(document: object, message: str) -> None:
    refuses(document, message)


@pytest.mark.parametrize(("key", "value", "message"), BAD_VALUES, ids=[f"{k}: {m}" for k, _, m in BAD_VALUES])
def test_a_bad_value_is_refused_by_its_key(key: str, value: object, message: str) -> None:
    refuses({"command": "true", key: value}, message)


def test_a_dash_is_no_path() -> None:  # in SQL it is refused as any path without a slash before it
    for key in ("cwd", "stdin", "output_path"):
        refuses({"command": "true", key: "-"}, f"{key} must be a path; - means no stream here")
    assert parse_request({"command": "true", "stdin": "./-"}, NOON).spec == {"stdin": "./-"}


def refuses(document: object, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_request(document, NOON)
    assert message in refused.value.message
    assert "\n" not in refused.value.message + refused.value.hint
    assert len(refused.value.message) < 200
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "near"),
    [("comand", "command"), ("max_retrys", "max_retries"), ("retries", "max_retries"), ("time_out", "timeout"),
     ("Queue", "queue"), ("run-at-", "run_at")],
)  # fmt: skip
def test_an_unknown_key_is_named_with_the_nearest_known_one(key: str, near: str) -> None:
    with pytest.raises(Invalid, match=f"unknown key '{key}'") as refused:
        parse_request({"command": "true", key: 1}, NOON)
    assert refused.value.hint == f"did you mean {near!r}?"


def test_an_unknown_key_like_no_other_brings_all_that_are_known() -> None:
    with pytest.raises(Invalid) as refused:
        parse_request({"command": "true", "xyzzy": 1}, NOON)
    assert all(key in refused.value.hint for key in INPUT_KEYS)


def test_a_time_and_a_delay_exclude_each_other() -> None:
    refuses({"command": "true", "run_at": "+5m", "delay": 5}, "run_at and delay exclude each other")


def test_a_command_may_be_just_as_long_as_the_kernel_takes() -> None:
    longest = "x" * COMMAND_STRING_BYTES_MAX
    assert request(command=longest).command == longest
    assert os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", ":" + " " * (COMMAND_STRING_BYTES_MAX - 1)]) == 0
    words = ["x" * (COMMAND_BYTES_MAX // 16 - 1)] * 16
    assert request(command=words).command == tuple(words)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CONTRACT_KEYS, *INPUT_KEYS]) | st.text(), json_values, max_size=4))
def test_any_json_is_either_a_job_or_a_clear_refusal(document: dict[str, Any]) -> None:
    try:
        asked = parse_request({"command": "true", **document}, NOON)
    except Invalid:
        return
    Spec(**asked.spec)


# --- output ---------------------------------------------------------------------------------


def test_a_job_has_exactly_the_keys_of_the_contract() -> None:
    assert list(job_to_json(a_job())) == CONTRACT_KEYS


def test_input_keys_are_keys_of_the_contract_or_their_aliases() -> None:
    of_the_call = {"delay", "on_conflict", "at_most", "max_fails"}
    assert set(INPUT_KEYS) - set(CONTRACT_KEYS) == {*of_the_call, "base_backoff_seconds", "after"}


def test_a_job_is_shown_as_it_is() -> None:
    job = Job(
        id="job1", command=("echo", "a b"), spec=Spec(umask=0o22, retry_on=(75,), env={"A": "b"}), created_at=NOON,
        run_at=NOON + 1, updated_at=NOON + 2, tags=("t",), state=JobState.FAILED, worker="box-1~k3", attempts=1,
        started_at=NOON + 0.25, finished_at=NOON + 1.75, next_retry_at=NOON + 3, cpu_time=0.1234567,
    )  # fmt: skip
    shown = job_to_json(job, "retry 1/3 in 2s")
    expected = {
        "command": ["echo", "a b"],
        "state": "failed",
        "created_at": "2027-01-15T08:00:00.000000Z",
        "next_retry_at": "2027-01-15T08:00:03.000000Z",
        "duration": 1.5,
        "cpu_time": 0.123457,
        "umask": "0022",
        "retry_on": [75],
        "env": {"A": "b"},
        "tags": ["t"],
        "worker": "box-1",
        "reason": "retry 1/3 in 2s",
        "timeout": None,
    }
    assert {key: shown[key] for key in expected} == expected
    assert json.loads(json.dumps(shown)) == shown


def test_what_is_shown_of_a_new_jobs_policy_can_be_given_again() -> None:
    job = a_job(spec=Spec(umask=0o27, retry_on=(75,), env={"A": "b"}, cwd="/tmp"), tags=("t",), queue="q", priority=3)
    shown = job_to_json(job)
    asked = parse_request({key: shown[key] for key in INPUT_KEYS if key in shown}, NOON)
    assert Spec(**asked.spec) == job.spec
    columns = {"queue": job.queue, "priority": job.priority, "tags": job.tags, "held": job.held}
    assert (asked.id, asked.columns) == (job.id, {**columns, "locks": (), "depends_on": ()})


def test_an_attempt_is_shown_with_its_worker_by_name() -> None:
    attempt = Attempt(
        number=2, lease=3, worker="w~x", host=HOST, started_at=NOON, finished_at=NOON + 2, outcome=Outcome.TIMEOUT
    )
    shown = EXECUTION.json(attempt)
    assert (shown["number"], shown["worker"], shown["outcome"], shown["duration"]) == (2, "w", "timeout", 2)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_words_are_shown_as_an_equivalent_shell_line(words: list[str]) -> None:
    assert shlex.split(command_line(tuple(words))) == words


# --- specs ----------------------------------------------------------------------------------

durations = st.floats(0, times.DURATION_MAX)
texts = st.none() | st.text()
specs = st.builds(
    Spec, max_retries=st.integers(0, 10**6), backoff_base=durations, backoff_initial=durations, backoff_max=durations,
    backoff_jitter=st.floats(0, 1), retry_on=st.lists(st.integers(1, 255)).map(tuple),
    fatal_on=st.lists(st.integers(1, 255)).map(tuple), timeout=st.none() | durations, kill_grace=durations, cwd=texts,
    umask=st.none() | st.integers(0, 0o777), env=st.dictionaries(st.text(), st.text(), max_size=3), shell=st.text(),
    stdin=texts, output_path=texts, split_output=st.booleans(),
    expires=st.none() | durations, memory_max=st.none() | st.integers(1 << 20, 1 << 50),
)  # fmt: skip


@given(specs)
def test_a_spec_comes_back_from_its_text_as_it_was(spec: Spec) -> None:
    text = spec_to_text(spec)
    assert spec_from_text(text) == spec
    assert text.isascii()  # also where the environment held bytes that are no UTF-8


def test_specs_that_capture_nothing_are_written_as_by_older_releases() -> None:
    assert "captured" not in spec_to_text(Spec())
    assert spec_from_text(spec_to_text(Spec(captured=("LC_*",)))).captured == ("LC_*",)


def test_a_spec_of_another_release_is_read_with_what_both_know() -> None:
    assert spec_from_text('{"max_retries": 7, "from_the_future": [1]}') == Spec(max_retries=7)


def test_a_key_is_named_as_it_was_spelled() -> None:
    with pytest.raises(Invalid, match="--at 'tomorrow 9am' is not a time"):
        parse_request({"command": "true", "run_at": "tomorrow 9am"}, NOON, {"run_at": "--at"})
    with pytest.raises(Invalid, match="exit code 7 is in --retry-on and in fatal_on"):
        parse_request({"command": "true", "retry_on": "7", "fatal_on": "7"}, NOON, {"retry_on": "--retry-on"})


@given(st.lists(st.text("aZ9_@%+=:,./- ~*'\"$é", max_size=4), min_size=1, max_size=4))
def test_a_command_of_words_is_quoted_as_a_shell_wants_it(words: list[str]) -> None:
    assert command_line(tuple(words)) == shlex.join(words)
