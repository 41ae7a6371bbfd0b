"""A worker restarts with the installed release, or reads its settings again, while its commands run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.client import setting
from queuectl.client.setting import set_worker
from queuectl.client.values import WorkerView
from queuectl.client.workers import workers_of
from queuectl.domain.errors import Conflict, NotFound, OperationFailed
from queuectl.domain.job import JobState
from queuectl.domain.served import Served
from queuectl.store.port import Store
from queuectl.store.values import REFUSED
from queuectl.wire.workers import RESTART
from tests.compat.newer import install
from tests.stores import on_each_store
from tests.workshop import Workshop, until

GATED = "echo begun >> {0}/begun; while [ ! -e {0}/gate ]; do sleep 0.05; done; echo ended; exit 3"


@on_each_store
def test_a_restart_switches_to_the_installed_release_while_a_command_runs(shop: Workshop, tmp_path: Path) -> None:
    release = install(tmp_path / "release", "7.0.0")
    started = shop.worker(1, "--name", "night", PYTHONPATH=str(release))
    job = shop.enqueue(GATED.format(tmp_path), max_retries=0)
    shop.started(job)
    set_worker(shop.store, "me", "night", 3, (), ("video",), False)
    install(release, "7.1.0")
    (now,) = shop.client.restart_workers()
    assert now == (("night", os.uname().nodename, started.pid, 3, 1, "7.1.0"))
    assert workers_of(shop.store)[0].served == Served((), ("video",))
    shop.finished(shop.enqueue("true"))
    (tmp_path / "gate").touch()
    (done,) = shop.finished(job)
    assert (done.state, done.exit_code, done.lost, done.starts) == (JobState.DEAD, 3, 0, 1)
    assert ((tmp_path / "begun").read_text(), shop.output(job)) == ("begun\n", b"ended\n")
    assert [deed.kind for deed in shop.client.audit()] == ["WorkersRestarted", "WorkerSet"]
    assert started.stop() == 0
    assert (shop.left_files(), shop.store.workers()) == ([], [])


def test_a_worker_that_restarts_while_it_is_set_takes_the_values(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.worker(1, "--name", "night")
    seen = setting._alive

    def restarts_then(store: Store, name: str) -> WorkerView:
        found = seen(store, name)
        shop.client.restart_workers("night")
        return found

    monkeypatch.setattr(setting, "_alive", restarts_then)
    now = set_worker(shop.store, "me", "night", 3, (), ("video",), False)
    assert (now.slots, now.not_queues) == (3, ("video",))


def test_a_worker_that_is_not_back_yet_is_waited_for(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.worker(1, "--name", "night")
    seen = [[], workers_of(shop.store)]
    monkeypatch.setattr(setting, "workers_of", lambda _: seen.pop(0))
    assert set_worker(shop.store, "me", "night", 3, (), (), False).slots == 3


def test_a_worker_does_not_switch_to_a_release_that_fails(shop: Workshop, tmp_path: Path) -> None:
    release = install(tmp_path / "release", "7.0.0")
    started = shop.worker(1, "--name", "night", PYTHONPATH=str(release))
    (release / "queuectl" / "cli" / "main.py").write_text("raise SystemExit('half an upgrade')")
    with pytest.raises(OperationFailed, match="night: the installed release says: half an upgrade"):
        shop.client.restart_workers("night")
    shop.finished(shop.enqueue("true"))
    install(release, "7.1.0")
    assert [(worker.pid, worker.version) for worker in shop.client.restart_workers()] == [(started.pid, "7.1.0")]
    assert [worker.version for worker in shop.client.workers()] == ["7.1.0"]


def test_only_a_live_worker_restarts(shop: Workshop) -> None:
    assert shop.client.restart_workers() == []
    with pytest.raises(NotFound, match="no live worker night"):
        shop.client.restart_workers("night")
    orphan = shop.worker(1, "--name", "left")
    shop.started(shop.enqueue("sleep 300"))
    orphan.kill()
    with pytest.raises(Conflict, match="worker left is orphaned"):
        shop.client.restart_workers("left")
    worker = shop.worker(2, "--name", "night")  # a slot for what it takes over
    shop.started(shop.enqueue("sleep 300"))
    worker.signal(signal.SIGINT)
    until(lambda: any(each.name == "night" and each.stopping for each in shop.client.workers()))
    with pytest.raises(Conflict, match="night is stopping"):
        shop.client.restart_workers("n*")
    rows = [row.id for row in shop.store.workers() if row.name == "night"]
    shop.store.request_options(rows, {RESTART: True})  # by somebody who looked before
    until(lambda: [wanted for _, wanted in shop.store.asked_of(rows).values()] == [{REFUSED: "it is stopping"}])


def test_a_worker_that_leaves_hinders_no_restart_of_the_others(shop: Workshop, tmp_path: Path) -> None:
    leaving = shop.worker(1, "--name", "leaving")
    job = shop.enqueue(GATED.format(tmp_path), max_retries=0)
    shop.started(job)
    shop.worker(1, "--name", "night")
    leaving.signal(signal.SIGTERM)
    until(lambda: any(worker.stopping for worker in workers_of(shop.store)), "it is known to stop")
    assert [worker.name for worker in shop.client.reload_workers()] == ["night"]
    assert [worker.name for worker in shop.client.restart_workers()] == ["night"]
    with pytest.raises(Conflict, match="leaving is stopping"):
        shop.client.restart_workers("leaving")
    (tmp_path / "gate").touch()
    assert leaving.wait() == 0


def test_a_signal_that_comes_in_between_is_for_the_next_program() -> None:
    listen = "import sys; from queuectl.engine.signals import Signals\nwith Signals() as s: print(s.take())"
    hand_on = (
        "import os, sys; from queuectl.engine.signals import Signals\n"
        "with Signals() as signals:\n"
        "    os.kill(os.getpid(), 15); signals.hand_on(); os.kill(os.getpid(), 1)\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {listen!r}])"
    )
    done = subprocess.run([sys.executable, "-c", hand_on], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.strip("[]\n").split(", ")) == ["'SIGHUP'", "'SIGTERM'"]


@on_each_store
def test_a_reload_reads_settings_and_secrets(shop: Workshop, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("KEY=1\n")
    secrets.chmod(0o600)
    shop.worker(1, "--name", "night", "--poll", "3600", "--secrets", str(secrets))
    shop.client.set_setting("output-max", "64k")
    assert [worker.name for worker in shop.client.reload_workers()] == ["night"]
    assert len(shop.output(shop.finished(shop.enqueue("head -c 200000 /dev/zero"))[0].id)) <= 64 << 10
    secrets.chmod(0o644)
    with pytest.raises(OperationFailed, match=r"no reload of worker night: .* open to others"):
        shop.client.reload_workers()
    secrets.chmod(0o600)
    assert [worker.name for worker in shop.client.reload_workers("night")] == ["night"]
