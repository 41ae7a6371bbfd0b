"""The console: lines as they are typed, and who may call what."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from queuectl.cli.commands import commands
from queuectl.client import tokens
from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.web import filters, spelling
from queuectl.web.console import words_of
from queuectl.wire.requests import parse_request
from tests.web.service import Service, serving
from tests.web.test_streams import events
from tests.workshop import PATIENCE_S, Workshop, clean_environment, open_workshop, until


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("status", ["status"]),
        ("queuectl dlq  list", ["dlq", "list"]),
        ("$ queuectl status", ["status"]),
        (
            """enqueue {"id":"job1","command":"echo 'a  b' \\"c\\""} --queue x""",
            ["enqueue", """{"id":"job1","command":"echo 'a  b' \\"c\\""}""", "--queue", "x"],
        ),
        ("""--quiet enqueue {"command":["a","b c"]}""", ["--quiet", "enqueue", """{"command":["a","b c"]}"""]),
        ("""enqueue '{"command":"x"}'""", ["enqueue", """{"command":"x"}"""]),
        ("enqueue {id:job1,command:echo 'Hello World'}", ["enqueue", "{id:job1,command:echo 'Hello World'}"]),
        ("enqueue -c 'awk {print}'", ["enqueue", "-c", "awk {print}"]),
        ("enqueue -- awk {print}", ["enqueue", "--", "awk", "{print}"]),
        ("enqueue -c 'a | b > $HOME; `c`'", ["enqueue", "-c", "a | b > $HOME; `c`"]),
    ],
)
def test_a_line_becomes_words(line: str, words: list[str]) -> None:
    assert words_of(line) == words


def test_an_open_quote_is_told() -> None:
    with pytest.raises(Invalid, match="quote"):
        words_of("enqueue -c 'echo")


def test_who_may_only_read_has_these_commands() -> None:
    assert {name for name, command in commands().items() if command.reads} == {
        "status", "list", "show", "explain", "logs", "wait", "worker list", "worker logs", "dlq list", "dlq show",
        "config show", "config get", "queue list", "queue show", "lock list", "lock show", "schedule list",
        "schedule show", "schedule preview", "batch list", "batch show", "batch wait", "events", "report", "stats",
        "top", "service print", "service status", "export", "metrics",
    }  # fmt: skip


def told(answer: httpx.Response) -> tuple[str, dict[str, Any]]:
    """What a command printed, and how it ended."""
    assert answer.status_code == 200, answer.text
    events = re.findall(r"^event: (\w+)\ndata: (.*)$", answer.text, re.MULTILINE)
    printed = "".join(json.loads(data)["text"] for kind, data in events if kind == "output")
    return printed, json.loads(events[-1][1])


def typed(client: httpx.Client, line: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return told(client.post("/console/run", json={"line": line, **more}))


def test_a_command_is_run_by_the_command_line_itself(service: Service) -> None:
    printed, end = typed(service.full, """enqueue {"id":"job1","command":"echo 'a  b'","delay":"1h"}""")
    assert printed.startswith("enqueued job1\n")
    assert end["code"] == 0
    assert service.queue.job("job1").command == "echo 'a  b'"
    assert service.queue.job("job1").owner == "token:test-full"


def test_a_question_comes_before_the_act(service: Service) -> None:
    service.enqueue(id="job1", delay="1h")
    assert typed(service.full, "cancel --all")[1] == {"text": "cancel 1 job? [y/N] "}
    assert not service.queue.job("job1").finished
    assert typed(service.full, "cancel --all", answer="n")[1]["code"] == 1
    assert typed(service.full, "cancel --all", answer="y")[1]["code"] == 0
    assert service.queue.job("job1").finished


WRITING = (
    "enqueue -- true", "delete --all --yes", "token create x --role full", "worker start", "doctor",
    "config set timeout 1",
)  # fmt: skip


@pytest.mark.parametrize("line", WRITING)
def test_who_may_only_read_calls_no_other_command(service: Service, line: str) -> None:
    assert service.read_only.post("/console/run", json={"line": line}).status_code == 403
    printed, end = told(service.read_only.get("/console/run", params={"line": line}))
    assert "is read-only" in printed
    assert end["code"] == 1


def test_who_may_only_read_sees_no_value_of_a_variable(service: Service) -> None:
    service.enqueue(id="job1", env={"KEY": "hunter2"}, delay="1h")
    for line in ("show job1", "show job1 --json", "list --json", "dlq list --json"):
        assert "hunter2" not in told(service.read_only.get("/console/run", params={"line": line}))[0]


def test_nothing_is_changed_by_a_get(service: Service) -> None:
    printed, end = told(service.full.get("/console/run", params={"line": "enqueue --id job1 -- true"}))
    assert "changes something" in printed
    assert end["code"] == 1
    assert service.queue.count(filters.of_query("").selector(0.0)) == 0


@pytest.mark.parametrize("line", ["serve", "demo", "reset --yes", "status --db /tmp/other.db", "copy --to x"])
def test_what_needs_a_terminal_is_refused_in_words(service: Service, line: str) -> None:
    printed, end = typed(service.full, line)
    assert printed.startswith("queuectl: ")
    assert end["code"] != 0


def test_what_is_too_long_is_cut(service: Service) -> None:
    jobs = [{"command": "x" * 60_000, "delay": "1h"} for _ in range(60)]
    assert service.full.post("/api/v1/jobs", json=jobs).status_code == 201
    printed, end = typed(service.full, "list --json")
    assert end["cut"]
    assert len(printed) <= 2 << 20


# --- what lasts -----------------------------------------------------------------------------


@pytest.fixture
def shop(service: Service) -> Iterator[Workshop]:
    """Workers on the server's store."""
    with open_workshop(Path(service.db).parent) as shop:
        yield shop


