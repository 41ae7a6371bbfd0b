"""A worker as the first process of a PID namespace, as in a container; and the recipe of the image."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from queuectl.domain.job import JobState
from tests.machines import children_of, command_line, pids_in
from tests.needs import lacks
from tests.workshop import PATIENCE_S, Worker, Workshop, clean_environment, open_workshop, until

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "contrib" / "Containerfile").read_text()
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

Contain = Callable[..., Worker]


class Container:
    """Stands for a machine whose first process is the worker."""

    def words(self) -> list[str]:
        return UNSHARE


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        lacks("PID namespaces", "run the tests as root")
    with open_workshop(tmp_path) as shop:
        yield shop


@pytest.fixture
def contain(shop: Workshop) -> Iterator[Contain]:
    """Starts a worker in a container of its own."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(closing(Worker(shop.db, *options, machine=Container())))  # type: ignore[arg-type]


def namespace(worker: Worker) -> str:
    return os.readlink(f"/proc/{worker.pid}/ns/pid")


def zombies(worker: Worker) -> list[int]:
    found = []
    for pid in pids_in(namespace(worker)):
        with suppress(OSError):  # it has just gone
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                found.append(pid)
    return found


def test_the_first_process_reaps_what_commands_leave(shop: Workshop, contain: Contain, tmp_path: Path) -> None:
    worker = contain("--count", "2")
    (tmp_path / "left").touch()
    leave = f"(setsid sh -c 'sleep 0.3; echo $$ >> {tmp_path}/left' &) ; (sleep 0.1 &)"
    shop.finished(*shop.enqueue_all([{"command": leave}] * 8))
    until(lambda: len((tmp_path / "left").read_text().split()) == 8, "all that was left to end")
    until(lambda: not zombies(worker), "all of it to be reaped")
    inside = Path(f"/proc/{worker.pid}/status").read_text()
    assert re.search(r"^NSpid:\t\d+\t1$", inside, re.MULTILINE)
    assert worker.process.poll() is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_within_its_timeout(signum: int, shop: Workshop, contain: Contain, tmp_path: Path) -> None:
    worker = contain("--count", "2", "--stop-timeout", "300ms")
    short = shop.enqueue(
        f"touch {tmp_path}/runs; until grep -q stopping {shop.store.folder}/logs/*; do sleep 0.02; done"
    )
    long = shop.enqueue("sleep 300")
    shop.started(short, long)
    worker.signal(signum)
    assert worker.wait() == 0
    assert shop.job(short).state is JobState.COMPLETED
    back = shop.job(long)
    assert (back.state, back.attempts, back.lost) == (JobState.PENDING, 0, 0)


def test_what_a_killed_container_ran_runs_again_in_the_next(shop: Workshop, contain: Contain, tmp_path: Path) -> None:
    worker = contain()
    job = shop.enqueue(f"echo x >> {tmp_path}/runs; [ $(wc -l < {tmp_path}/runs) = 2 ] || sleep 300")
    shop.started(job)
    worker.kill()
    contain()
    (done,) = shop.finished(job)
    assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 2, 1)


def test_the_first_process_restarts_in_place(shop: Workshop, contain: Contain, tmp_path: Path) -> None:
    worker = contain("--name", "inside")
    job = shop.enqueue(f"echo x >> {tmp_path}/runs; until [ -e {tmp_path}/gate ]; do sleep 0.05; done")
    shop.started(job)
    assert [now.name for now in shop.client.restart_workers()] == ["inside"]
    (tmp_path / "gate").touch()
    (done,) = shop.finished(job)
    assert (done.state, done.starts, (tmp_path / "runs").read_text()) == (JobState.COMPLETED, 1, "x\n")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def words_of(instruction: str) -> list[str]:
    (text,) = re.findall(rf"^{instruction} (\[.*\])$", RECIPE, re.MULTILINE)
    return list(json.loads(text))


def test_the_image_runs_a_worker_that_stops(shop: Workshop, tmp_path: Path) -> None:
    run, command = words_of("ENTRYPOINT"), words_of("CMD")
    assert run == ["queuectl"]
    store = {"QUEUECTL_DB": str(shop.db)}
    container = subprocess.Popen(
        [*UNSHARE, sys.executable, "-m", *run, *command], env=clean_environment(**store), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with container, open(container.stdout.fileno(), closefd=False) as said:  # type: ignore[union-attr]
        assert said.readline() == "started 1 worker(s)\n"
        shop.finished(shop.enqueue("true"))
        (first,) = children_of(container.pid)
        assert "worker start" in command_line(first)
        os.kill(first, signal.SIGTERM)
        assert container.wait(PATIENCE_S) == 0


def test_the_image_can_be_built_from_what_it_copies(tmp_path: Path) -> None:
    for line in re.findall(r"^COPY (?!--)(.+)$", RECIPE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            to = tmp_path / target.strip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to)
            else:
                to.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, to)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(tmp_path / "src")], check=True, capture_output=True)
    assert len(list(tmp_path.glob("queuectl_core-*.whl"))) == 1
    extras = set(re.search(r"/src\[(.*)\]", RECIPE)[1].split(","))  # type: ignore[index]
    assert extras <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
