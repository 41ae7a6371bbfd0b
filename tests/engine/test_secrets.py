"""Secrets: the store has their names, the worker their values, and nobody else sees them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.engine.dispatch.secrets import Secrets, parse
from tests.machines import command_line
from tests.needs import lacks
from tests.stores import on_each_store
from tests.workshop import Workshop, until

VALUE = "hunter2-is-no-secret"


def a_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets.env"
    path.write_text(text)
    path.chmod(mode)
    return path


@on_each_store
def test_a_secret_reaches_the_command_and_no_file_of_queuectl(
    shop: Workshop, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_file(tmp_path_factory.mktemp("etc"), f"TOKEN='{VALUE}'\n")
    monkeypatch.setenv("TOKEN", "the enqueuer's own")
    shop.client.set_setting("env-capture", "*")
    gate = tmp_path / "gate"
    job = shop.enqueue(
        f'test "$TOKEN" = {VALUE[:4]}"{VALUE[4:]}" || exit 9; while [ ! -e {gate} ]; do sleep 0.05; done',
        secrets=["TOKEN"], max_retries=0,
    )  # fmt: skip
    shop.worker(1, "--secrets", str(path))
    shop.started(job)
    shown = "".join(command_line(int(pid)) for pid in os.listdir("/proc") if pid.isdigit())
    gate.touch()
    (done,) = shop.finished(job)
    assert (done.state, done.error) == (JobState.COMPLETED, None)
    assert done.spec.secrets == ("TOKEN",)
    assert "TOKEN" not in done.spec.env
    assert VALUE not in shown
    kept = [each for each in shop.folder.rglob("*") if each.is_file()]
    assert kept
    assert not [each for each in kept if VALUE.encode() in each.read_bytes()]


def test_a_missing_secret_fails_the_start_and_a_retry_finds_it(shop: Workshop, tmp_path: Path) -> None:
    path = a_file(tmp_path, "OTHER=1\n")
    job = shop.enqueue("exit $CODE", secrets=["CODE"], max_retries=2, backoff_initial=0.1, fatal_on=[7])
    shop.worker(1, "--secrets", str(path))
    until(lambda: shop.job(job).attempts, "it fails")
    assert f"secret CODE is not in {path} on host " in str(shop.store.attempts(shop.job(job))[0].error)
    a_file(tmp_path, "CODE=7\n")
    (done,) = shop.finished(job)
    assert done.exit_code == 7


def test_a_worker_without_secrets_says_so(shop: Workshop) -> None:
    job = shop.enqueue("true", secrets=["TOKEN"], max_retries=0)
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.state, done.error) == (JobState.DEAD, "secret TOKEN: the worker was started without --secrets")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\n\n# no\n  export B = 2\n", None),
        ("A=1\n\n# no\n  export B=2 # 3 \r\nC=", {"A": "1", "B": "2 # 3", "C": ""}),
        ('A=\'x\ny $z "\'\nB="1\\n\\"2\\\\ \\$\n3"\n', {"A": 'x\ny $z "', "B": '1\n"2\\ $\n3'}),
        ("A=a=b'c\n", {"A": "a=b'c"}),
        ("A=1\nA=2", {"A": "2"}),
        ("", {}),
        ("A='x\n", None),
        ("A='x' y\n", None),
        ("1A=x\n", None),
        ("nothing\n", None),
        ("A=\0\n", None),
    ],
)
def test_a_file_of_secrets_is_read_as_lines_of_variables(text: str, found: dict[str, str] | None) -> None:
    if found is not None:
        assert parse(text.encode(), "f") == found
        return
    with pytest.raises(Invalid, match="secrets file f") as refused:
        parse(text.encode(), "f")
    assert "x" not in refused.value.message.replace("secrets file f", "")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o620):
        with pytest.raises(Invalid, match="open to others than its owner"):
            Secrets(str(a_file(tmp_path, "A=1\n", mode))).check()
    Secrets(str(a_file(tmp_path, "A=1\n", 0o400))).check()
    with pytest.raises(Invalid, match="No such file"):
        Secrets(str(tmp_path / "none")).check()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Invalid, match="not a regular file"):
        Secrets(str(tmp_path / "pipe")).check()


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacks("the right to give a file away", "run as root")
    path = a_file(tmp_path, "A=1\n")
    os.chown(path, 65534, -1)
    with pytest.raises(Invalid, match="belongs to another user"):
        Secrets(str(path)).check()


def test_no_worker_starts_with_a_file_it_cannot_use(shop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="chmod 600"):
        shop.worker(1, "--secrets", str(a_file(tmp_path, "A=1\n", 0o644)))