def lines_that_run() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "queuectl-console"]


class Typing:
    """A line that runs: the events as they come, read in a thread."""

    def __init__(self, service: Service, line: str) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._service = service
        self._client = service.client(service.tokens["full"])
        self._thread = threading.Thread(target=self._read, args=[line])
        self._thread.start()
        until(lambda: bool(self.seen), f"{line!r} begins")

    def _read(self, line: str) -> None:
        with self._client.stream("POST", "/console/run", json={"line": line}) as answer:
            for event in events(answer):
                self.seen.append(event)

    @property
    def printed(self) -> str:
        return "".join(data["text"] for kind, data in list(self.seen) if kind == "output")

    def stop(self, client: httpx.Client | None = None) -> None:
        kind, begun = self.seen[0]
        assert kind == "begin"
        assert (client or self._service.full).post("/console/stop", json=begun).status_code == 204

    def end(self) -> dict[str, Any]:
        """How it ended, once it has."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the line does not end"
        self._client.close()
        assert self.seen[-1][0] == "end"
        return self.seen[-1][1]


def test_a_command_runs_in_the_console_to_its_own_exit_code(service: Service, shop: Workshop) -> None:
    shop.worker()
    printed, end = typed(service.full, "run -- sh -c 'echo out; echo err >&2; exit 3'")
    assert printed == "out\nerr\n"
    assert end["code"] == 3


def test_stop_in_the_console_is_ctrl_c(service: Service, shop: Workshop) -> None:
    shop.worker()
    running = Typing(service, "run --id a -- sh -c 'echo begun; sleep 60'")
    until(lambda: running.printed == "begun\n", "the command runs")
    running.stop()
    assert running.end()["code"] == 130
    assert running.printed == "begun\ncancelling a…\ncancelled a\n"
    assert service.queue.job("a").state is JobState.CANCELLED


def test_following_and_waiting_end_with_the_job_or_at_stop(service: Service, shop: Workshop) -> None:
    service.enqueue("echo first; sleep 1; echo last", id="a", delay="1s")
    following, waiting, unknown = (Typing(service, line) for line in ("logs -f a", "wait a", "wait never"))
    assert unknown.end()["code"] == 125
    service.enqueue(id="b", held=True)
    stopped = Typing(service, "wait b")
    stopped.stop()
    assert stopped.end()["code"] == 130
    assert not service.queue.job("b").finished
    shop.worker()
    assert waiting.end()["code"] == following.end()["code"] == 0
    assert waiting.printed.endswith("a completed\n")
    assert following.printed.endswith("first\nlast\n")


def test_nobody_else_can_stop_a_command(service: Service) -> None:
    service.enqueue(id="a", held=True)
    waiting = Typing(service, "wait a --timeout 2s")
    with service.client(tokens.create(service.queue.store, "tests", "other", "full")[1]) as other:
        waiting.stop(other)
    assert waiting.end()["code"] == 124


def test_a_reader_who_goes_leaves_the_job_running(service: Service, shop: Workshop) -> None:
    gate = Path(service.db).with_name("gate")
    line = f"run --id a -c 'echo x; until [ -e {gate} ]; do sleep 0.05; done'"
    shop.worker()
    with service.full.stream("POST", "/console/run", json={"line": line}) as answer:
        assert next(data["text"] for kind, data in events(answer) if kind == "output") == "x\n"
    until(lambda: not lines_that_run(), "the command has been left")
    gate.touch()
    until(lambda: service.queue.job("a").finished, "the job ends")
    assert service.queue.job("a").state is JobState.COMPLETED


def test_a_line_is_watched_for_so_long(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db", listen_s_max=0.5) as service:
        service.enqueue(id="a", held=True)
        assert Typing(service, "wait a").end() == {"code": 0, "left": True}


# --- addresses and copies -------------------------------------------------------------------


def test_a_filter_stands_in_the_address_and_is_read_back() -> None:
    query = "state=dead&state=failed&queue=a%2Bb&command=x+y&exit_code=2"
    wanted = filters.of_query(query + "&unknown=1&tag=&before=7")
    assert wanted.query() == query
    assert filters.of_query(wanted.toggled("state", "dead")).given["state"] == ("failed",)
    assert wanted.words()["command"] == ["*x y*"]
    assert filters.of_query("command=ffmpeg+*").words()["command"] == ["ffmpeg *"]
    assert filters.of_query("command=a%5Bb").words()["command"] == ["*a[[]b*"]


@pytest.mark.parametrize(
    "given",
    [
        {"command": "echo 'it'\"'\"'s' | tr a-z A-Z > \"$HOME\"; ! false"},
        {"command": ["printf", "%s\n", "a b", "$HOME", "it's", "", "-x", "ä\n"]},
        {"command": "true", "queue": "video", "priority": -5, "tags": ["a", "b"], "held": True, "timeout": "90s"},
        {"command": "true", "max_retries": 0, "retry_on": [1, 2], "backoff_initial": "1h", "split_output": True},
        {"command": "true", "env": {"KEY": "a b'c"}, "cwd": "/tmp", "kill_grace": 0.5, "output_path": "/tmp/a b"},
        {"command": "true", "delay": "1h", "expires": "10m"},
        {"command": "true", "start_by": "2037-01-01T00:00:00Z"},
        {"command": "true", "batch": "b", "at_most": 2, "locks": ["own"]},
    ],
)
def test_the_copied_command_line_enqueues_the_same_job(service: Service, given: dict[str, Any]) -> None:
    (job,) = service.queue.enqueue([parse_request(given, 0.0)])
    line = spelling.command_line(job, service.queue.settings())
    assert "a b'c" not in line
    bin_folder = Path(sys.executable).parent
    environment = clean_environment(QUEUECTL_DB=service.db, KEY="a b'c", PATH=f"{bin_folder}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=True)
    copy = service.queue.job(done.stdout.split()[1])
    assert shlex.split(line)[:2] == ["queuectl", "enqueue"]
    assert (copy.command, copy.queue, copy.priority, copy.tags, copy.held, copy.locks) == (
        job.command, job.queue, job.priority, job.tags, job.held, job.locks,
    )  # fmt: skip
    assert copy.spec.expires is not None or copy.start_by == job.start_by
    assert (copy.start_by is None) == (job.start_by is None)
    assert copy.spec._replace(env={}) == job.spec._replace(env={})
    assert copy.spec.env.get("KEY") == job.spec.env.get("KEY")
