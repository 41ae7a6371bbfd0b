"""A worker under a service manager, and the units for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from queuectl.cli.units import Choices, escaped, instances, server_unit, worker_unit
from queuectl.engine.dispatch.manager import OURS, Manager
from queuectl.wire.workers import WorkerOptions
from tests.goldens.test_schemas import closed
from tests.unit.test_json_everywhere import typed
from tests.workshop import open_workshop, until

PROGRAM = ("/opt/my tools/python3", "-m", "queuectl")


def heard(listener: socket.socket) -> str:
    """All it has been told so far."""
    told = []
    while True:
        try:
            told.append(listener.recv(4096).decode())
        except BlockingIOError:
            return "\n".join(told)


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    return listener


def test_a_worker_tells_its_manager_and_no_command_can(tmp_path: Path, listener: socket.socket) -> None:
    said: list[str] = []

    def told(word: str) -> bool:
        said.append(heard(listener))
        return word in "\n".join(said)

    given = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000", "INVOCATION_ID": "x"}
    with open_workshop(tmp_path) as shop:
        worker = shop.worker(1, **given)
        until(lambda: told(f"READY=1\nMAINPID={worker.pid}"), "the worker to say that it serves")
        said.clear()
        until(lambda: told("WATCHDOG=1"), "an idle worker to say that it lives")
        job = shop.enqueue("env; sleep 1")
        shop.started(job)
        worker.signal(signal.SIGTERM)
        until(lambda: told("STOPPING=1\nEXTEND_TIMEOUT_USEC="), "the worker to say that it stops")
        shop.finished(job)
        output = shop.output(job).decode()
    assert "PATH=" in output
    assert not [name for name in OURS if f"{name}=" in output]
    listener.close()


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    environment = {
        "NOTIFY_SOCKET": "/nowhere",
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": str(os.getpid() + 1),
        "A": "b",
    }
    assert Manager(environment).alive(0.0) is None
    assert environment == {"A": "b"}


def test_a_manager_that_is_gone_hurts_nobody() -> None:
    manager = Manager({"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "2000000"})
    manager.ready(100.0)
    assert manager.alive(100.0) == 1.0
    assert manager.alive(101.5) == 1.0
    manager.stopping(102.0)
    assert manager.alive(102.5) == 0.5


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="no systemd here")
@pytest.mark.parametrize("name", ["gpu", "gpu@host1", "a-b", "a/b", ".x", "@q", "video.hd", "x+y", "-z", "q:1_2"])
def test_names_are_escaped_as_systemd_does(name: str) -> None:
    done = subprocess.run(["systemd-escape", "--", name], capture_output=True, text=True, check=True)
    assert escaped(name) == done.stdout.strip()


CHOICES = [
    Choices(PROGRAM, "/srv/100% $HOME\\x \"q\".db", is_system=True, worker=WorkerOptions(slots=4), user="root"),
    Choices(PROGRAM, None, is_system=False, worker=WorkerOptions(queues=("a@b", "c"), secrets="/a b%"), tidy=True),
    Choices(
        PROGRAM, "postgresql://q@db/work", is_system=True, worker=WorkerOptions(queues=("a/b",)), per_queue=True,
        server=["--port=80", "--also=a=/b c"],
    ),
]  # fmt: skip


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("choices", CHOICES)
def test_systemd_accepts_the_units(choices: Choices, tmp_path: Path) -> None:
    python = tmp_path / "my tools" / "python3"
    python.parent.mkdir()
    python.symlink_to("/bin/sh")
    there = choices._replace(program=(str(python), *choices.program[1:]))
    names = []
    for name, text in (worker_unit(there), server_unit(there)):
        names.append(name.replace("@", f"@{escaped('a/b')}"))
        (tmp_path / names[-1]).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:/lib/systemd/system"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "queuectl" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("choices", CHOICES)
def test_no_unit_lets_systemd_end_commands_for_the_sake_of_others(choices: Choices) -> None:
    worker, server = (text.splitlines() for _, text in (worker_unit(choices), server_unit(choices)))
    assert {"Type=notify", "NotifyAccess=main", "OOMPolicy=continue", "Restart=always"} <= {*worker}
    assert ("KillMode=mixed" if choices.tidy else "KillMode=process") in worker
    assert {"KillMode=process", "OOMPolicy=continue", "Restart=always"} <= {*server}


def test_each_queue_may_have_a_worker_of_its_own() -> None:
    choices = CHOICES[2]._replace(worker=WorkerOptions(queues=("a/b", "mail")))
    assert instances(choices) == ["queuectl-worker@a-b.service", "queuectl-worker@mail.service"]
    assert "--queue=%I " in worker_unit(choices)[1]
    assert "--name" not in worker_unit(choices)[1]


def test_where_systemd_cannot_be_reached_no_unit_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    code, _, told = typed(tmp_path / "jobs.db", "service install")
    assert code == 1
    assert "no bus" in told
    assert not list(tmp_path.glob("config/**/*.service"))


REFUSED = [
    "--count 0",
    "--count x",
    "--queue a,*",
    "--queue a --not-queue b",
    "--port 1",
    "--serve --port x",
    "--cert a",
]


@pytest.mark.parametrize("options", REFUSED)
def test_what_no_worker_and_no_server_takes_gets_no_unit(options: str, tmp_path: Path) -> None:
    for verb in ("print", "install"):
        code, out, told = typed(tmp_path / "queuectl.db", f"service {verb} {options}")
        assert (code, out) == (2, ""), told


def test_a_unit_has_the_options_that_a_terminal_would_be_given(tmp_path: Path) -> None:
    db = tmp_path / "queuectl.db"
    code, out, told = typed(db, "service print --count 4 --not-queue gpu --secrets here --no-hooks --stop-timeout 1m "
        "--serve --public-url https://a.example/q --also b=there.db --trust-forwarded 10.0.0.7")  # fmt: skip
    assert code == 0, told
    started, served = (line.partition(" -m queuectl ")[2] for line in out.splitlines() if "ExecStart" in line)
    here = os.getcwd()
    assert started == (
        f"worker start --count=4 --not-queue=gpu --stop-timeout=60 --secrets={here}/here --no-hooks --db {db}"
    )
    assert served == (
        f"serve --quiet --public-url=https://a.example/q --also=b={here}/there.db --trust-forwarded=10.0.0.7 --db {db}"
    )


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where units would be written, and a systemd that agrees to everything."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\nexit 0\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "systemd" / "user"


def test_what_could_not_start_is_not_installed(units: Path, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("A=1\n")
    secrets.chmod(0o644)
    for options, reason in (
        (f"--secrets {secrets}", "the worker could not start"),
        ("--serve --cert no --key no", "the server could not start"),
        ("--serve --host 0.0.0.0", "without HTTPS"),
    ):
        code, out, told = typed(tmp_path / "jobs.db", f"service install {options}")
        assert (code, out, reason in told, units.exists()) == (1, "", True, False), told
    secrets.chmod(0o600)
    assert typed(tmp_path / "jobs.db", f"service install --secrets {secrets}")[0] == 0
    assert f"--secrets={secrets} " in (units / "queuectl-worker.service").read_text()


SHOWN = """\
Id=queuectl-worker.service
ActiveState=active
SubState=running
MainPID=123

Id=queuectl-serve.service
ActiveState=failed
SubState=failed
MainPID=0
"""


def test_each_answer_has_its_schema(units: Path, tmp_path: Path) -> None:
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncase $2 in show) cat <<'END'\n{SHOWN}END\nesac\n")
    found = {}
    for verb in ("install --serve", "status", "remove"):
        code, out, told = typed(tmp_path / "jobs.db", f"service {verb} --json")
        assert code == 0, told
        name = f"service {verb.split()[0]}"
        found[name] = json.loads(out)
        closed(name).validate(found[name])
    assert found["service install"]["started"] == found["service remove"]["removed"]
    assert [each["pid"] for each in found["service status"]] == [123, None]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_service_is_for_a_user_that_there_is(units: Path, tmp_path: Path) -> None:
    code, _, told = typed(tmp_path / "jobs.db", "service install --system --user nobody-knows")
    assert (code, "there is no user nobody-knows" in told) == (3, True)
