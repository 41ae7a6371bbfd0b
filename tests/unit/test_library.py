"""queuectl as a library: what it loads, and what it does where its store goes away."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import queuectl
from queuectl import Client, Selector
from queuectl.client import operations
from tests.workshop import clean_environment


def test_the_package_alone_loads_next_to_nothing_of_itself() -> None:
    program = "import queuectl, sys; print([name for name in sys.modules if name.startswith('queuectl.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment())
    assert (done.stdout, done.stderr) == ("['queuectl.typed']\n", "")


def test_one_queue_may_be_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[str]] = []

    def run(line: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        lines.append(line)
        return subprocess.CompletedProcess(line, 0, '{"name": "w"}', "")

    monkeypatch.setattr(subprocess, "run", run)
    with Client(tmp_path / "jobs.db") as client:
        client.start_worker(queues="video")
        client.start_worker(not_queues="video")
    assert [[word for word in line if "queue=" in word] for line in lines] == [["--queue=video"], ["--not-queue=video"]]


def test_over_http_a_text_is_not_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = next(each for each in operations.START_WORKER.arguments if each.name == "queues")
    assert [queues.send("video"), queues.send(("a", "b"))] == [["video"], ["a", "b"]]
    with Client(tmp_path / "jobs.db") as client:
        assert client.set_lock("gpu", units="a,b").units == ("a", "b")
        sent: list[dict[str, Any]] = []
        monkeypatch.setattr(client, "do", lambda operation, **arguments: sent.append(arguments))
        client.set_lock("gpu", units="a,b")
        client.set_worker("w", queues="video")
    assert (sent[0]["units"], sent[1]["queues"]) == (["a", "b"], ["video"])


@pytest.mark.parametrize("wrong", [{"count": 5000}, {"count": True}, {"poll": 0}, {"poll": "x"}, {"stop_timeout": "x"}])
def test_a_wrong_argument_of_a_worker_is_named_as_python_has_it(tmp_path: Path, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with Client(tmp_path / "jobs.db") as client, pytest.raises(queuectl.Invalid, match=rf"^{name} "):
        client.start_worker(**wrong)


@pytest.mark.parametrize("name", queuectl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(queuectl, name)


def test_the_public_names_are_offered() -> None:
    assert set(queuectl.__all__) <= set(dir(queuectl))


def test_a_traceback_says_what_would_be_right(tmp_path: Path) -> None:
    with Client(tmp_path / "jobs.db") as client:
        with pytest.raises(queuectl.Invalid) as refused:
            client.enqueue([{"comand": "true"}])
        assert "did you mean 'command'?" in "".join(traceback.format_exception(refused.value))
        assert repr(client) == f"<queuectl.Client of {tmp_path / 'jobs.db'}>"


def test_an_error_survives_being_sent_to_another_process(tmp_path: Path) -> None:
    with Client(tmp_path / "jobs.db") as client:
        client.enqueue(command="true", id="mine")
        with pytest.raises(queuectl.Conflict) as refused:
            client.enqueue(command="true", id="mine")
    sent = pickle.loads(pickle.dumps(refused.value))
    assert (type(sent), str(sent), sent.hint) == (type(refused.value), "job mine exists already", refused.value.hint)
    assert sent.__notes__ == [sent.hint]


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cliente'"):
        queuectl.Cliente  # noqa: B018


def test_a_client_of_no_url_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUEUECTL_DB", raising=False)
    Client(tmp_path / "queuectl.db").close()
    with Client() as client:
        monkeypatch.chdir("/")
        assert client.store.url == str(tmp_path / "queuectl.db")


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    with Client(tmp_path / "jobs.db") as client:
        client.enqueue(command="true")
        (tmp_path / "jobs.db").unlink()
        assert client.count(Selector()) == 0
        client.enqueue(command="true", id="new")
        with Client(tmp_path / "jobs.db") as other:
            assert other.job("new")
