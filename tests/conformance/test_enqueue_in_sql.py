"""The SQL function `enqueue` does with any input what the client does: it keeps the same row, or refuses it alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from queuectl import __version__
from queuectl.client.facade import Client
from queuectl.domain.errors import KEPT_KEY_HINT, KEY_HINT, Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.settings import Settings
from queuectl.store.postgres import function
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.wire.jobs import job_to_json
from queuectl.wire.requests import INPUT_KEYS, parse_request
from tests.builders import HOST, a_grip, finish
from tests.server import drop_schema, new_schema
from tests.unit.test_wire import BAD_INPUT, BAD_VALUES

SAME_PLACE = {"cwd": "/work", "umask": "0027"}
"""What the client would take from where it is, and the server cannot."""

DIFFERENT = {"seq", "id", "created_at", "updated_at", "run_at", "due_at", "start_by", "unique_until"}
"""Columns in which two jobs of the same input differ, or whose difference from `created_at` counts."""

ZONE = "Asia/Kolkata"


class Both:
    """One store, with the two ways to enqueue into it."""

    def __init__(self, url: str, below: Path) -> None:
        address = parse_address(url)
        self.db = psycopg.connect(address.server, autocommit=True, row_factory=dict_row)
        self.client = Client(PostgresStore(url, below), who=self.db.info.user)
        self.schema = address.schema
        self.db.execute(f"SET TimeZone = '{ZONE}'".encode())

    def close(self) -> None:
        self.client.close()
        self.db.close()

    def by_client(self, document: object) -> dict[str, Any] | QueuectlError:
        try:
            (job,) = self.client.enqueue([parse_request(document, self.client.store.now())])
        except QueuectlError as error:
            return error
        return self.row(job.id)

    def by_sql(self, document: object) -> dict[str, Any] | QueuectlError:
        call = f"SELECT {self.schema}.enqueue(%s) AS id"
        try:
            found = self.db.execute(call.encode(), [json.dumps(document)]).fetchone()
        except psycopg.errors.InvalidParameterValue as error:
            return Invalid(error.diag.message_primary or "", error.diag.message_hint or "")
        except psycopg.errors.UniqueViolation as error:
            return Conflict(error.diag.message_primary or "", error.diag.message_hint or "")
        except psycopg.errors.NoDataFound as error:
            return NotFound(error.diag.message_primary or "", error.diag.message_hint or "")
        assert found is not None
        return self.row(found["id"])

    def row(self, job_id: str) -> dict[str, Any]:
        parts = "run_at - created_at AS later, due_at - run_at AS late, start_by - due_at AS patience, "
        parts += "unique_until - created_at AS held_for"
        text = f"SELECT *, {parts} FROM {self.schema}.jobs WHERE id = %s"
        found = self.db.execute(text.encode(), [job_id]).fetchone()
        assert found is not None
        return found

    def free_keys(self) -> None:
        """Has all jobs forget their unique keys."""
        self.db.execute(f"UPDATE {self.schema}.jobs SET unique_key = NULL WHERE unique_key IS NOT NULL".encode())
        self.db.execute(f"DELETE FROM {self.schema}.unique_keys".encode())

    def assert_same(self, document: object) -> dict[str, Any]:
        """The row that both keep of a document, which says when to run by a delay if at all."""
        self.free_keys()
        one = self.by_client(document)
        assert isinstance(one, dict), one
        self.free_keys()
        other = self.by_sql(document)
        assert isinstance(other, dict), other
        for name in ("later", "patience", "held_for"):
            assert other.pop(name) == pytest.approx(one.pop(name), abs=1e-5)
        assert {key: one[key] for key in one.keys() - DIFFERENT} == {key: other[key] for key in one.keys() - DIFFERENT}
        return other


@pytest.fixture(scope="module")
def both(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    url = new_schema(postgres_server)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRACEPARENT", raising=False)
        patch.setenv("TZ", ZONE)
        time.tzset()
        both = Both(url, tmp_path_factory.mktemp("stores"))
        for name in ("a", "b"):
            both.client.set_lock(name, 4)
        both.client.set_lock("named", units=["x", "y"])
        for id in ("one", "two", "any", "x", "x:any", "batch"):
            both.client.enqueue([parse_request({"command": "true", "id": id}, 0.0)])
        both.client.set_queue("kept", max_retries=9, timeout="90s", backoff_base=4)
        yield both
        both.close()
    time.tzset()
    drop_schema(url)


EXAMPLES: dict[str, list[Any]] = {
    "id": ["a.b:c_d-e"],
    "command": ["echo 'a' \\ \"é\" 😀\n", ["echo", "", "a  b", "$HOME", "it's", "é😀\x7f\t", "a-b/c:d,e.f%g+h=i@j_k"]],
    "script": ["#!/bin/sh\necho 'é' \\ \"$1\"\n", "exit 3", "\ttrue\r\n"],
    "queue": ["video/hd@a+b"],
    "priority": [-5, "7", "+8", 1_000_000],
    "run_at": [],  # see below
    "delay": ["10m", 0, 1.5, "1h30m", "2D", " 250ms ", "0.5h", "90", "1m5s", "\u20036\u00a0"],
    "depends_on": ["one", ["one:any", "one", "two:ok", "one"], [], ["any:ok", "x:any:ok", "x:any", "batch", "any"]],
    "on_success": ["echo done", "curl http:// x", "HTTPS://Example.ORG", "http://a:b@[::1]:8080?x#y@z"],
    "on_failure": ["https://example.org/x?y=é", None],
    "on_dead": ["none", "a 'b'"],
    "secrets": ["API_TOKEN", ["_b", "a1", "_b"]],
    "locks": ["gpu", ["b", "a=2", "b=3"], ["x=1"], []],
    "expires": ["10m", 1.5],
    "start_by": [],
    "after": [],  # as depends_on
    "batch": ["b/1"],
    "at_most": [],  # see below
    "max_fails": [],
    "unique_key": ["k", "a b: é 'x'", "é" * 256],
    "unique_for": [],  # see below
    "on_conflict": ["ignore", "error"],
    "tags": ["one", ["a", "b", "a"], []],
    "held": [True, False, "TRUE", "false"],
    "max_retries": [0, 1_000_000, "12"],
    "backoff_base": [1, 1.5, "2.25", 1000, 1e-5 + 1],
    "backoff_initial": [0, 5, "1h", 0.00001, 123456.789],
    "backoff_max": ["3d", 100 * 365 * 86400],
    "backoff_jitter": [0, 1, 0.1, "0.25"],
    "retry_on": [[75, 111], 5, "1, 2,3", [], ["7"]],
    "fatal_on": ["2", [255]],
    "timeout": ["none", "90s", 0.5, 1],
    "kill_grace": [0, "1m"],
    "cwd": ["/", "//a", "///a/", "/a/../../b/./c//d/..", "/é 'x'"],
    "umask": ["0", "22", "0o077", "0777", "o7"],
    "env": [{}, {"B": "", "A": "=x\n\x7f", "é": "😀\u2028", "AA": '"\\'}],
    "shell": ["/bin/bash"],
    "stdin": ["/in/../put"],
    "output_path": ["/out.txt"],
    "split_output": [True, "false"],
    "memory_max": ["4g", "512M", " 2GiB ", 5_000_000, "1048576", "1tb"],
    "nice": [-20, "19", 0],
    "user": ["nobody"],
    "base_backoff_seconds": [7, "8s"],
}


def test_every_key_of_the_input_is_tried() -> None:
    assert EXAMPLES.keys() == set(INPUT_KEYS)


@pytest.mark.parametrize("key", EXAMPLES)
def test_what_the_client_accepts_gives_the_same_row(both: Both, key: str) -> None:
    for value in EXAMPLES[key]:
        document = {"command": ["true"] if key == "script" else "true", **SAME_PLACE, key: value}
        if key == "id":
            assert both.by_client({**document, "id": "theirs"})["generated_id"] is False  # type: ignore[index]
            assert both.by_sql(document)["generated_id"] is False  # type: ignore[index]
        else:
            both.assert_same(document)


def test_all_keys_at_once_and_other_spellings_give_the_same_row(both: Both) -> None:
    values = {key: values[-1] for key, values in EXAMPLES.items() if values and key not in ("id", "backoff_initial")}
    both.assert_same(values)
    both.assert_same({key.replace("_", "-"): value for key, value in values.items()})
    both.assert_same({"command": "true", **SAME_PLACE, **dict.fromkeys(INPUT_KEYS[2:17])})


def test_what_a_job_is_shown_as_can_be_enqueued_again(both: Both) -> None:
    (job,) = both.client.enqueue([parse_request({"command": ["a", "b"], "held": True}, 0)])
    shown = job_to_json(job)
    for key in ("id", "owner", "lease", "lost"):
        shown.pop(key)
    again = both.by_sql(shown)
    assert isinstance(again, dict)
    assert (again["words"], again["held"]) == ('["a", "b"]', True)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T18:00:00Z", "2026-11-21T18:00:00.5+02:00", "2026-11-21 18:00", "2026-11-21", "20261121T180000Z",
        "2026-11-21T18-0330", "2026-11-21 18:00:00,1234567", "1969-12-31T23:59:59.25Z", "9999-12-31T23:59:59Z",
        "0001-01-02 00:00", "2028-02-29", " 2026-11-21x18:00 ", "2026-11-21T18:00:00z", "2026-11-21t18:00:00.5z",
        "20261121t180000z",
    ],
)  # fmt: skip
def test_times_are_the_same(both: Both, text: str) -> None:
    one, other = (by({"command": "true", "run_at": text}) for by in (both.by_client, both.by_sql))
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert other["run_at"] == one["run_at"]
    assert other["ready"] == one["ready"]


def test_a_time_of_day_is_the_next_one(both: Both) -> None:
    for text in ("0:00", "13:31", "23:59:59"):
        one, other = (by({"command": "true", "run_at": text}) for by in (both.by_client, both.by_sql))
        assert other["run_at"] == one["run_at"]  # type: ignore[index]
    one, other = (by({"command": "true", "run_at": "+10m"}) for by in (both.by_client, both.by_sql))
    assert other["later"] == pytest.approx(one["later"], abs=1)  # type: ignore[index]


def test_the_defaults_of_a_queue_count_for_both(both: Both) -> None:
    for keys in ({}, {"max_retries": 1}, {"backoff_base": 3}, {"backoff_initial": 1}, {"queue": "other"}):
        both.assert_same({"command": "true", "queue": "kept", **SAME_PLACE, **keys})
    for locks in (["named=2"], ["a=4", "unset"]):
        both.assert_same({"command": "true", "locks": locks, **SAME_PLACE})


def is_json_for_postgres(document: object) -> bool:
    text = json.dumps(document)
    return not any(sign in text for sign in ("\\u0000", "\\ud", "NaN", "Infinity"))


BAD_DELAYS: list[object] = [
    "", " ", "-1", -1, "5 s", "1w", "s", "1h30", "1e3", True, [], {}, "9" * 400, "101000d", "5\u017f", "\u0663s",
]  # fmt: skip

WRONG_ALLOWANCES: list[object] = ["", "x", "101%", -1, 1.5, True, []]

REFUSED = [
    {"command": "train.sh", "script": "true"}, {"command": ["x"], "script": ""}, {"command": ["x"], "script": 5},
    {"command": ["x"], "script": "#!/bin/sh\r\ntrue"}, {"command": ["x"], "script": "é" * 524289},
    *(document for document, _ in BAD_INPUT),
    *({"command": "true", key: value} for key, value, _ in BAD_VALUES),
    *({"command": "true", "run_at": text} for text in (
        "", "soon", "25:00", "18:60", "2026-13-01", "2026-02-29", "+", "+soon", "+-5", "18:00 pm", "0000-01-01",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-2118:00", "2026-1121", "2026-11-21T24:00Z",
        "2026-11-21T18:00:60Z", "2026-11-21T18:00+24:00", "2030-01-01T24:00", "2030-01-01 24:00:00", "20300101T2400Z",
        "24:00", "2026-W47-6", "2026-W47", "2026-11-21Z", "2026-11-21T18:00:00ZZ")),
    *({"command": "true", "delay": value} for value in BAD_DELAYS),
    {"command": "true", "max_retries": 1, "max-retries": 2},
    {"command": "true", "run_at": "+1m", "delay": 1},
    {"command": "\u2003\x1f"},
    {"command": "true", "locks": ["a=2", "b=5"]},
    {"command": "true", "locks": ["named=3"], "id": "greedy"},
    {"command": "true", "locks": "unset=2"},
    {"command": "true", "unique_key": "é" * 257},
    {"command": "true", "unique_for": 1},
    {"command": "true", "unique_key": "k", "unique_for": 0},
    {"command": "true", "on_conflict": "replace"},
    {"command": "true", "unique_key": "k", "on_conflict": "Error"},
    {"command": "true", "at_most": 2},
    {"command": "true", "max_fails": "3%"},
    *({"command": "true", "batch": "x", "max_fails": wrong} for wrong in WRONG_ALLOWANCES),
    *({"command": "true", "batch": "x", "at_most": wrong} for wrong in (0, 1001, "x", 1.5)),
]  # fmt: skip


@pytest.mark.parametrize("document", [*filter(is_json_for_postgres, REFUSED)], ids=lambda document: repr(document)[:80])
def test_what_the_client_refuses_is_refused_in_the_same_words(both: Both, document: object) -> None:
    one, other = both.by_client(document), both.by_sql(document)
    assert isinstance(one, Invalid)
    assert isinstance(other, Invalid)
    assert (other.message, other.hint) == (one.message, one.hint)


@pytest.mark.parametrize("text", ['{"command": "\\u0000"}', '{"command": "\\ud800"}', '{"command": NaN}', "{"])
def test_what_is_no_json_for_the_server_is_refused_by_it(both: Both, text: str) -> None:
    with pytest.raises(psycopg.errors.DataError):
        both.db.execute(f"SELECT {both.schema}.enqueue(%s)".encode(), [text])


def test_an_unknown_key_is_answered_with_the_nearest(both: Both) -> None:
    typos = [
        "comand", "max_retry", "retries", "prio", "x", "cmd", "MaxRetries", "idd", "quene", "ruunat", "split", "back",
        "backoff-intial", "jitter", "on", "env_", "é", "timeuot", "kill", "base_backoff", "-tags", "out",
        "working-directory",
    ]  # fmt: skip
    for typo in typos:
        one, other = (by({"command": "true", typo: 1}) for by in (both.by_client, both.by_sql))
        assert isinstance(one, Invalid)
        assert isinstance(other, Invalid)
        assert (other.message, other.hint) == (one.message, one.hint)


@pytest.mark.parametrize(
    ("installed", "is_due"),
    [(None, True), ("0.0.9 older", True), ("9.0.0 newer", False), (f"{__version__} other", True)],
)
def test_the_function_of_a_newer_release_stays(installed: str | None, is_due: bool) -> None:
    assert function.is_due(installed) is is_due


def test_the_function_is_replaced_once(both: Both) -> None:
    found = both.db.execute(f"SELECT value FROM {both.schema}.meta WHERE name = 'enqueue'".encode()).fetchall()
    assert [row["value"] for row in found] == [function.stamp()]
    assert not function.is_due(function.stamp())


def test_a_path_without_a_folder_must_be_absolute(both: Both) -> None:
    for key in ("cwd", "stdin", "output_path"):
        refused = both.by_sql({"command": "true", key: "~/x"})
        assert isinstance(refused, Invalid)
        assert refused.message == f'{key} must begin with a slash, not "~/x"'
        assert all(isinstance(by({"command": "true", key: "-"}), Invalid) for by in (both.by_client, both.by_sql))


def test_an_id_that_is_taken_is_a_conflict_in_the_same_words(both: Both) -> None:
    both.by_sql({"command": "true", "id": "taken"})
    one, other = (by({"command": "true", "id": "taken"}) for by in (both.by_client, both.by_sql))
    assert isinstance(one, Conflict)
    assert isinstance(other, Conflict)
    assert (other.message, other.hint) == (one.message, one.hint)


def test_a_queues_hook_is_lifted_alike(both: Both) -> None:
    both.client.set_queue("hooked", on_success="./told", on_dead="./page")
    document = {"command": "true", "queue": "hooked", **SAME_PLACE}
    for hooks in ({}, {"on_success": None}, {"on_success": "none", "on_dead": "./other"}):
        both.assert_same({**document, **hooks})
    (job,) = both.client.enqueue([parse_request({**document, "on_success": None}, 0.0)], connection=both.db)
    assert (job.spec.on_success, both.client.store.get(job.id).spec[-3:]) == (None, (None, None, "./page"))
    for value in ("x", "none", None):
        twice = {**document, "on_success": value, "on-success": "./x"}
        refused, also = both.by_client(twice), both.by_sql(twice)
        assert isinstance(refused, Invalid)
        assert isinstance(also, Invalid)
        assert str(refused) == str(also)


def test_what_is_set_for_a_batch_is_the_same(both: Both) -> None:
    settings: list[dict[str, Any]] = [
        {"at_most": 3, "max_fails": " 07 "}, {"max_fails": "5%"}, {"at_most": "2"}, {}
    ]  # fmt: skip
    for number, keys in enumerate(settings):
        one, other = ({"command": "true", "batch": f"set-{by}-{number % 2}", **keys} for by in ("client", "sql"))
        assert both.by_client(one)["locks"] == (  # type: ignore[index]
            f'["batch:set-client-{number % 2}"]' if number % 2 == 0 else None
        )
        assert both.by_sql(other)["locks"] == (  # type: ignore[index]
            f'["batch:set-sql-{number % 2}"]' if number % 2 == 0 else None
        )
    found = {batch.name: (batch.at_most, batch.max_fails) for batch in both.client.batches()}
    assert found["set-client-0"] == found["set-sql-0"] == (2, "7")
    assert found["set-client-1"] == found["set-sql-1"] == (None, "5%")
    assert [both.client.lock(f"batch:set-{by}-0").capacity for by in ("client", "sql")] == [2, 2]
    both.client.store.settle()
    for by in ("client", "sql"):  # a limit is also that of the jobs that were there before
        (before,) = both.client.find(Selector(batches=(f"set-{by}-1",)), limit=1)
        send = both.by_client if by == "client" else both.by_sql
        send({"command": "true", "batch": f"set-{by}-1", "at_most": 1})
        both.client.store.settle()
        assert both.client.job(before.id).locks == (f"batch:set-{by}-1",)
    after: dict[str, Any] = {"command": "true", "depends_on": "batch:set-sql-1:any", **SAME_PLACE}
    assert both.assert_same(after)["state"] == "blocked"
    far = {"batch": "set-sql-1", "id": "w", "depends_on": both.assert_same({**after, "batch": "far"})["id"]}
    for wrong in ({**after, "batch": "set-sql-1", "id": "w"}, {**after, "depends_on": ["batch:nix"]}, {**after, **far}):
        one_told, other_told = both.by_client(wrong), both.by_sql(wrong)
        assert isinstance(one_told, QueuectlError)
        assert isinstance(other_told, QueuectlError)
        assert (one_told.message, one_told.hint) == (other_told.message, other_told.hint)


@pytest.mark.parametrize("by", ["by_client", "by_sql"])
def test_a_job_that_is_new_in_a_batch_or_leaves_one_decides_about_those_that_wait(both: Both, by: str) -> None:
    def waiting(id: str, *refs: str, **keys: Any) -> None:
        both.by_client({"command": "true", "id": f"{id}-{by}", "depends_on": list(refs), **keys})

    left, joined = f"left-{by}", f"joined-{by}"
    only = {"command": "true", "unique_key": by, **SAME_PLACE}
    both.by_client({**only, "id": f"only-{by}", "batch": left, "at_most": 2})
    both.by_client({"command": "true", "id": f"done-{by}", "batch": joined, "queue": by})
    waiting("left", f"batch:{left}")
    waiting("joined", f"batch:{joined}", "one")
    grip = a_grip(both.client.store, by)
    (done,) = both.client.store.claim(grip, HOST, 1, [by])
    finish(both.client.store, grip, done)
    both.client.store.settle()
    assert both.client.store.parents(both.client.job(f"joined-{by}"), undecided=True)[0].job == "one"
    getattr(both, by)({**only, "batch": joined, "on_conflict": "replace"})
    both.client.store.settle()
    assert both.client.job(f"left-{by}").state is JobState.PENDING
    assert both.client.store.parents(both.client.job(f"joined-{by}"), undecided=True)[0].batch == joined
    assert left not in {batch.name for batch in both.client.batches()}
    both.client.cancel([f"only-{by}"])
    both.client.store.settle()
    assert both.client.job(f"joined-{by}").error == f"batch {joined} has failed"
    getattr(both, by)({"command": "true", "batch": joined})
    both.client.store.settle()
    assert both.client.job(f"joined-{by}").state is JobState.BLOCKED


@pytest.mark.parametrize("by", ["by_client", "by_sql"])
@pytest.mark.parametrize("rule", ["ignore", "error", "replace"])
def test_a_job_that_has_expired_has_its_key_no_more_for_either(both: Both, by: str, rule: str) -> None:
    keys = {"command": "true", "unique_key": f"{by}-{rule}", **SAME_PLACE}
    both.by_client({**keys, "id": f"late-{by}-{rule}", "start_by": "2020-01-01T00:00:00Z"})
    new = getattr(both, by)({**keys, "id": f"new-{by}-{rule}", "on_conflict": rule})
    assert new["id"] == f"new-{by}-{rule}"
    left_out = both.by_sql({**keys, "start_by": "2020-01-01T00:00:00Z", "on_conflict": "ignore"})
    assert not isinstance(left_out, QueuectlError)
    assert left_out["id"] == new["id"]


def test_a_taken_key_means_the_same_to_both(both: Both) -> None:
    def enqueued(by: Any, **keys: Any) -> Any:
        found = by({"command": "true", "unique_key": "shared", **SAME_PLACE, **keys})
        return (found.message, found.hint) if isinstance(found, QueuectlError) else found["id"]

    ways = both.by_client, both.by_sql
    first = enqueued(both.by_sql, id="first", unique_for="1h", delay=60)
    assert [enqueued(by) for by in ways] == [first, first]
    one, other = (enqueued(by, on_conflict="error") for by in ways)
    assert one == other == ("unique key 'shared' is taken by job first (pending)", KEY_HINT)
    changed = {"on_conflict": "replace", "queue": "changed", "command": ["echo", "é"], "priority": 3, "timeout": 9}
    rows = []
    for by in (*ways, *ways):  # each from what the other has left
        assert enqueued(by, **changed, delay=30, held=True, tags=["a"], unique_for="2h") == first
        rows.append({key: value for key, value in both.row(first).items() if key not in DIFFERENT | {"later"}})
    assert rows[2] == rows[3]
    assert both.client.counts()["changed", JobState.PENDING] == 1
    both.by_client({"command": "true", "id": "member", "batch": "b"})
    both.by_client({"command": "true", "id": "own", "unique_key": "own", "depends_on": ["batch:b"]})
    one, other = (enqueued(by, unique_key="own", batch="b", on_conflict="replace") for by in ways)
    assert one == other == ("job own cannot wait for its own batch b", "leave one of the two out")
    both.client.cancel([first])
    one, other = (enqueued(by, on_conflict="error") for by in ways)
    assert one == other == ("unique key 'shared' is taken by job first (cancelled)", KEPT_KEY_HINT)
    assert [enqueued(by, on_conflict="replace") for by in ways] == [first, first]  # it holds the key for two hours
    both.client.delete([first])
    assert enqueued(both.by_sql, id="next") == "next"


SETTINGS = {
    "max-retries": ("7", "5"), "backoff-base": ("3", "2"), "backoff-initial": ("9s", "backoff-base"),
    "backoff-max": ("2h", "1h"), "backoff-jitter": ("0.5", "0"), "timeout": ("1h30m", "none"),
    "kill-grace": ("3s", "10s"), "shell": ("/bin/bash", "/bin/sh"),
}  # fmt: skip


def test_the_settings_are_the_policy_of_both(both: Both) -> None:
    assert {name.replace("-", "_") for name in SETTINGS} == Settings({}).spec_defaults().keys()
    plain = {"command": "true", **SAME_PLACE}
    try:
        for at in (0, 1):
            for name, values in SETTINGS.items():
                both.client.set_setting(name, values[at])
                both.assert_same(plain)
                both.assert_same({**plain, "backoff_base": 4})
                both.assert_same({**plain, "timeout": "none"})
    finally:
        for name in SETTINGS:
            both.client.unset_setting(name)


def test_a_time_in_the_past_is_due_since_now(both: Both) -> None:
    for by in (both.by_client, both.by_sql):
        row = by({"command": "true", "run_at": "2020-01-01T00:00:00Z"})
        assert isinstance(row, dict)
        assert row["run_at"] < row["created_at"] == row["due_at"]


def test_what_the_counts_say_is_true(both: Both) -> None:
    both.by_sql({"command": "true", "queue": "counted"})
    both.by_sql({"command": "true", "queue": "counted", "held": True})
    assert both.client.status().queues["counted"]["pending"] == 2  # type: ignore[index]


# --- any input ------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-10, 2_000_000) | st.floats(-1, 2000).filter(lambda number: not number.is_integer())
DURATIONS = st.from_regex(r"\s?([0-9]{1,4}(\.[0-9]{1,3})?(d|h|ms|m|s|S|w)?){1,3}\s?", fullmatch=True)
DIGITS = st.from_regex(r"[+-]?[0-9]{1,4}(,[0-9]{1,3})?", fullmatch=True)
VALUES = (
    st.none() | st.booleans() | NUMBERS | TEXTS | DURATIONS | DIGITS
    | st.lists(TEXTS | st.integers(-1, 300), max_size=3) | st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=3)
)  # fmt: skip
PATHS = st.text("/.a", max_size=10).map("/".__add__)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Jobs as people might write them: mostly right, each value possibly anything."""
    tried = sorted(
        EXAMPLES.keys() - {"run_at", "start_by", "id", "unique_for", "depends_on", "after", "at_most", "max_fails"}
    )
    keys = draw(st.lists(st.sampled_from(tried), unique=True, max_size=6))
    document: dict[str, Any] = {"command": draw(TEXTS | st.lists(TEXTS, max_size=3)), **SAME_PLACE}
    for key in keys:
        right = st.sampled_from(EXAMPLES[key])
        document[key] = draw(PATHS if key in ("cwd", "stdin", "output_path") else right | right | VALUES)
    if document["umask"] is None:  # then each takes its own
        document["umask"] = SAME_PLACE["umask"]
    return document


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents())
def test_any_input_gives_the_same_row_or_is_refused_by_both(both: Both, document: dict[str, Any]) -> None:
    both.free_keys()
    one = both.by_client(document)
    if isinstance(one, QueuectlError):
        refused = both.by_sql(document)
        assert isinstance(refused, QueuectlError)
        assert refused.code == one.code
    else:
        both.assert_same(document)
