"""`queuectl mcp`, with raw messages and with the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.client import copying
from queuectl.client.facade import Client
from queuectl.engine.supervise.memory import resident
from queuectl.mcp import protocol
from queuectl.places import open_store
from queuectl.wire.requests import parse_request
from tests.mcp import session
from tests.workshop import PATIENCE_S, Worker, clean_environment, until

LIST_MAX = 12_000
IDLE_MAX = 60 << 20


class Talk:
    """A server and its pipes."""

    def __init__(self, db: Path | None, *options: str) -> None:
        store = [] if db is None else ["--db", str(db)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "queuectl", *store, "mcp", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(),
        )  # fmt: skip
        self.db, self._ids = db, 0

    def write(self, message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert len(line) < session.ANSWER_MAX or b'"tools":[' in line
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._ids += 1
        self.write({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        answer = self.read()
        assert answer["id"] == self._ids
        return answer

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("tools/call", name=tool, arguments=arguments)["result"]
        if not found["isError"]:
            assert json.loads(found["content"][0]["text"]) == found["structuredContent"]
        return found

    def close(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        assert rest == b""
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def talk(db: Path) -> Iterator[Talk]:
    talk = Talk(db)
    yield talk
    if talk.process.poll() is None:
        talk.close()


def test_a_handshake_agrees_on_a_version(talk: Talk) -> None:
    for asked, agreed in (("2025-11-25", "2025-11-25"), ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")):
        result = talk.ask("initialize", protocolVersion=asked, capabilities={}, clientInfo={})["result"]
        assert result["protocolVersion"] == agreed
        assert "resultType" not in result
    assert talk.ask("ping")["result"] == {}
    assert talk.close() == 0


def test_a_client_without_a_handshake_is_served(talk: Talk) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    found = talk.ask("server/discover", _meta=meta)["result"]
    assert found["resultType"] == "complete"
    assert "2026-07-28" in found["supportedVersions"]
    assert {"ttlMs", "cacheScope"} <= talk.ask("tools/list", _meta=meta)["result"].keys()
    later = {**meta, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    refused = talk.ask("tools/list", _meta=later)["error"]
    assert refused["code"] == -32022
    assert "2026-07-28" in refused["data"]["supported"]


def test_what_is_no_request_is_refused_at_once(talk: Talk) -> None:
    malformed = {b"nonsense": -32700, b"[]": -32600, b'{"jsonrpc":"2.0","id":1.5,"method":"x"}': -32600}
    for line, code in malformed.items():
        talk.write(line + b"\n")
        assert talk.read()["error"]["code"] == code
    talk.write({"jsonrpc": "2.0", "id": "text", "method": "resources/list"})
    refused = {"code": -32601, "message": "unknown method resources/list"}
    assert talk.read() == {"jsonrpc": "2.0", "id": "text", "error": refused}
    for method in ("unknown", "cancelled"):
        talk.write({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": {"requestId": [1]}})
    assert talk.ask("tools/call", name=3)["error"]["code"] == -32602


def test_a_refusal_names_its_request_where_that_can_be_told(talk: Talk) -> None:
    for malformed in ({"method": "ping"}, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "method": "ping", "params": [1]}):
        talk.write({"id": "a", **malformed})
        answer = talk.read()
        assert (answer["id"], answer["error"]["code"]) == ("a", -32600)
    talk.write({"jsonrpc": "2.0", "id": "a", "result": {}})  # an answer: nobody has asked
    assert talk.ask("ping")["result"] == {}


def test_the_list_of_tools_is_short_and_says_what_they_do(talk: Talk) -> None:
    answer = talk.ask("tools/list")
    assert len(protocol.line(answer)) < LIST_MAX
    tools = {each["name"]: each for each in answer["result"]["tools"]}
    assert tools["cancel"]["annotations"]["destructiveHint"]
    assert tools["wait"]["annotations"]["readOnlyHint"]
    assert tools["enqueue"]["inputSchema"]["required"] == ["command"]
    for tool in tools.values():
        assert set(tool["outputSchema"]["required"]) <= set(tool["outputSchema"]["properties"])


def test_a_read_only_server_changes_nothing(db: Path) -> None:
    missing = Talk(db, "--read-only")
    assert (missing.close(), list(db.parent.iterdir())) == (5, [])
    open_store(str(db)).close()
    talk = Talk(db, "--read-only")
    names = [each["name"] for each in talk.ask("tools/list")["result"]["tools"]]
    assert "status" in names
    assert not {"enqueue", "cancel", "retry"} & set(names)
    assert talk.call("enqueue", command="true")["isError"]
    assert talk.call("status")["structuredContent"]["jobs"] == {}
    assert talk.close() == 0


def test_enqueueing_with_an_id_is_repeatable(talk: Talk) -> None:
    first, again = (talk.call("enqueue", command="true", id="a")["structuredContent"] for _ in range(2))
    assert [first["added"], again["added"]] == [True, False]
    assert f"queuectl --db {talk.db} worker start --detach" in first["note"]
    assert first["job"]["id"] == again["job"]["id"] == "a"


def test_commands_are_on_the_store_that_the_environment_of_the_server_names(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_DB", os.path.relpath(db))
    monkeypatch.setattr("tests.mcp.test_mcp.clean_environment", lambda: dict(os.environ))
    talk = Talk(None)
    try:
        told = talk.call("enqueue", command="true")["structuredContent"]
        assert told["note"].endswith(f"start one: queuectl --db {db} worker start --detach")
    finally:
        talk.close()


def test_a_taken_name_with_another_command_is_told(talk: Talk) -> None:
    talk.call("enqueue", command="true", id="a", unique_key="k")
    for name, given in (("id", {"id": "a"}), ("unique_key", {"id": "b", "unique_key": "k"})):
        told = talk.call("enqueue", command="other", **given)["structuredContent"]
        assert (told["added"], told["job"]["id"]) == (False, "a")
        assert told["note"] == (
            f"nothing was added: this {name} is of job a, which has another command; give a new {name}"
        )


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("enqueue", {}, "needs a command"),
        ("enqueue", {"command": "x", "env": {"A": "b"}}, "no argument 'env'"),
        ("enqueue", {"command": "x", "timeout": "soon"}, "timeout"),
        ("wait", {"ids": ["none"]}, "no job none"),
        ("wait", {}, "ids is missing"),
        ("wait", {"ids": []}, "ids is empty"),
        ("cancel", {"ids": []}, "ids is empty"),
        ("wait", {"ids": ["a"], "timeout": 51}, "timeout"),
        ("list", {"state": ["bogus"]}, "bogus"),
        ("list", {"colour": 1}, "no argument 'colour'"),
        ("nothing", {}, "no tool"),
    ],
)
def test_what_goes_wrong_is_told_to_the_agent(talk: Talk, tool: str, arguments: dict[str, Any], told: str) -> None:
    found = talk.call(tool, **arguments)
    assert found["isError"]
    assert told in found["content"][0]["text"]


def test_a_store_that_has_moved_is_told_by_every_tool(talk: Talk, db: Path, tmp_path: Path) -> None:
    talk.call("enqueue", command="true", id="a")
    place = str(tmp_path / "new.db")
    with closing(Client(open_store(str(db)))) as client:
        copying.copy(client, place, keep=False, replace=False, say=lambda _line: None, progress=None)
    for tool, arguments in (("status", {}), ("list", {}), ("show", {"id": "a"}), ("retry", {"ids": ["a"]})):
        told = talk.call(tool, **arguments)
        assert told["isError"], tool
        assert f"has moved to {place}\nuse that one: --db {place}" in told["content"][0]["text"]


def test_an_idle_server_is_small(talk: Talk, db: Path) -> None:
    with closing(Client(open_store(str(db)))) as client:
        now = client.now()
        client.enqueue([parse_request({"command": f"echo {'x' * 900}", "id": f"job-{n}"}, now) for n in range(2000)])
    for number in range(20):
        talk.call("list", limit=50, cursor=str(2000 - 50 * number))
        talk.call("show", id=f"job-{number}")
    assert resident(talk.process.pid) < IDLE_MAX


def test_long_answers_are_cut_and_go_on(talk: Talk, db: Path) -> None:
    client = Client(open_store(str(db)))
    now = client.now()
    client.enqueue([parse_request({"command": "echo " + "x" * 900, "id": f"job-{n}"}, now) for n in range(60)])
    client.close()
    seen: list[str] = []
    cursor = None
    while True:
        page = talk.call("list", limit=50, cursor=cursor)["structuredContent"]
        seen += [job["id"] for job in page["jobs"]]
        cursor = page.get("next")
        if cursor is None:
            break
    assert seen == [f"job-{n}" for n in reversed(range(60))]


def test_an_answer_that_would_be_too_long_is_cut_and_says_so(talk: Talk, db: Path) -> None:
    queues = [f"{number:03}-{'q' * 90}" for number in range(100)]
    with closing(Client(open_store(str(db)))) as client:
        now = client.now()
        client.enqueue([parse_request({"command": "true", "queue": queue}, now) for queue in queues])
        client.pause_queues(queues, reason="restored from /backups/queue.db")
        tags = [f"{number:03}-{'t' * 100}" for number in range(50)]
        client.enqueue([parse_request({"command": "true", "id": "a", "tags": tags, "cwd": f"/{'d' * 3000}"}, now)])
    status = talk.call("status")["structuredContent"]
    assert status["cut"]
    assert status["jobs"] == {"pending": 101}
    assert len(status["queues_paused"]) > 10
    shown = talk.call("show", id="a")["structuredContent"]
    assert shown["cut"]
    assert (shown["job"]["id"], shown["job"]["tags"][0], shown["attempts"]) == ("a", tags[0], [])
    assert talk.call("show", id="none" * 3000)["isError"]


def test_logs_are_read_on_where_the_last_answer_ended(talk: Talk, db: Path, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(
        'echo "Error: quota"; for each in 1 2 3 4; do printf "\\r$each%%"; done; echo; '
        "while [ ! -e go ]; do sleep 0.05; done; i=0; while [ $i -lt 2000 ]; do echo ä€; i=$((i + 1)); done\n"
    )
    talk.call("enqueue", command="sh script", id="a", cwd=str(tmp_path))
    assert talk.call("logs", id="a")["structuredContent"] == {
        "output": "", "from_byte": 0, "bytes_in_all": 0, "next": 0,
    }  # fmt: skip
    worker = Worker(db)
    try:

        def begun() -> dict[str, Any] | None:
            found: dict[str, Any] = talk.call("logs", id="a", tail=3)["structuredContent"]
            return found if found["output"].count("\n") == 2 else None

        first = until(begun)
        assert first is not None
        assert (first["output"], first["next"]) == ("Error: quota\n4%\n", first["bytes_in_all"])
        (tmp_path / "go").touch()
        assert talk.call("wait", ids=["a"])["structuredContent"]["done"]
        read, at = "", first["next"]
        while at is not None:
            answer = talk.call("logs", id="a", from_byte=at)["structuredContent"]
            read, at = read + answer["output"], answer.get("next")
        assert read == "ä€\n" * 2000
        assert talk.call("logs", id="a", tail=1)["structuredContent"]["output"] == "ä€\n"
    finally:
        worker.stop()
        worker.close()


def test_waiting_is_cut_short_told_and_can_be_cancelled(talk: Talk) -> None:
    talk.call("enqueue", command="true", id="a")
    late = talk.call("wait", ids=["a"], timeout=0)["structuredContent"]
    assert late["done"] is False
    assert late["next"] == "not finished: call wait again with the same ids"  # it may not even have begun
    wait = {"name": "wait", "arguments": {"ids": ["a"]}}
    talk.write({"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": wait})
    assert talk.ask("ping")["result"] == {}  # others are answered meanwhile
    talk.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "w"}})
    assert talk.ask("ping")["result"] == {}
    assert talk.close() == 0  # and no answer to the cancelled one


def test_batches_and_schedules_are_told(talk: Talk, db: Path) -> None:
    talk.call("enqueue", command="echo gone wrong; exit 3", batch="b1", max_retries=0)
    (batch,) = talk.call("batches", name="b1")["structuredContent"]["batches"]
    assert (batch["done"], batch["total"], batch["finished"]) == (0, 1, False)
    assert talk.call("batches", name="other")["isError"]
    waited = talk.call("wait_batch", name="b1", timeout=0)["structuredContent"]
    assert (waited["done"], waited["batch"]["total"]) == (False, 1)
    assert talk.call("cancel_batch", name="b1")["structuredContent"]["batch"]["failed"] == 1
    assert talk.call("retry_batch", name="b1")["structuredContent"]["batch"]["failed"] == 0
    worker = Worker(db)
    try:
        ended = talk.call("wait_batch", name="b1")["structuredContent"]
        assert (ended["done"], ended["batch"]["failed"]) == (True, 1)
        assert ended["failed_jobs"][0]["output_tail"] == "gone wrong"
    finally:
        worker.stop()
        worker.close()
    with closing(Client(open_store(str(db)))) as client:
        client.add_schedule("nightly", {"command": "true"}, cron="0 3 * * *")
    (nightly,) = talk.call("schedules")["structuredContent"]["schedules"]
    assert (nightly["name"], nightly["paused"]) == ("nightly", False)
    assert talk.call("run_schedule", name="nightly")["structuredContent"]["id"].startswith("nightly.")
    assert talk.call("run_schedule", name="none")["isError"]
    for tool, is_paused in (("pause_schedule", True), ("resume_schedule", False)):
        assert talk.call(tool, name="nightly")["structuredContent"]["schedule"]["paused"] == is_paused


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
def test_the_official_client_plays_the_documented_session(mode: str) -> None:
    told = session.PAGE.read_text().partition(session.BEGIN)[2].partition(session.END)[0]
    assert f"```\n{session.written(session.played_here(mode))}```\n" == told
