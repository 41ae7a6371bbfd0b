"""Hooks on live workers: commands, and calls that are checked by the reference library of Standard Webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from queuectl.client import config, findings
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from tests.stores import on_each_store
from tests.workshop import Workshop, until

standardwebhooks = pytest.importorskip("standardwebhooks")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwHrVzqQk1hQk="


class Heard:
    """A server on loopback that answers with these codes in turn, and what it was sent."""

    def __init__(self, *codes: int) -> None:
        heard, self.calls = list(codes), list[tuple[str, dict[str, str], bytes]]()
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(heard.pop(0) if heard else 204)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=t"


@contextmanager
def hearing(*codes: int) -> Iterator[Heard]:
    heard = Heard(*codes)
    thread = threading.Thread(target=heard.server.serve_forever)
    thread.start()
    try:
        yield heard
    finally:
        heard.server.shutdown()
        thread.join()
        heard.server.server_close()


@on_each_store
def test_a_command_hears_what_became_of_its_job(shop: Workshop, tmp_path: Path) -> None:
    told = tmp_path / "told"
    names = " ".join(f'"$QUEUECTL_{name}"' for name in ("JOB_ID", "STATE", "EXIT_CODE", "ERROR", "TAIL"))
    hook = f"printf '%s|' {names} >> {told}; cat > {told}.json"
    job = shop.enqueue("echo oops; exit 7", max_retries=0, on_dead=hook, queue="work")
    shop.worker(1, "--queue", "work", "--drain").wait()
    assert told.read_text() == f"{job}|dead|7|exit code 7|oops\n|"
    said = json.loads(Path(f"{told}.json").read_text())
    assert (said["id"], said["output_tail"]) == (job, "oops\n")
    assert shop.client.count(Selector()) == 1


def test_a_call_is_signed_and_repeated_with_one_id_until_it_is_taken(shop: Workshop) -> None:
    shop.client.set_setting("webhook-secret", SECRET)
    with hearing(500, 302) as heard:
        job = shop.enqueue("exit 3", max_retries=0, on_dead=heard.url.replace("http", "HTTP", 1))
        shop.worker(1, "--drain").wait()
        assert [path for path, *_ in heard.calls] == ["/hook?token=t"] * 3
        said = [standardwebhooks.Webhook(SECRET).verify(body, headers) for _, headers, body in heard.calls]
        assert len({headers["webhook-id"] for _, headers, _ in heard.calls}) == 1
    assert {(each["type"], each["data"]["id"], each["data"]["exit_code"]) for each in said} == {("job.dead", job, 3)}
    (hook,) = shop.store.find(Selector(hooks=True))
    assert (hook.state, hook.attempts) == (JobState.COMPLETED, 3)
    assert b"302 redirects are not followed" in shop.output(hook.id, 2)
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in shop.folder.rglob("logs/*"))


def test_hooks_run_beside_busy_slots_unless_a_worker_runs_none(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    first = shop.enqueue("true", on_success=f"touch {told}")
    without = shop.worker(1, "--no-hooks")
    shop.finished(first)
    busy = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.05; done")
    shop.started(busy)
    (hook,) = shop.store.find(Selector(hooks=True))
    assert hook.state is JobState.PENDING
    assert list(findings.of_hooks(shop.store)) == []  # a worker may need some time
    monkeypatch.setattr(findings, "NOTICED_WITHIN_S", 0.0)
    (found,) = findings.of_hooks(shop.store)
    assert found.message == "1 hook waits, and no live worker runs hooks: each was started with --no-hooks"
    assert (found.level, found.code, found.fix) == ("problem", "hooks_unserved", "queuectl worker start")
    shop.worker(1, "--queue", "other")
    until(told.exists, "the other worker runs it, whatever its queues are")
    assert list(findings.of_hooks(shop.store)) == []
    gate.touch()
    assert without.stop() == 0


@pytest.mark.parametrize("limits", [{}, {"nice": 5}])
def test_a_hook_tells_of_a_folder_that_is_not_there(shop: Workshop, tmp_path: Path, limits: dict[str, int]) -> None:
    told = tmp_path / "told"
    job = shop.enqueue("true", cwd=str(tmp_path / "gone"), max_retries=0, on_dead=f"pwd > {told}", **limits)
    shop.worker(1)
    (dead,) = shop.finished(job)
    assert dead.error is not None
    assert dead.error.startswith(f"cannot enter folder {tmp_path / 'gone'} on host ")
    until(lambda: told.exists() and told.read_text() == "/\n", "its hook has run")


def test_a_queue_has_hooks_for_its_jobs(shop: Workshop, tmp_path: Path) -> None:
    told = tmp_path / "told"
    shop.client.set_queue("work", on_success=f"touch {told}")
    shop.enqueue("true", queue="work")
    shop.worker(1, "--drain").wait()
    assert told.exists()


def test_the_secret_of_calls_is_shown_to_nobody(shop: Workshop) -> None:
    shop.client.set_setting("webhook-secret", SECRET)
    assert SECRET not in repr(config.views(shop.store, "me"))
    assert SECRET not in repr(shop.client.audit())


@on_each_store
def test_a_schedule_pings_in_order_and_tells_of_its_streak(shop: Workshop) -> None:
    with hearing(500) as heard:
        shop.client.add_schedule(
            "tick", {"command": "echo oops; exit 3", "max_retries": 0}, cron="0 0 1 1 *",
            ping=heard.url.partition("?")[0], alert=heard.url,
        )  # fmt: skip
        run = shop.client.run_schedule("tick").id
        shop.worker(1, "--drain").wait()
    calls = [(path, body) for path, _, body in heard.calls]
    assert [path for path, _ in calls if path != "/hook?token=t"][-1] == "/hook/fail"
    assert {"/hook/start", "/hook/fail", "/hook?token=t"} == {path for path, _ in calls}
    assert dict(calls)["/hook/fail"] == b"oops\n"
    said = json.loads(dict(calls)["/hook?token=t"])
    assert (said["type"], said["data"]["schedule"], said["data"]["job"]["id"]) == ("schedule.failing", "tick", run)
